"""``lithoscope search`` as its users meet it, on a library that was ingested."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from encoder.errors import LithoscopeError, ScanError
from lithoscope import app

if TYPE_CHECKING:
    from collections.abc import Iterator

RNG = np.random.default_rng(11)
PAGE = Path(__file__).resolve().parents[1] / "docs/search.md"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (40, 50), dtype=np.uint8)).save(path)
    return path


@dataclass
class Site:
    """A library that is indexed.

    Attributes:
        rocks: Its folder.
        home: What the commands keep.
    """

    rocks: Path
    home: Path

    def run(self, *words: object) -> tuple[str, str]:
        """Run a command that succeeds: what it says on stdout and stderr."""
        result = CliRunner().invoke(app, list(map(str, words)), env=self.env)
        assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
        return result.stdout, result.stderr

    def search(self, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("search", "--format", "json", *words)[0])
        return found

    def refusal(self, *words: object) -> LithoscopeError:
        result = CliRunner().invoke(app, ["search", *map(str, words)], env=self.env)
        assert isinstance(result.exception, LithoscopeError), result.output
        return result.exception

    @property
    def env(self) -> dict[str, str]:
        return {"LITHOSCOPE_HOME": str(self.home)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    site = Site(home / "rocks", home / "home")
    volume = site.rocks / "E1/S1/volume.tif"
    volume.parent.mkdir(parents=True)
    tifffile.imwrite(volume, RNG.integers(0, 60_000, (5, 32, 40), dtype=np.uint16))
    for name in ("E1/S1/thin.png", "E1/S2/a.png", "E2/S1/b.png", "E2/S3/c.png", "E3/S4/d.png"):
        picture(site.rocks / name)
    rows = "Image,Reservoir,Sample,Porosity,Permeability_mD\nodd/x.png,E3,S4,0.3,7\n"
    rows += "E1/S2/a.png,E1,S2,0.1,\nE2/S3/c.png,E2,S3,0.2,12.5\n"
    (site.rocks / "metadata.csv").write_text(rows)
    picture(site.rocks / "odd/x.png")
    encoder = ("--encoder", "resnet18-imagenet", "--init", "seed:3")
    site.run("ingest", site.rocks, *encoder)
    yield site
    site.run("down")


def keys(hits: list[dict[str, Any]]) -> set[str]:
    return {hit["object_key"] for hit in hits}


def test_json_is_what_the_page_says(site: Site) -> None:
    found = site.search(site.rocks / "E1/S1/volume.tif", "--view", "three-rows")
    text = PAGE.read_text(encoding="utf-8")
    outer, inner = (
        re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
        for table in re.findall(
            r"^\| (?:JSON|hit) \|.*?\n\n", text + "\n\n", re.MULTILINE | re.DOTALL
        )
    )
    names = [name for cell in outer for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(found) == sorted(names)
    hit_names = [name for cell in inner for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(found["hits"][0]) == sorted(hit_names)
    assert found["model"]["init"] == "untrained, seed:3"
    assert found["exact"]
    assert found["timings_ms"]["total"] >= found["timings_ms"]["search"]


def test_file_of_the_library_hides_its_own_sample(site: Site) -> None:
    found = site.search(site.rocks / "E1/S1/volume.tif", "-k", 50)
    (query,) = found["query"]
    assert (query["reservoir"], query["sample"], query["n_slices"]) == ("E1", "S1", 5)
    assert query["object_keys"] == ["scans/E1/S1/volume.tif"]
    assert keys(found["hits"]) == {
        "scans/E1/S2/a.png",
        "scans/E2/S1/b.png",  # another reservoir's sample of the same name
        "scans/E2/S3/c.png",
        "scans/E3/S4/d.png",
        "scans/E3/S4/odd/x.png",
    }
    assert found["funnel"]["hidden_own_sample"] == 6
    assert [each["slices"] for each in found["funnel"]["steps"]] == [11, 5, 5]
    ranks = [hit["absolute_rank"] for hit in found["hits"]]
    assert min(ranks) > 5  # behind the volume itself
    porosity = {hit["object_key"]: hit["porosity"] for hit in found["hits"]}
    assert porosity["scans/E1/S2/a.png"] == 0.1
    assert porosity["scans/E3/S4/d.png"] is None


def test_file_and_its_indexed_scan_answer_alike(site: Site) -> None:
    words = ("-k", 50, "--include-own-sample")
    by_file = site.search(site.rocks / "E2/S3/c.png", *words)
    by_key = site.search("scans/E2/S3/c.png", *words)
    for found in (by_file, by_key):
        assert found["hits"][0]["object_key"] == "scans/E2/S3/c.png"
        assert found["hits"][0]["distance"] == pytest.approx(0.0, abs=0.02)
        assert found["funnel"]["hidden_own_sample"] == 0
    distances = [
        {(hit["object_key"], hit["slice_index"]): hit["distance"] for hit in found["hits"]}
        for found in (by_file, by_key)
    ]
    assert distances[0].keys() == distances[1].keys()
    assert list(distances[0].values()) == pytest.approx(list(distances[1].values()), abs=0.05)


def test_copy_elsewhere_is_known_by_its_content(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "query.png"
    shutil.copy(site.rocks / "E2/S3/c.png", copy)
    found = site.search(copy)
    assert found["query"][0]["sample"] == "S3"
    assert "scans/E2/S3/c.png" not in keys(found["hits"])
    assert found["notes"] == []
    assert {hit["view"] for hit in found["hits"]} <= {"same_reservoir", "other_reservoirs"}


def test_new_file_is_known_by_its_library(site: Site) -> None:
    by_path = picture(site.rocks / "E1/S2/new.png")
    try:
        found = site.search(by_path)
    finally:
        by_path.unlink()
    assert (found["query"][0]["reservoir"], found["query"][0]["sample"]) == ("E1", "S2")
    assert "scans/E1/S2/a.png" not in keys(found["hits"])
    assert found["funnel"]["hidden_own_sample"] == 1


def test_file_in_the_bucket_is_its_scan(site: Site) -> None:
    found = site.search(site.home / "bucket/scans/E2/S3/c.png")
    assert found["query"][0]["object_keys"] == ["scans/E2/S3/c.png"]
    assert found["funnel"]["hidden_own_sample"] == 1


def test_whose_it_is_can_not_be_told(site: Site, tmp_path: Path) -> None:
    stranger = picture(tmp_path / "stranger.png")
    found = site.search(stranger, "-k", 50)
    assert len(found["hits"]) == 11
    assert found["query"][0]["sample"] is None
    assert "its sample is not known" in found["notes"][0]
    (tmp_path / "metadata.csv").write_text("Image,Porosity\nstranger.png,25\n")
    found = site.search(stranger)
    assert "whose it is can't be told" in found["notes"][0]
    library = tmp_path / "lib"
    member = picture(library / "E2/S3/z.png")
    found = site.search(member, "--library", library)
    assert found["query"][0]["sample"] == "S3"


def test_filters_and_groups(site: Site) -> None:
    query = "scans/E1/S1/volume.tif"
    found = site.search(query, "--exclude-reservoir", "E2", "--exclude-sample", "S2", "-k", 50)
    assert keys(found["hits"]) == {"scans/E3/S4/d.png", "scans/E3/S4/odd/x.png"}
    found = site.search(query, "--where", "porosity=0.15:")
    assert {hit["porosity"] for hit in found["hits"]} == {0.2, 0.3}
    found = site.search(query, "--where", "porosity=0.15:", "--unmeasured", "keep")
    assert {hit["porosity"] for hit in found["hits"]} == {0.2, 0.3, None}
    found = site.search(f"{query}#2", "--group-by", "reservoir")
    assert sorted(hit["reservoir"] for hit in found["hits"]) == ["E1", "E2", "E3"]
    found = site.search(query, "--only-reservoir", "E3", "--per-sample", 1)
    assert len(found["hits"]) == 1
    found = site.search(query, "scans/E2/S3/c.png", "-k", 50)
    assert "scans/E2/S3/c.png" not in keys(found["hits"])
    assert [each["n_slices"] for each in found["query"]] == [5, 1]
    found = site.search(query, "--modality", "thin_section")
    assert found["hits"] == []


def test_three_rows_on_a_sheet_and_in_a_table(site: Site, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    query = site.rocks / "E1/S1/volume.tif"
    told, _ = site.run("search", query, "--view", "three-rows", "--sheet", sheet)
    assert "same reservoir, other samples:" in told
    assert "not measured" in told
    assert "11 indexed → 6 not the query itself → 6 shown" in told
    assert "own sample hidden" not in told
    assert "untrained, seed:3" in told
    with Image.open(sheet) as drawn:
        pixels = np.asarray(drawn.convert("L"))
    assert pixels.shape[0] > 4 * 192  # four rows
    rows = [pixels[top : top + 192, 8:200] for top in (26, 292, 558, 824)]
    assert all(row.std() > 10 for row in rows), "a row without its picture"


def test_csv_has_a_line_for_each_hit(site: Site) -> None:
    told, _ = site.run("search", "scans/E1/S2/a.png", "--format", "csv", "-k", 4)
    rows = list(csv.DictReader(io.StringIO(told)))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["list"] for row in rows} == {"hits"}
    assert "" in {row["porosity"] for row in rows}


def test_csv_has_the_same_columns_whatever_is_found(site: Site) -> None:
    only_views = ("--view", "three-rows", "--only-reservoir", "E1", "--only-sample", "S1")
    nothing = ("--only-reservoir", "E1", "--exclude-reservoir", "E1")
    headers = set()
    for options in ((), only_views, nothing):
        told, _ = site.run("search", "scans/E1/S1/volume.tif", "--format", "csv", *options)
        headers.add(told.splitlines()[0])
    assert len(headers) == 1


def test_refusals_name_input_and_remedy(site: Site, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no picture at all")
    assert isinstance(site.refusal(text), ScanError)
    cases = [
        ((site.rocks,), "is a folder; name one of its files"),
        ((tmp_path / "nix.png",), "no such file, and no object key"),
        (("scans/E1/S1/volume.tiff",), "did you mean 'scans/E1/S1/volume.tif'"),
        (("scans/E1/S1/volume.tif#9",), "no such slice; it has 0 to 4"),
        (("scans/E1/S2/a.png", "--exclude-reservoir", "E22"), "did you mean 'E2'"),
        (("scans/E1/S2/a.png", "--exclude-sample", ""), "sample '': not indexed"),
        (("scans/E1/S2/a.png", "--where", "phi=1:2"), "not a column of the index"),
        (("scans/E1/S2/a.png", "--where", "porosity"), "expected NAME=LOW:HIGH"),
        (("scans/E1/S2/a.png", "--sheet", tmp_path / "a.jpg"), "isn't named like a .png file"),
    ]
    for words, problem in cases:
        told = str(site.refusal(*words))
        assert problem in told
        assert "\n" not in told


def test_nothing_is_indexed_yet(tmp_path: Path, site: Site) -> None:
    empty = Site(tmp_path, tmp_path / "home")
    assert "index scans first" in str(empty.refusal("scans/E1/S2/a.png"))
    assert "index scans first" in str(empty.refusal(site.rocks / "E1/S2/a.png"))
    empty.run("down")


def test_filters_in_words(site: Site) -> None:
    query = site.rocks / "E1/S1/thin.png"
    words = "not from reservoir E2; at most 1 per sample, 2 hits"
    found = site.search(query, "--words", words)
    options = ("--exclude-reservoir", "E2", "--per-sample", 1, "-k", 2)
    assert found["hits"] == site.search(query, *options)["hits"]
    own = site.search("scans/E1/S1/thin.png", "--words", "exclude this reservoir")
    assert {hit["reservoir"] for hit in own["hits"]} == {"E2", "E3"}
    error = site.refusal(query, "--words", "not from E22, 5 hits")
    assert str(error) == "--words: not understood: \"not from E22\": did you mean 'E2'?"


def test_a_part_and_a_slice_of_a_file(site: Site) -> None:
    volume = site.rocks / "E1/S1/volume.tif"
    one = site.search(f"{volume}#1", "--region", "0,0,0.5,0.5")
    assert one["query"][0]["n_slices"] == 1
    assert any("a part of 50% by 50%" in note for note in one["notes"])
    same = site.search("scans/E1/S1/volume.tif#1", "--region", "0,0,0.5,0.5")
    assert [hit["distance"] for hit in same["hits"]] == pytest.approx(
        [hit["distance"] for hit in one["hits"]], rel=1e-3
    )
    assert "expected LEFT,TOP" in str(site.refusal(volume, "--region", "0,0,1"))
    assert "fractions from 0 to 1" in str(site.refusal(volume, "--region", "0,0,2,1"))


def test_what_is_told_of_a_file(site: Site, tmp_path: Path) -> None:
    stranger = picture(tmp_path / "stranger.png")
    told = ("--query-reservoir", "E1", "--query-sample", "S1", "--query-porosity", 0.3)
    found = site.search(stranger, *told, "-k", 50)
    (query,) = found["query"]
    assert (query["reservoir"], query["sample"], query["porosity"]) == ("E1", "S1", 0.3)
    assert not keys(found["hits"]) & {"scans/E1/S1/volume.tif", "scans/E1/S1/thin.png"}
    error = site.refusal("scans/E1/S2/a.png", *told)
    assert "none is looked for" in str(error)
    assert "fraction" in str(site.refusal(stranger, "--query-porosity", 30))


def test_report(site: Site, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    found = site.search(site.rocks / "E1/S2/a.png", "--report", report, "-k", 3)
    text = report.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<img") == 4  # the query and its hits
    assert str(tmp_path) not in text
    for hit in found["hits"]:
        assert f"{hit['object_key']}#{hit['slice_index']}" in text
    assert "isn't named like a .html file" in str(
        site.refusal("scans/E1/S2/a.png", "--report", "a.png")
    )


def test_against_a_model_that_is_not_there(site: Site) -> None:
    error = site.refusal("scans/E1/S2/a.png", "--against", "dsnn-000000000000")
    assert "no other model of that name has an index; there are: none" in str(error)


def test_what_is_indexed_is_listed(site: Site) -> None:
    told = json.loads(site.run("scans", "--format", "json")[0])
    assert (told["n_scans"], told["n_slices"]) == (7, 11)
    assert [each["name"] for each in told["reservoirs"]] == ["E1", "E2", "E3"]
    assert told["coverage"]["porosity"] == 3
    table, _ = site.run("scans", "e1", "png")
    assert "7 scans of 5 samples, 11 slices" in table
    assert "scans/E1/S2/a.png" in table
    assert "scans/E2/S3/c.png" not in table
    lines = site.run("scans", "S4", "--format", "csv")[0].splitlines()
    assert len(lines) == 3
    page = json.loads(site.run("scans", "scans/E1/S1/volume.tif", "--format", "json")[0])
    assert page["facts"]["n_planes"] == 5
    assert [each["place"] for each in page["slices"]][:2] == ["plane 1 of 5", "plane 2 of 5"]
    shown, _ = site.run("scans", "scans/E1/S1/volume.tif")
    assert "dtype: uint16" in shown
    result = CliRunner().invoke(app, ["scans", "scans/E1/S1/volum.tif"], env=site.env)
    assert "did you mean 'scans/E1/S1/volume.tif'" in str(result.exception)
