"""Properties in answers: measured and predicted, of what is looked for and of what is found."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lithoscope import app
from search_ui.printing import as_table
from search_ui.requests import ObjectQuery, SearchRequest
from search_world import make_scan, open_world

if TYPE_CHECKING:
    from pathlib import Path

    from search_ui.results import SearchResult

pytest_plugins = ["bundle_samples"]


def search_of(tmp_path: Path, **numbers: Any) -> SearchResult:  # noqa: ANN401  as of `make_scan`
    """Search for a scan with these properties, among one that has them too."""
    world = open_world(tmp_path)
    try:
        world.add(
            make_scan("scans/a", reservoir="E1", sample="S1", n=3, **numbers),
            make_scan("scans/b", reservoir="E2", sample="S2", **numbers),
        )
        return world.service.search(SearchRequest(queries=(ObjectQuery(object_key="scans/a"),)))
    finally:
        world.service.close()
        world.site.close()


def test_a_table_shows_predictions_beside_measurements(tmp_path: Path) -> None:
    result = search_of(
        tmp_path,
        porosity=0.2,
        permeability_md=1500.0,
        predicted_porosity=0.214,
        predicted_permeability_md=98.7,
    )
    lines = as_table(result).splitlines()
    assert lines[1] == (
        "scans/a: porosity measured 0.2, predicted 0.214; "
        "permeability measured 1,500 mD, predicted 98.7 mD"
    )
    assert "φ  k (mD)  predicted φ  predicted k (mD)  slice" in lines[3]
    assert lines[4].split()[-5:] == ["0.2", "1,500", "0.214", "98.7", "scans/b#0"]


def test_a_table_without_predictions_has_no_columns_for_them(tmp_path: Path) -> None:
    lines = as_table(search_of(tmp_path, porosity=0.2)).splitlines()
    assert lines[1] == "scans/a: porosity measured 0.2; permeability not measured"
    assert "predicted" not in "".join(lines)


def test_nothing_is_told_of_a_query_of_which_nothing_is_known(tmp_path: Path) -> None:
    lines = as_table(search_of(tmp_path)).splitlines()
    assert lines[1] == ""


def test_permeability_is_averaged_by_its_logarithm(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    scan = make_scan("scans/a", n=2)
    slices = [
        replace(row, numbers={"predicted_permeability_md": md, "predicted_porosity": md / 1e4})
        for row, md in zip(scan.slices, (10.0, 1000.0), strict=True)
    ]
    world.add(replace(scan, slices=slices), make_scan("scans/b"))
    result = world.service.search(SearchRequest(queries=(ObjectQuery(object_key="scans/a"),)))
    world.service.close()
    world.site.close()
    (query,) = result.queries
    assert query.properties.predicted_permeability_md == pytest.approx(100.0)
    assert query.properties.predicted_porosity == pytest.approx(0.0505)


def test_a_file_is_predicted_as_its_indexed_copy_is(tmp_path: Path, original_bundle: Path) -> None:
    rocks, env = tmp_path / "rocks", {"LITHOSCOPE_HOME": str(tmp_path / "home")}
    for seed, name in enumerate(("E1/S1", "E2/S2")):
        (rocks / name).mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 200 + 50 * seed, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(rocks / name / "a.png")
    (rocks / "metadata.csv").write_text(
        "Image,Porosity,Permeability_mD,Pixelsize_um\nE1/S1/a.png,0.2,15,2.5\n"
    )
    elsewhere = tmp_path / "copy.png"  # nothing but its content tells whose it is
    shutil.copy(rocks / "E1/S1/a.png", elsewhere)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, list(words), env=env)
        assert done.exit_code == 0, done.output
        return done.stdout

    run("ingest", str(rocks), "--encoder", "dsnn", "--init", str(original_bundle))
    try:
        names = ("porosity", "permeability_md", "predicted_porosity", "predicted_permeability_md")
        by_file, by_copy, by_key = (
            json.loads(run("search", query, "--format", "json"))["query"][0]
            for query in (str(rocks / "E1/S1/a.png"), str(elsewhere), "scans/E1/S1/a.png")
        )
        assert (by_key["porosity"], by_key["permeability_md"]) == (0.2, pytest.approx(15))
        for name in names:
            assert by_file[name] == pytest.approx(by_key[name], rel=0.02), name
            assert by_copy[name] == pytest.approx(by_key[name], rel=0.02), name
        table = run("search", "scans/E1/S1/a.png", "--format", "csv")
        (hit,) = csv.DictReader(io.StringIO(table))
        assert float(hit["predicted_porosity"]) > 0
    finally:
        run("down")
