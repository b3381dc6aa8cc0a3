from __future__ import annotations

import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as its manual does

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.readers import metaimage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "ElementSpacing": "0.002 0.002 0.004",
    "DimSize": "6 5 4",
    "ElementType": "MET_USHORT",
    "ElementDataFile": "LOCAL",
}
VOXELS = np.arange(4 * 5 * 6, dtype="<u2").reshape(4, 5, 6)


def read(path: Path) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(metaimage.open_planes(path, ReadOptions())) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        metaimage.open_planes(path, ReadOptions(max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def write(path: Path, content: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    """Write a MetaImage by hand; a change of None leaves the field out."""
    fields = {name: value for name, value in {**HEADER, **changes}.items() if value is not None}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")
    text = "".join(f"{name} = {value}\n" for name, value in fields.items())
    path.write_bytes(text.encode() + content)
    return path


def numbers(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.random.default_rng(7).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("name", ["rock.mha", "rock.mhd"])
@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_what_simpleitk_writes_comes_back_voxel_by_voxel(
    tmp_path: Path, dtype: str, is_compressed: bool, name: str
) -> None:
    stored = numbers((4, 5, 6), dtype)
    sitk.WriteImage(sitk.GetImageFromArray(stored), tmp_path / name, is_compressed)
    assert metaimage.matches((tmp_path / name).read_bytes()[:4096], tmp_path / "rock.png")
    info, planes = read(tmp_path / name)
    assert (info.format, info.n_planes, info.height, info.width) == ("MetaImage", 4, 5, 6)
    assert info.is_volume
    assert info.dtype == planes.dtype.name == np.dtype(dtype).name
    np.testing.assert_array_equal(planes, stored)


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_as_simpleitk_writes_it(
    tmp_path: Path, shape: tuple[int, ...], channels: int
) -> None:
    stored = numbers((*shape, channels), "u1")
    sitk.WriteImage(sitk.GetImageFromArray(stored, isVector=True), tmp_path / "thin.mha")
    info, planes = read(tmp_path / "thin.mha")
    assert (info.channels, info.is_volume) == (3, len(shape) == 3)
    np.testing.assert_array_equal(planes, stored.reshape(-1, 5, 6, channels)[..., :3])


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({}, VOXELS.tobytes()),
        ({"BinaryDataByteOrderMSB": "True"}, VOXELS.astype(">u2").tobytes()),
        ({"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "T"}, VOXELS.tobytes()[::-1]),
        ({"ElementType": "MET_ULONG"}, VOXELS.astype("<u4").tobytes()),
        ({"ElementType": "MET_LONG"}, VOXELS.astype("<i4").tobytes()),
        ({"HeaderSize": "-1"}, b"whatever" + VOXELS.tobytes()),
        ({"BinaryData": "False"}, " ".join(map(str, VOXELS.ravel())).encode() + b"\n"),
        (
            {
                "CompressedData": "True",
                "CompressedDataSize": str(len(zlib.compress(VOXELS.tobytes()))),
            },
            zlib.compress(VOXELS.tobytes()),
        ),
        ({"NDims": "2", "DimSize": "12 10", "ElementSpacing": "1 1"}, VOXELS.tobytes()),
    ],
)
def test_variants_of_the_format_are_read_as_itk_reads_them(
    tmp_path: Path, changes: dict[str, str | None], content: bytes
) -> None:
    path = write(tmp_path / "rock.mha", content, **changes)
    reference = sitk.GetArrayFromImage(sitk.ReadImage(path))
    _, planes = read(path)
    assert planes.dtype == reference.dtype
    np.testing.assert_array_equal(planes, reference.reshape(planes.shape))


def test_compressed_voxels_need_no_size_of_the_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.mha", zlib.compress(VOXELS.tobytes()), CompressedData="True")
    np.testing.assert_array_equal(read(path)[1], VOXELS)


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.mhd", b"", ElementDataFile="voxels of rock.raw")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    VOXELS.tofile(tmp_path / "voxels of rock.raw")
    assert metaimage.matches(path.read_bytes(), path)
    np.testing.assert_array_equal(read(path)[1], VOXELS)


def test_a_data_file_may_have_a_header_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.mhd", b"", ElementDataFile="rock.raw", HeaderSize="7")
    (tmp_path / "rock.raw").write_bytes(b"seven b" + VOXELS.tobytes())
    np.testing.assert_array_equal(read(path)[1], VOXELS)


@pytest.mark.parametrize(
    ("spacing", "expected", "note"),
    [
        ("0.002 0.002 0.004", 2.0, None),
        ("0.00225 0.00225 0.00225", 2.25, None),
        ("1 1 1", None, "pixel size ignored: ElementSpacing 1 is what writers put by default"),
        ("0.002 0.003 0.002", 2.0, "pixels are not square: 2 x 3 um, width taken"),
        ("0 0 0", None, "pixel size ignored: 0 x 0 is no size"),
        ("nan nan nan", None, "pixel size ignored: nan x nan is no size"),
        (None, None, None),
    ],
)
def test_spacing_is_millimetres_unless_it_is_the_default(
    tmp_path: Path, spacing: str | None, expected: float | None, note: str | None
) -> None:
    info, _ = read(write(tmp_path / "rock.mha", ElementSpacing=spacing))
    assert info.pixel_size_um == expected
    assert info.notes == (() if note is None else (note,))


@pytest.mark.parametrize(
    "name", ["../secret.raw", "/etc/passwd", "a/secret.raw", "..", ".", "", "a\\b.raw", "C:b.raw"]
)
def test_a_data_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "folder" / "a").mkdir(parents=True)
    (tmp_path / "folder" / "a" / "secret.raw").write_bytes(VOXELS.tobytes())
    told = refusal(write(tmp_path / "folder" / "rock.mhd", b"", ElementDataFile=name))
    assert told.fault is ScanFault.UNSUPPORTED
    assert f"from '{name}', expected the name of a file in the same folder" in str(told)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rock.raw").symlink_to(tmp_path / "secret.raw")
    told = refusal(write(tmp_path / "folder" / "rock.mhd", b"", ElementDataFile="rock.raw"))
    assert told.fault is ScanFault.UNSUPPORTED
    assert "'rock.raw' is a link that leaves the folder" in str(told)


def test_header_and_voxels_may_be_links_to_one_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "views").mkdir()
    write(tmp_path / "store" / "rock.mhd", b"", ElementDataFile="rock.raw")
    VOXELS.tofile(tmp_path / "store" / "rock.raw")
    for name in ("rock.mhd", "rock.raw"):
        (tmp_path / "views" / name).symlink_to(tmp_path / "store" / name)
    np.testing.assert_array_equal(read(tmp_path / "views" / "rock.mhd")[1], VOXELS)


@pytest.mark.parametrize("name", ["LIST", "LIST 2", "slice%03d.raw 1 4 1"])
def test_voxels_in_several_files_are_unsupported(tmp_path: Path, name: str) -> None:
    told = refusal(write(tmp_path / "rock.mhd", b"\na.raw\nb.raw\n", ElementDataFile=name))
    assert told.fault is ScanFault.UNSUPPORTED
    assert "spread over several files" in str(told)


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    told = refusal(write(tmp_path / "rock.mhd", b"", ElementDataFile="rock.raw"))
    assert told.fault is ScanFault.UNREADABLE
    assert "its voxels are in 'rock.raw', which is not beside it; put that file" in str(told)


def test_the_first_data_file_named_is_the_one_that_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.mha")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"LOCAL\n", b"LOCAL\nElementDataFile = ../x.raw\n"))
    told = refusal(path)
    assert told.fault is ScanFault.SIZE_MISMATCH
    assert "promises 240 bytes of voxels, 267 were found" in str(told)


@pytest.mark.parametrize(
    ("content", "fault", "problem"),
    [
        (VOXELS.tobytes()[:-1], ScanFault.TRUNCATED, "240 bytes of voxels, 239 were found"),
        (VOXELS.tobytes() + b"x", ScanFault.SIZE_MISMATCH, "240 bytes of voxels, 241 were found"),
    ],
)
def test_voxels_fewer_or_more_than_promised(
    tmp_path: Path, content: bytes, fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.mha", content))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize(
    ("content", "fault", "problem"),
    [
        (zlib.compress(VOXELS.tobytes())[:-9], ScanFault.TRUNCATED, "before its end mark"),
        (zlib.compress(VOXELS.tobytes()[:99]), ScanFault.TRUNCATED, "240 bytes of voxels, 99"),
        (zlib.compress(bytes(241)), ScanFault.SIZE_MISMATCH, "to more than the 240 bytes"),
        (zlib.compress(bytes(10**7)), ScanFault.SIZE_MISMATCH, "to more than the 240 bytes"),
        (b"x\x9cnot deflate", ScanFault.UNREADABLE, "its zlib stream is damaged"),
        (b"", ScanFault.TRUNCATED, "its voxels start at byte"),
    ],
)
def test_compressed_voxels_that_are_not_what_is_promised(
    tmp_path: Path, content: bytes, fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.mha", content, CompressedData="True"))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize(
    ("content", "fault", "problem"),
    [
        (b"1 2 3", ScanFault.TRUNCATED, "240 bytes of voxels, 6 were found"),
        (b"1 " * 121, ScanFault.SIZE_MISMATCH, "240 bytes of voxels, 242 were found"),
        (b"x " * 120, ScanFault.UNREADABLE, "text that is not uint16"),
        (b"70000 " * 120, ScanFault.UNREADABLE, "text that is not uint16"),
        (b"1 " * 119 + b"1" * 1000, ScanFault.UNREADABLE, "over 40 digits"),
        (b" " * (8 << 20) + b"1 ", ScanFault.UNSUPPORTED, "text of over 8,388,608 bytes"),
    ],
)
def test_voxels_as_text_that_are_not_what_is_promised(
    tmp_path: Path, content: bytes, fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.mha", content, BinaryData="False"))
    assert told.fault is fault
    assert problem in str(told)


@pytest.mark.parametrize(
    ("changes", "fault", "problem"),
    [
        ({"DimSize": "6 0 4"}, ScanFault.ZERO_SIZE, "4 x 0 x 6 voxels"),
        ({"DimSize": "6 -5 4"}, ScanFault.ZERO_SIZE, "4 x -5 x 6 voxels"),
        ({"DimSize": "6 5 1"}, ScanFault.TOO_THIN, "1 x 5 x 6 voxels"),
        ({"DimSize": "60000 50000 4"}, ScanFault.TOO_LARGE, "3,000,000,000 pixels"),
        ({"DimSize": "6 5 4 2", "NDims": "4"}, ScanFault.UNSUPPORTED, "it has 4 dimensions"),
        ({"ElementNumberOfChannels": "2"}, ScanFault.UNSUPPORTED, "of 2 x MET_USHORT"),
        ({"ElementType": "MET_STRING"}, ScanFault.UNSUPPORTED, "of 1 x MET_STRING"),
        ({"NDims": "2"}, ScanFault.UNREADABLE, "NDims is 2, DimSize has 3 numbers"),
        ({"NDims": None}, ScanFault.UNREADABLE, "its header is damaged: 'NDims'"),
        ({"DimSize": "6 5 four"}, ScanFault.UNREADABLE, "its header is damaged: invalid literal"),
        ({"ElementType": None}, ScanFault.UNREADABLE, "its header is damaged: 'ElementType'"),
        ({"ElementSpacing": "a b c"}, ScanFault.UNREADABLE, "its header is damaged: could not"),
        ({"HeaderSize": "9" * 30}, ScanFault.TRUNCATED, "240 bytes of voxels, 0 were found"),
    ],
)
def test_headers_that_cannot_be_used(
    tmp_path: Path, changes: dict[str, str | None], fault: ScanFault, problem: str
) -> None:
    told = refusal(write(tmp_path / "rock.mha", VOXELS.tobytes(), **changes))
    assert told.fault is fault
    assert problem in str(told)


def test_a_header_without_its_last_line_is_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "rock.mha")
    path.write_bytes(path.read_bytes().split(b"ElementDataFile")[0])
    told = refusal(path)
    assert told.fault is ScanFault.TRUNCATED
    assert "ends within its header, before ElementDataFile" in str(told)


def test_a_header_that_never_ends_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rock.mha"
    path.write_bytes(b"NDims = 3\nDimSize = 6 5 4\n" + b"Comment = rock\n" * 10_000)
    assert "it names no ElementDataFile" in str(refusal(path))


@pytest.mark.parametrize("head", [b"", b"NDims", b"\x89PNG\r\n", b"NDims = 3\n", b"a = b\n" * 99])
def test_other_content_does_not_match(tmp_path: Path, head: bytes) -> None:
    assert not metaimage.matches(head, tmp_path / "rock.mha")
