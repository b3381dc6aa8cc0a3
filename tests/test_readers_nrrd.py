from __future__ import annotations

import bz2
import gzip
from contextlib import closing
from typing import TYPE_CHECKING, Any

import nrrd as pynrrd  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.readers import nrrd

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HEADER = {
    "type": "uint16",
    "dimension": "3",
    "sizes": "6 5 4",
    "endian": "little",
    "encoding": "raw",
}
VOXELS = np.arange(4 * 5 * 6, dtype="<u2").reshape(4, 5, 6)


def read(path: Path) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(nrrd.open_planes(path, ReadOptions())) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        nrrd.open_planes(path, ReadOptions(max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def write(path: Path, content: bytes, changes: dict[str, str | None]) -> Path:
    """Write an NRRD file by hand; a change of None leaves the field out."""
    fields = {name: value for name, value in {**HEADER, **changes}.items() if value is not None}
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    path.write_bytes(b"NRRD0004\n# by hand\n" + text.encode() + b"\n" + content)
    return path


def numbers(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.random.default_rng(7).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">i2", "<u4", "i4", "u8", ">i8", "f4", ">f8"])
def test_what_pynrrd_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, dtype: str, encoding: str
) -> None:
    path, stored = tmp_path / "rock.nrrd", numbers((4, 5, 6), dtype)
    pynrrd.write(str(path), stored, {"encoding": encoding}, index_order="C")
    assert nrrd.matches(path.read_bytes()[:4096], tmp_path / "rock.png")
    info, planes = read(path)
    assert (info.format, info.n_planes, info.height, info.width) == ("NRRD", 4, 5, 6)
    assert info.is_volume
    assert info.dtype == planes.dtype.name == np.dtype(dtype).name
    np.testing.assert_array_equal(planes, stored)


@pytest.mark.parametrize("name", ["rock.nrrd", "rock.nhdr"])
@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_what_simpleitk_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, shape: tuple[int, ...], is_compressed: bool, name: str
) -> None:
    stored = numbers(shape, "u2")
    sitk.WriteImage(sitk.GetImageFromArray(stored), tmp_path / name, is_compressed)
    info, planes = read(tmp_path / name)
    assert info.is_volume == (len(shape) == 3)
    np.testing.assert_array_equal(planes, stored.reshape(-1, 5, 6))


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_as_simpleitk_writes_it(
    tmp_path: Path, shape: tuple[int, ...], channels: int
) -> None:
    stored = numbers((*shape, channels), "u1")
    sitk.WriteImage(sitk.GetImageFromArray(stored, isVector=True), tmp_path / "thin.nrrd")
    info, planes = read(tmp_path / "thin.nrrd")
    assert (info.channels, info.is_volume) == (3, len(shape) == 3)
    np.testing.assert_array_equal(planes, stored.reshape(-1, 5, 6, channels)[..., :3])


TEXT = " ".join(map(str, VOXELS.ravel())).encode()


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({"type": "unsigned short int", "endian": "Little"}, VOXELS.tobytes()),
        ({"kinds": "domain domain domain"}, VOXELS.tobytes()),
        ({"kinds": "space space list"}, VOXELS.tobytes()),
        ({"line skip": "2"}, b"one\ntwo\n" + VOXELS.tobytes()),
        ({"lineskip": "1", "byteskip": "3"}, b"one\nabc" + VOXELS.tobytes()),
        ({"byte skip": "-1"}, b"whatever" + VOXELS.tobytes()),
        ({"byte skip": "2", "encoding": "gz"}, gzip.compress(b"ab" + VOXELS.tobytes(), mtime=0)),
        ({"line skip": "1", "encoding": "bz2"}, b"one\n" + bz2.compress(VOXELS.tobytes())),
        ({"encoding": "txt", "endian": None}, TEXT),
        ({"encoding": "text", "byte skip": "2"}, b"x " + TEXT),
    ],
)
def test_variants_of_the_format(
    tmp_path: Path, changes: dict[str, str | None], content: bytes
) -> None:
    np.testing.assert_array_equal(read(write(tmp_path / "rock.nrrd", content, changes))[1], VOXELS)


def test_gzip_in_several_members_is_one_stream(tmp_path: Path) -> None:
    halves = VOXELS.tobytes()[:100], VOXELS.tobytes()[100:]
    content = b"".join(map(gzip.compress, halves))
    path = write(tmp_path / "rock.nrrd", content, {"encoding": "gzip"})
    np.testing.assert_array_equal(read(path)[1], VOXELS)


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.nrrd", b"", {})
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + VOXELS.tobytes())
    np.testing.assert_array_equal(read(path)[1], VOXELS)


@pytest.mark.parametrize(
    ("changes", "expected", "note"),
    [
        ({"spacings": "2.25 2.25 2.25", "units": '"um" "um" "um"'}, 2.25, None),
        ({"spacings": "0.002 0.002 0.004", "units": '"mm" "mm" "mm"'}, 2.0, None),
        ({"spacings": "2 2 2", "units": '"microns" "microns" ""'}, 2.0, None),
        (
            {
                "space dimension": "3",
                "space directions": "(0,0.003,0) (0.003,0,0) (0,0,0.01)",
                "space units": '"mm" "mm" "mm"',
            },
            3.0,
            None,
        ),
        ({"spacings": "2 2 2"}, None, "2 has no unit"),
        (
            {"space": "left-posterior-superior", "space directions": "(2,0,0) (0,2,0) (0,0,2)"},
            None,
            "2 has no unit",
        ),
        ({"spacings": "2 2 2", "units": '"furlong" "" ""'}, None, "unit 'furlong' is not known"),
        ({"spacings": "2 2 2", "units": '"um" "mm" ""'}, None, "its axes have units ['mm', 'um']"),
        ({"spacings": "nan 2 2", "units": '"um" "um" "um"'}, None, "nan x 2 is no size"),
        ({}, None, None),
    ],
)
def test_spacing_counts_only_with_its_unit(
    tmp_path: Path, changes: dict[str, str | None], expected: float | None, note: str | None
) -> None:
    info, _ = read(write(tmp_path / "rock.nrrd", VOXELS.tobytes(), changes))
    assert info.pixel_size_um == expected
    assert info.notes == (() if note is None else (f"pixel size ignored: {note}",))


def test_the_spacing_of_a_colour_image_is_that_of_its_axes_in_space(tmp_path: Path) -> None:
    changes: dict[str, str | None] = {
        "type": "uint8",
        "sizes": "3 5 4",
        "kinds": "RGB-color domain domain",
        "spacings": "nan 7.5 7.5",
        "units": '"" "um" "um"',
    }
    info, planes = read(write(tmp_path / "thin.nrrd", bytes(range(60)), changes))
    assert (info.pixel_size_um, info.channels) == (7.5, 3)
    np.testing.assert_array_equal(planes.ravel(), np.arange(60))


@pytest.mark.parametrize("field", ["data file", "datafile"])
@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "a/secret.raw", "..", "."])
def test_a_data_file_elsewhere_is_refused(tmp_path: Path, name: str, field: str) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "folder" / "a").mkdir(parents=True)
    (tmp_path / "folder" / "a" / "secret.raw").write_bytes(VOXELS.tobytes())
    told = refusal(write(tmp_path / "folder" / "rock.nhdr", b"", {field: name}))
    assert told.fault is ScanFault.UNSUPPORTED
    assert f"from '{name}', expected the name of a file in the same folder" in str(told)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rock.raw").symlink_to(tmp_path / "secret.raw")
    told = refusal(write(tmp_path / "folder" / "rock.nhdr", b"", {"data file": "rock.raw"}))
    assert told.fault is ScanFault.UNSUPPORTED
    assert "'rock.raw' is a link that leaves the folder" in str(told)


@pytest.mark.parametrize("name", ["LIST", "LIST 2", "slice%03d.raw 1 4 1"])
def test_voxels_in_several_files_are_unsupported(tmp_path: Path, name: str) -> None:
    told = refusal(write(tmp_path / "rock.nhdr", b"a.raw\nb.raw\n", {"data file": name}))
    assert told.fault is ScanFault.UNSUPPORTED
    assert "spread over several files" in str(told)


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    told = refusal(write(tmp_path / "rock.nhdr", b"", {"data file": "rock.raw"}))
    assert told.fault is ScanFault.UNREADABLE
    assert "its voxels are in 'rock.raw', which is not beside it; put that file" in str(told)


@pytest.mark.parametrize(
    ("encoding", "content", "fault", "problem"),
    [
        ("raw", VOXELS.tobytes()[:-1], ScanFault.TRUNCATED, "240 bytes of voxels, 239"),
        ("raw", VOXELS.tobytes() + b"x", ScanFault.SIZE_MISMATCH, "240 bytes of voxels, 241"),
        (
            "gzip",
            gzip.compress(VOXELS.tobytes(), mtime=0)[:-9],
            ScanFault.TRUNCATED,
            "before its end mark",
        ),
        (
            "gzip",
            gzip.compress(bytes(239), mtime=0),
            ScanFault.TRUNCATED,
            "240 bytes of voxels, 239",
        ),
        (
            "gzip",
            gzip.compress(bytes(10**7), mtime=0),
            ScanFault.SIZE_MISMATCH,
            "more than the 240 bytes",
        ),
        ("gzip", b"no gzip at all", ScanFault.UNREADABLE, "its gzip stream is damaged"),
        ("bzip2", bz2.compress(VOXELS.tobytes())[:-9], ScanFault.TRUNCATED, "before its end mark"),
        ("bzip2", bz2.compress(bytes(10**7)), ScanFault.SIZE_MISMATCH, "more than the 240 bytes"),
        ("bzip2", b"no bzip2 at all", ScanFault.UNREADABLE, "its bzip2 stream is damaged"),
        ("ascii", b"1 2 3", ScanFault.TRUNCATED, "240 bytes of voxels, 6"),
        ("ascii", b"x " * 120, ScanFault.UNREADABLE, "text that is not uint16"),
        ("hex", b"00" * 240, ScanFault.UNSUPPORTED, "its encoding is 'hex', expected one of raw"),
    ],
)
def test_voxels_that_are_not_what_is_promised(
    tmp_path: Path, encoding: str, content: bytes, fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.nrrd", content, {"encoding": encoding}))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize(
    ("changes", "fault", "problem"),
    [
        ({"sizes": "6 0 4"}, ScanFault.ZERO_SIZE, "4 x 0 x 6 voxels"),
        ({"sizes": "6 5 1"}, ScanFault.TOO_THIN, "1 x 5 x 6 voxels"),
        ({"sizes": "6e300 5 4"}, ScanFault.ZERO_SIZE, "expected at least one along each axis"),
        ({"sizes": "60000 50000 4"}, ScanFault.TOO_LARGE, "3,000,000,000 pixels"),
        ({"sizes": "6 5 4 2", "dimension": "4"}, ScanFault.UNSUPPORTED, "[6, 5, 4, 2] of kinds"),
        ({"sizes": "120", "dimension": "1"}, ScanFault.UNSUPPORTED, "[120] of kinds unknown"),
        ({"kinds": "domain domain RGB-color"}, ScanFault.UNSUPPORTED, "'rgb-color'"),
        ({"kinds": "complex domain domain"}, ScanFault.UNSUPPORTED, "'complex'"),
        ({"kinds": "domain domain"}, ScanFault.UNREADABLE, "its header is damaged"),
        ({"dimension": "2"}, ScanFault.UNREADABLE, "dimension is 2, sizes has 3"),
        ({"type": "block"}, ScanFault.UNSUPPORTED, "its samples are of type 'block'"),
        ({"endian": None}, ScanFault.UNREADABLE, "KeyError('endian')"),
        ({"sizes": None}, ScanFault.UNREADABLE, "KeyError('sizes')"),
        ({"encoding": None}, ScanFault.UNREADABLE, "KeyError('encoding')"),
        ({"endian": "middle"}, ScanFault.UNREADABLE, "KeyError('middle')"),
        ({"dimension": "three"}, ScanFault.UNREADABLE, "invalid literal for int()"),
        ({"byte skip": "-2"}, ScanFault.UNREADABLE, "byte skip is -2"),
        ({"byte skip": "-1", "encoding": "gzip"}, ScanFault.UNREADABLE, "byte skip is -1"),
        ({"line skip": "9"}, ScanFault.UNREADABLE, "line skip is 9"),
        ({"line skip": "-1"}, ScanFault.UNREADABLE, "line skip is -1"),
        ({"space directions": "1 2 3"}, ScanFault.UNREADABLE, "enclosed by parentheses"),
        ({"units": '"um'}, ScanFault.UNREADABLE, "No closing quotation"),
    ],
)
def test_headers_that_cannot_be_used(
    tmp_path: Path, changes: dict[str, str | None], fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.nrrd", bytes(240), changes))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize("line", [b"no colon\n", b"type: uint8\n", b"\xff\xfe\x00\n"])
def test_damaged_lines_are_told(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "rock.nrrd", VOXELS.tobytes(), {})
    path.write_bytes(path.read_bytes().replace(b"# by hand\n", b"type: uint16\n" + line))
    assert "its header is damaged" in str(refusal(path))


def test_a_later_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rock.nrrd"
    path.write_bytes(b"NRRD0009\ntype: uint8\n\n")
    assert "Unsupported NRRD file version" in str(refusal(path))


def test_a_file_that_no_longer_starts_as_nrrd_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rock.nrrd"
    path.write_bytes(b"\n\n")
    assert not nrrd.matches(path.read_bytes(), path)
    assert "its header is damaged: Invalid NRRD magic line" in str(refusal(path))


def test_a_header_that_ends_too_early_is_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.nrrd", b"", {})
    path.write_bytes(path.read_bytes()[:-1])
    told = refusal(path)
    assert told.fault is ScanFault.TRUNCATED
    assert "ends within its header" in str(told)


def test_a_header_that_never_ends_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rock.nrrd"
    path.write_bytes(b"NRRD0004\n" + b"# rock\n" * 200_000)
    assert "no blank line ends it" in str(refusal(path))
