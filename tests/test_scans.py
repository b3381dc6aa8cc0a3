"""Opening scans: content decides, and what is no scan is refused with a reason and a remedy."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py  # type: ignore[import-untyped]  # it has no types
import nrrd  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does
import tifffile
from PIL import Image

from encoder.errors import ScanError, ScanFault
from encoder.planes import RawLayout, ReadOptions
from encoder.scans import SCAN_SUFFIXES, is_scan_name, open_scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

VOLUME = np.random.default_rng(0).integers(0, 60_000, (5, 20, 30), dtype=np.uint16)
PICTURE = (VOLUME[0] >> 8).astype(np.uint8)


def refused(path: Path, options: ReadOptions | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        open_scan(path, options)
    assert caught.value.source == path.name
    assert str(caught.value).startswith(f"{path.name}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return caught.value


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["rock"] = VOLUME


WRITERS: dict[str, tuple[str, Callable[[Path], object], NDArray[Any]]] = {
    "PNG": (".png", lambda path: Image.fromarray(PICTURE).save(path), PICTURE[None]),
    "BMP": (".bmp", lambda path: Image.fromarray(PICTURE).save(path), PICTURE[None]),
    "TIFF": (".tif", lambda path: tifffile.imwrite(path, VOLUME), VOLUME),
    "BigTIFF": (".btf", lambda path: tifffile.imwrite(path, VOLUME, bigtiff=True), VOLUME),
    "NumPy": (".npy", lambda path: np.save(path, VOLUME), VOLUME),
    "NRRD": (".nrrd", lambda path: nrrd.write(str(path), VOLUME, index_order="C"), VOLUME),
    "MetaImage": (
        ".mha",
        lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path)),
        VOLUME,
    ),
    "NIfTI": (
        ".nii.gz",
        lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path)),
        VOLUME,
    ),
    "HDF5": (".h5", write_hdf5, VOLUME),
    "raw": ("_5x20x30_uint16.raw", lambda path: path.write_bytes(VOLUME.tobytes()), VOLUME),
}


@pytest.mark.parametrize("format_name", WRITERS)
def test_every_format_finds_its_reader(tmp_path: Path, format_name: str) -> None:
    suffix, write, expected = WRITERS[format_name]
    path = tmp_path / f"rock{suffix}"
    write(path)
    with closing(open_scan(path)) as source:
        planes = [source.plane(index) for index in range(source.info.n_planes)]
        assert source.info.format.startswith(format_name)
        assert not [note for note in source.info.notes if note.startswith("named")]
    np.testing.assert_array_equal(planes, expected)


@pytest.mark.parametrize("format_name", [name for name in WRITERS if name != "raw"])
def test_content_decides_and_a_suffix_that_belies_it_is_told(
    tmp_path: Path, format_name: str
) -> None:
    suffix, write, expected = WRITERS[format_name]
    path = tmp_path / f"rock{suffix}"
    write(path)
    path = path.rename(tmp_path / "ROCK.JPG")
    with closing(open_scan(path)) as source:
        np.testing.assert_array_equal(source.plane(0), expected[0])
        assert source.info.notes[0] == f"named .jpg, but its content is {source.info.format}"


@pytest.mark.parametrize("name", ["rock", "rock.dat", "rock.jpeg.old"])
def test_a_suffix_that_promises_nothing_belies_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(PICTURE).save(path, "PNG")
    with closing(open_scan(path)) as source:
        assert source.info.notes == ()


def test_a_layout_makes_any_file_a_headerless_volume(tmp_path: Path) -> None:
    path = tmp_path / "rock.tif"
    tifffile.imwrite(path, VOLUME, metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = path.stat().st_size - VOLUME.nbytes
        assert file.pages.first.dataoffsets
    path.write_bytes(bytes(offset) + VOLUME.tobytes())
    layout = RawLayout(shape=(5, 20, 30), dtype="<u2", header_bytes=offset)
    with closing(open_scan(path, ReadOptions(raw=layout))) as source:
        np.testing.assert_array_equal(source.plane(3), VOLUME[3])
        assert source.info.notes == ("named .tif, but its content is raw",)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    error = refused(tmp_path / "rock.tif")
    assert error.fault is ScanFault.UNREADABLE
    assert error.problem == "does not exist"


def test_a_folder(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert error.fault is ScanFault.UNREADABLE
    assert "is a folder" in error.problem


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "rock.tif"
    os.mkfifo(path)
    assert "a device or a pipe" in refused(path).problem


def test_paths_that_can_not_be(tmp_path: Path) -> None:
    loop = tmp_path / "loop.tif"
    loop.symlink_to(loop)
    within_a_file = tmp_path / "file" / "rock.tif"
    within_a_file.parent.write_bytes(b"no folder")
    for path in (loop, within_a_file, tmp_path / ("x" * 300), tmp_path / "null\0.tif"):
        error = refused(path)
        assert error.fault is ScanFault.UNREADABLE
        assert "can't be read" in error.problem


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read all"
)
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rock.tif"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    assert "Permission denied" in refused(path).problem


@pytest.mark.parametrize("name", ["rock.tif", "rock.png", "rock_4x4x4_uint8.raw"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    error = refused(path)
    assert error.fault is ScanFault.EMPTY
    assert error.problem == "the file is empty"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rock.txt", "granite")
    return buffer.getvalue()


def as_gif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("Porosität: 0,2\n".encode(), "text file"),
        (b"sample,porosity\na,0.2\n", "text file"),
        (b"<!DOCTYPE html><p>Sign in", "web page"),
        (b"<?xml version='1.0'?>", "XML document"),
        (b"%PDF-1.7\n\x80\x81", "PDF document"),
        (zipped(), "ZIP archive"),
        (gzip.compress(b"no volume", mtime=0), "gzip archive"),
        (bytes(5000), "file of zeros"),
        (b"\x7fELF\x02\x01\x01\0", "file of a kind that is not known"),
        (b"BMW does not build rocks", "text file"),
        (b"I", "text file"),
        (b"\x89", "file of a kind that is not known"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "rock.tif"
    path.write_bytes(content)
    error = refused(path)
    assert error.fault is ScanFault.NOT_AN_IMAGE
    assert error.problem.startswith(f"it is a {name}, expected PNG,")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (as_gif(), "GIF image"),
        (bytes(128) + b"DICM", "DICOM image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 image"),
        (b"8BPS\0\1", "Photoshop image"),
        (b"\0\0\0 ftypheic", "HEIC image"),
        (b"P5\n20 30\n255\n", "PGM image"),
    ],
)
def test_images_of_other_formats_are_named(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "rock.png"
    path.write_bytes(content)
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert error.problem.startswith(f"it is a {name}, expected PNG,")


def test_opening_imports_only_what_the_file_needs(tmp_path: Path) -> None:
    path = tmp_path / "rock.png"
    Image.fromarray(PICTURE).save(path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import encoder.scans\n"
        "heavy = {'numpy', 'PIL', 'tifffile', 'h5py', 'SimpleITK', 'torch'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "encoder.scans.open_scan(Path(sys.argv[1])).close()\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["[]", "['PIL', 'numpy']"]


@pytest.mark.parametrize(
    "name",
    ["a.png", "A.TIF", "b.ome.tiff", "c.nii.gz", "d.mhd", "e.raw", "f.HDF5", "g.jpeg", "h.npy"],
)
def test_names_of_scans(name: str) -> None:
    assert is_scan_name(Path(name))


@pytest.mark.parametrize(
    "name",
    ["a.json", "metadata.csv", "b.raw.json", "c.gz", "d.tar.gz", ".hidden.png", "._a.tif", "e", ""],
)
def test_names_of_other_files(name: str) -> None:
    assert not is_scan_name(Path(name))


def test_suffixes_are_written_small_and_with_their_dot() -> None:
    assert {".png", ".tif", ".nii.gz", ".raw"} <= SCAN_SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SCAN_SUFFIXES)


def test_a_layout_given_for_a_folder_leaves_its_pictures_alone(tmp_path: Path) -> None:
    options = ReadOptions(raw=RawLayout(shape=(2, 4, 4), dtype="<u2"))
    Image.new("L", (4, 4), 7).save(tmp_path / "plane.png")
    (tmp_path / "scan.raw").write_bytes(bytes(range(64)))
    (tmp_path / "scan.dat").write_bytes(bytes(range(64)))
    formats = []
    for name in ("plane.png", "scan.raw", "scan.dat"):
        with closing(open_scan(tmp_path / name, options)) as scan:
            formats.append(scan.info.format)
    assert formats == ["PNG", "raw", "raw"]


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".h5", ".mha"])
def test_images_of_a_pixel_s_breadth_are_refused(
    tmp_path: Path, suffix: str, shape: tuple[int, int]
) -> None:
    path = tmp_path / f"line{suffix}"
    line = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    match suffix:
        case ".npy":
            np.save(path, line)
        case ".h5":
            with h5py.File(path, "w") as file:
                file["line"] = line
        case ".mha":
            sitk.WriteImage(sitk.GetImageFromArray(line), str(path))
        case _:
            Image.fromarray(line).save(path)
    with pytest.raises(ScanError, match="pixels, expected at least 2 along each axis") as told:
        open_scan(path)
    assert told.value.fault is ScanFault.TOO_THIN
