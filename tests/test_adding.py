"""Adding scans from a page: what is stored, what is refused, and that ingest finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from PIL import Image

from encoder.errors import LithoscopeError
from encoder.metadata.problems import MetadataError
from infra.bucket_metadata import BucketMetadata
from infra.folder_store import FolderStore
from infra.settings import Settings
from infra.site import Site
from ingest_worker.outcomes import Indexed
from search_ui.adding import Added, Adding, Description, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ingest_site import IngestSite

pytest_plugins = ("ingest_site",)

ROCK = Description(reservoir="E1", sample="S 1/a", porosity=0.2, permeability_md=12.5)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings(home=tmp_path / "home")
    settings.bucket_folder.mkdir(parents=True)
    with Site(settings, FolderStore(settings.bucket_folder)) as site:
        yield site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "uploaded"
    folder.mkdir()
    return folder


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def add(site: Site, folder: Path, described: Description = ROCK) -> dict[str, Added]:
    with Adding(site, described) as adding:
        return {each.name: each for each in adding.add(folder)}


def test_a_scan_is_stored_with_what_was_typed_in(site: Site, folder: Path) -> None:
    picture(folder / "a.png")
    (added,) = add(site, folder).values()
    assert added == Added(name="a.png", outcome=Outcome.STORED, key="scans/E1/S%201%2Fa/a.png")
    metadata = BucketMetadata.read(site.objects)
    assert added.key is not None
    stat = site.objects.stat(added.key)
    known = metadata.resolve(added.key, stat.user_metadata)
    assert (known.reservoir, known.sample) == ("E1", "S 1/a")
    assert (known.properties.porosity, known.properties.permeability_md) == (0.2, 12.5)
    (again,) = add(site, folder).values()
    assert again.outcome is Outcome.UNCHANGED


def test_what_was_typed_in_wins_over_a_table_beside_the_scans(site: Site, folder: Path) -> None:
    picture(folder / "a.png")
    picture(folder / "b.png", seed=1)
    (folder / "metadata.csv").write_text(
        "Image,Reservoir,Sample,Porosity,Modality,Depth (m)\n"
        "a.png,E7,S7,0.31,thin_section,1200\nb.png,E8,,,,\n"
    )
    found = add(site, folder, Description(sample="Plug", porosity=0.1))
    assert {name: each.key for name, each in found.items()} == {
        "a.png": "scans/E7/Plug/a.png",
        "b.png": "scans/E8/Plug/b.png",
    }
    kept = site.objects.stat("scans/E7/Plug/a.png").user_metadata
    assert kept == {"porosity": "0.1", "modality": "thin_section", "depth-m": "1200"}


def test_a_pair_becomes_one_object(site: Site, folder: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, (4, 24, 24), np.uint8)
    (folder / "v.raw").write_bytes(voxels.tobytes())
    (folder / "v.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 24 24 4\nElementType = MET_UCHAR\n"
        "ElementDataFile = v.raw\n"
    )
    (added,) = add(site, folder).values()
    assert added.key == "scans/E1/S%201%2Fa/v.mha"


def test_a_headerless_volume_needs_its_layout(site: Site, folder: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, (4, 24, 24), np.uint8)
    (folder / "v.raw").write_bytes(voxels.tobytes())
    (refused,) = add(site, folder).values()
    assert refused.outcome is Outcome.REFUSED
    (added,) = add(site, folder, Description(raw="4x24x24:uint8")).values()
    assert added.key == "scans/_/_/v.raw"
    assert site.objects.stat(added.key).user_metadata["shape"] == "4,24,24"
    (refused,) = add(site, folder, Description(raw="8x12x24:uint8")).values()
    assert "choose to replace it" in refused.told
    another = Description(raw="8x12x24:uint8", replace=True)
    (corrected,) = add(site, folder, another).values()
    assert (corrected.outcome, corrected.key) == (Outcome.STORED, added.key)
    assert site.objects.stat(added.key).user_metadata["shape"] == "8,12,24"


def test_what_ingest_would_refuse_is_refused_at_once(site: Site, folder: Path) -> None:
    (folder / "text.png").write_text("no picture")
    (folder / "notes.docx").write_bytes(b"PK\3\4" + bytes(80))
    Image.new("L", (32, 32), 7).save(folder / "flat.png")
    (folder / "lone.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 24 24 4\nElementType = MET_UCHAR\n"
        "ElementDataFile = gone.raw\n"
    )
    found = add(site, folder)
    assert len(found) == 4
    for each in found.values():
        assert each.outcome is Outcome.REFUSED
        assert each.told
        assert "\n" not in each.told
        assert str(folder) not in each.told
    assert not list(site.objects.pages("scans/"))


def test_a_file_of_several_datasets_is_told_what_to_do_with_it(site: Site, folder: Path) -> None:
    with h5py.File(folder / "two.h5", "w") as file:
        file["dry"] = file["wet"] = np.random.default_rng(0).integers(0, 255, (4, 24, 24), np.uint8)
    (refused,) = add(site, folder).values()
    assert refused.outcome is Outcome.REFUSED
    assert "2 datasets of 3 axes: dry, wet; " in refused.told
    assert refused.told.endswith("write the one you want into a file of its own, and add that")
    assert "--" not in refused.told


def test_another_scan_of_the_same_name_is_replaced_only_when_asked(
    site: Site, folder: Path
) -> None:
    picture(folder / "a.png")
    add(site, folder)
    picture(folder / "a.png", seed=5)
    (refused,) = add(site, folder).values()
    assert refused.outcome is Outcome.REFUSED
    assert "replace" in refused.told
    (added,) = add(site, folder, Description(reservoir="E1", sample="S 1/a", replace=True)).values()
    assert added.outcome is Outcome.STORED


def test_hostile_names_stay_in_their_place(site: Site, folder: Path) -> None:
    picture(folder / "a.png")
    described = Description(reservoir="a/../../up", sample="<script>\N{RIGHT-TO-LEFT OVERRIDE}")
    (added,) = add(site, folder, described).values()
    assert added.key is not None
    assert added.key.startswith("scans/a%2F..%2F..%2Fup/%3Cscript%3E")
    assert site.objects.stat(added.key).size


@pytest.mark.parametrize(
    "described",
    [
        Description(porosity=1.5),
        Description(permeability_md=float("nan")),
        Description(pixel_size_um=0.0),
        Description(reservoir=" "),
    ],
)
def test_numbers_that_can_not_be_right_are_told(site: Site, described: Description) -> None:
    with pytest.raises(MetadataError):
        Adding(site, described)
    with pytest.raises(LithoscopeError, match="24x24"):
        Adding(site, Description(raw="24x24"))


def test_ingest_indexes_what_was_added(world: IngestSite, folder: Path) -> None:
    picture(folder / "a.png")
    (added,) = add(world.site, folder).values()
    assert added.key is not None
    (outcome,) = world.ingest(added.key).values()
    assert isinstance(outcome, Indexed)
    (row,) = world.collection.records()
    assert (row.reservoir, row.sample) == ("E1", "S 1/a")
