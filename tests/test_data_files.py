"""Headerless files that a header beside them describes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nrrd  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own documentation's name

from encoder.data_files import is_described_beside
from encoder.scans import is_scan_name

VOLUME = np.random.default_rng(3).integers(0, 255, (4, 5, 6), np.uint8)


def scan_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if is_scan_name(path)}


def test_a_raw_file_that_a_header_names_is_part_of_that_scan(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(VOLUME)
    sitk.WriteImage(image, str(tmp_path / "rock.mhd"))
    header = (tmp_path / "rock.mhd").read_text().replace("rock.raw", "voxels.raw")
    (tmp_path / "other.mhd").write_text(header)
    for name in ("voxels.raw", "alone.raw"):
        (tmp_path / name).write_bytes(VOLUME.tobytes())
    assert scan_names(tmp_path) == {"rock.mhd", "other.mhd", "alone.raw"}


def test_a_raw_file_that_nrrd_names_is_part_of_that_scan(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "rock.nhdr"), VOLUME, {"encoding": "raw"}, detached_header=True)
    (tmp_path / "rock2.raw").write_bytes(VOLUME.tobytes())
    assert scan_names(tmp_path) == {"rock.nhdr", "rock2.raw"}


def test_names_are_compared_whole(tmp_path: Path) -> None:
    (tmp_path / "11.mhd").write_text(
        "Comment = 2_8x16x16.raw and data file: 2_8x16x16.raw\nElementDataFile = 11_8x16x16.raw\n"
    )
    (tmp_path / "other.nhdr").write_text("NRRD0004\n# 1.raw\nnote:=2.raw\ndata file:=2.raw\n\n")
    for name in ("1_8x16x16.raw", "8x16x16.raw", "11.raw", "11_8x16x16.raw", "1.raw", "2.raw"):
        (tmp_path / name).write_bytes(bytes(2048))
    (tmp_path / "2_8x16x16.raw").write_bytes(bytes(2048))
    raw = {name for name in scan_names(tmp_path) if name.endswith(".raw")}
    assert raw == {"1_8x16x16.raw", "2_8x16x16.raw", "8x16x16.raw", "11.raw", "1.raw", "2.raw"}


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("a.mhd", "ElementDataFile = rock 07.raw\n"),
        ("a.MHD", "ElementDataFile=rock 07.raw \r\n"),
        ("a.mhd", "ElementDataFile = ./rock 07.raw"),
        ("a.mhd", "ElementDataFile = LIST 2D\nrock 06.raw\nrock 07.raw\n"),
        ("a.nhdr", "NRRD0004\ndata file: rock 07.raw\n"),
        ("a.nhdr", "NRRD0004\nDATAFILE: LIST\nrock 06.raw\nrock 07.raw"),
    ],
)
def test_the_ways_to_name_a_data_file(tmp_path: Path, header: str, text: str) -> None:
    (tmp_path / header).write_bytes(text.encode())
    assert is_described_beside(tmp_path / "rock 07.raw")
    assert not is_described_beside(tmp_path / "rock 08.raw")


def test_numbered_data_files(tmp_path: Path) -> None:
    (tmp_path / "a.mhd").write_text("ElementDataFile = rock%03d.raw 5 9 2\n")
    (tmp_path / "b.nhdr").write_text("NRRD0004\ndata file: plane%d.raw 1 999999999 1 2\n")
    named = [
        number for number in range(12) if is_described_beside(tmp_path / f"rock{number:03}.raw")
    ]
    assert named == [5, 7, 9]
    assert is_described_beside(tmp_path / "plane1000.raw")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_may_be_of_any_bytes(tmp_path: Path) -> None:
    names = [Path(os.fsdecode(name)) for name in (b"caf\xe9.raw", b"gr\xe8s.raw")]
    for name in names:
        (tmp_path / name).write_bytes(b"rock")
    (tmp_path / "rock.mhd").write_bytes(b"ElementDataFile = caf\xe9.raw\n")
    assert [is_scan_name(tmp_path / name) for name in names] == [False, True]


def test_a_file_in_a_folder_that_is_not_there_is_described_by_none(tmp_path: Path) -> None:
    assert not is_described_beside(tmp_path / "gone" / "rock.raw")


def test_a_new_header_is_seen_at_once(tmp_path: Path) -> None:
    assert not is_described_beside(tmp_path / "rock.raw")
    (tmp_path / "rock.mhd").write_text("ElementDataFile = rock.raw\n")
    os.utime(tmp_path, ns=(1, 1))  # file systems tell changes 4 ms apart, tests are quicker
    assert is_described_beside(tmp_path / "rock.raw")


def test_a_walk_does_not_read_every_header_for_every_file(tmp_path: Path) -> None:
    n_scans = 120
    for number in range(n_scans):
        (tmp_path / f"{number}.mhd").write_text(f"ElementDataFile = {number}.raw\n")
        (tmp_path / f"{number}.raw").write_bytes(b"rock")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from encoder.scans import is_scan_name\n"
        "opened = []\n"
        "sys.addaudithook(lambda name, told: name == 'open' and opened.append(str(told[0])))\n"
        "found = [path for path in Path(sys.argv[1]).iterdir() if is_scan_name(path)]\n"
        "print(len(found), sum(name.endswith('.mhd') for name in opened))"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    n_found, n_opened = map(int, run.stdout.split())
    assert n_found == n_scans
    assert n_scans <= n_opened <= 5 * n_scans  # once, and again for every second that it takes
