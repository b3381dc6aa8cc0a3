"""A small library that was ingested, with an untrained model, and a service that answers on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from infra.settings import Settings
from infra.site import open_site
from lithoscope import app
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from infra.site import Site

PLANES = 5


@dataclass
class SearchSite:
    """A library that is indexed, and what answers on it.

    Attributes:
        rocks: The library's folder.
        site: The site.
        service: Answers.
    """

    rocks: Path
    site: Site
    service: SearchService


def texture(seed: int, shape: tuple[int, ...] = (80, 100)) -> NDArray[np.uint16]:
    """Blurred noise, 16-bit: grains of a few pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 60_000, tuple(-(-side // 4) for side in shape)).astype(np.uint16)
    for axis in range(len(shape)):
        coarse = np.repeat(coarse, 4, axis=axis)
    return coarse[tuple(slice(0, side) for side in shape)]


def write_library(rocks: Path) -> None:
    """Two reservoirs of two samples each, a volume among them, one of unknown properties."""
    images = {"E1/S1/b.png": 2, "E1/S2/a.png": 3, "E2/S1/b.png": 4, "E2/S3/c.png": 5}
    for name, seed in images.items():
        path = rocks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((texture(seed) // 256).astype(np.uint8)).save(path)
    volume = np.stack([texture(10 + plane) for plane in range(PLANES)])
    tifffile.imwrite(rocks / "E1/S1/volume.tif", volume)
    rows = (
        "Image,Porosity,Permeability_mD,Pixelsize_um\n"
        "E1/S1/b.png,0.1,5,2.5\nE1/S2/a.png,0.15,20,2.5\nE2/S3/c.png,0.25,250,\n"
    )
    (rocks / "metadata.csv").write_text(rows)


@pytest.fixture(scope="session")
def search_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchSite]:
    folder = tmp_path_factory.mktemp("searched")
    home, rocks = folder / "home", folder / "rocks"
    write_library(rocks)
    environment = {"LITHOSCOPE_HOME": str(home)}
    words = ["ingest", str(rocks), "--encoder", "dsnn", "--init", "seed:0"]
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code == 0, (result.output, result.exception)
    with open_site(Settings(home=home)) as site, SearchService(site) as service:
        yield SearchSite(rocks=rocks, site=site, service=service)
    CliRunner().invoke(app, ["down"], env=environment)
