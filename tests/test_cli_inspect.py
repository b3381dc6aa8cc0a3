from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from lithoscope import app

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(7)
TABLE = """Image,Reservoir,Sample,Porosity,Permeability_mD
E1/S1/volume.tif,E1,S1,0.21,150
E1/S2/plane.png,E1,S2,,
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two good scans, a text that calls itself a picture, and their table."""
    for folder in ("E1/S1", "E1/S2", "E2/S3"):
        (tmp_path / folder).mkdir(parents=True)
    volume = RNG.integers(0, 60_000, (20, 32, 40), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "E1/S1/volume.tif",
        volume,
        imagej=True,
        resolution=(1 / 2.5, 1 / 2.5),
        metadata={"axes": "ZYX", "unit": "um"},
    )
    Image.fromarray(RNG.integers(0, 255, (30, 50), dtype=np.uint8)).save(
        tmp_path / "E1/S2/plane.png"
    )
    (tmp_path / "E2/S3/notes.png").write_text("not a picture")
    (tmp_path / "metadata.csv").write_text(TABLE)
    return tmp_path


def inspect(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_good_scan_is_told_in_full(library: Path) -> None:
    code, told, _ = inspect(library / "E1/S1/volume.tif")
    assert code == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in told.splitlines()}
    assert lines["shape"] == "20 planes of 32×40"
    assert lines["type"] == "uint16"
    assert lines["slices"] == "18 planes (1…18)"
    assert lines["porosity"].startswith("0.21 (metadata.csv row 2, column 'Porosity'")
    assert lines["pixel_size_um"].startswith("2.5 (file")
    assert "1 scan: 1 good, 0 refused" in told


def test_a_refused_scan_names_the_reason_and_the_exit_code_says_so(library: Path) -> None:
    code, told, _ = inspect(library)
    assert code == 1
    assert "PROBLEM: it is a text file" in told
    assert "3 scans: 2 good, 1 refused; 19 slices" in told


def test_json_gives_one_object_a_line(library: Path) -> None:
    code, told, _ = inspect(library, "--format", "json")
    found = [json.loads(line) for line in told.splitlines()]
    assert code == 1
    assert [item["scan"] and item["scan"]["n_slices"] for item in found] == [18, 1, None]
    assert found[0]["metadata"]["permeability_md"]["value"] == 150
    assert found[1]["metadata"]["reservoir"] == {
        "value": "E1",
        "source": "metadata.csv row 3, column 'Reservoir' (by Image)",
    }
    assert len(found[2]["problems"]) == 1


def test_a_wrong_table_is_told_and_the_rest_goes_on(library: Path) -> None:
    (library / "metadata.csv").write_text(TABLE.replace("0.21", "21"))
    code, told, errors = inspect(library / "E1")
    assert code == 1
    assert "row 2" in errors
    assert "Porosity" in errors
    assert "2 scans: 2 good" in told


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    code, told, _ = inspect(tmp_path / "nowhere.tif")
    assert code == 1
    assert "PROBLEM" in told


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    code, told, _ = inspect(tmp_path)
    assert code == 1
    assert "1 scan: 0 good, 1 refused" in told


def test_contact_sheet_shows_every_scan(library: Path) -> None:
    sheet = library / "sheet.png"
    inspect(library / "E1", "--sheet", sheet)
    with Image.open(sheet) as picture:
        assert picture.width > 500


def test_contact_sheet_of_a_wrong_kind_is_an_error_of_one_line(library: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(library / "E1"), "--sheet", "sheet.nonsense"])
    assert result.exit_code != 0
    assert "sheet.nonsense" in str(result.exception)


def test_a_headerless_volume_takes_its_layout_from_the_command(tmp_path: Path) -> None:
    volume = RNG.integers(0, 900, (5, 20, 30), dtype=np.uint16)
    volume.astype(">u2").tofile(tmp_path / "scan.raw")
    code, told, _ = inspect(tmp_path / "scan.raw", "--raw", "5x20x30:uint16:big")
    assert code == 0
    assert "5 planes of 20×30" in told
    code, _, _ = inspect(tmp_path / "scan.raw")
    assert code == 1


def test_a_layout_that_is_none_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--raw", "many"])
    assert result.exit_code != 0
    assert "raw layout 'many'" in str(result.exception)


def test_the_bomb_limit_can_be_set(library: Path) -> None:
    code, told, _ = inspect(library / "E1/S2/plane.png", "--max-pixels", 1000)
    assert code == 1
    assert "1500" in told.replace(",", "").replace(" ", "")


def test_rows_without_a_scan_are_told_when_the_whole_library_was_read(library: Path) -> None:
    (library / "metadata.csv").write_text(TABLE + "E1/S1/misspelt.tif,E1,S1,0.2,100\n")
    code, _, errors = inspect(library / "E1", library)
    assert code == 1
    assert "misspelt.tif" in errors
    _, _, errors = inspect(library / "E1")
    assert "misspelt.tif" not in errors
