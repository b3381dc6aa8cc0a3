"""Damaged and odd TIFF files: an error that names the fault, never pixels that nobody stored."""

from __future__ import annotations

import logging
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions
from encoder.scans import open_scan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Tags = dict[int, tuple[str, int | tuple[int, ...]]]
TAG_TYPES = {"H": 3, "I": 4}


def texture(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(sum(shape)).integers(0, 255, shape).astype(dtype)


def read(path: Path, options: ReadOptions | None = None) -> NDArray[Any]:
    with closing(open_scan(path, options)) as source:
        return np.stack([source.plane(index) for index in range(source.info.n_planes)])


def refused(path: Path, options: ReadOptions | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read(path, options)
    assert caught.value.source == path.name
    assert "\n" not in str(caught.value)
    return caught.value


def tiff(tags: Tags, data: bytes) -> bytes:
    """Write a little-endian TIFF file of one page by hand: header, data, tags.

    The first strip's offset is 8.
    """
    entries, longer = b"", b""
    tags_at = 8 + len(data) + len(data) % 2
    values_at = tags_at + 2 + 12 * len(tags) + 4
    for code, (kind, value) in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            packed, longer = struct.pack("<I", values_at + len(longer)), longer + packed
        entries += struct.pack("<HHI4s", code, TAG_TYPES[kind], len(values), packed)
    listed = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", tags_at) + data.ljust(tags_at - 8, b"\0") + listed + longer


def grey_tags(height: int, width: int, bits: int, **others: tuple[str, int]) -> Tags:
    tags: Tags = {
        256: ("I", width),
        257: ("I", height),
        258: ("H", bits),
        259: ("H", 1),
        262: ("H", 1),
        273: ("I", 8),
        277: ("H", 1),
        278: ("I", height),
        279: ("I", height * ((width * bits + 7) // 8)),
    }
    return tags | {int(code.removeprefix("tag")): value for code, value in others.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rock.tif"


WRITERS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib", "rowsperstrip": 4},
    "lzw tiles": {"compression": "lzw", "tile": (16, 16)},
    "jpeg": {"compression": "jpeg", "tile": (16, 16)},
    "plain pages": {"metadata": None},
    "BigTIFF": {"bigtiff": True},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "one page": {"truncate": True},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("shape", [(40, 48), (5, 40, 48)])
def test_a_truncated_file_is_never_filled_with_zeros(
    path: Path, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    pixels = texture(*shape, dtype="uint8")
    if len(shape) == 2 and options.get("metadata"):
        options = {**options, "metadata": {}}
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    whole = read(path)
    data = path.read_bytes()
    for kept in np.linspace(1, len(data) - 1, 40).astype(int):
        path.write_bytes(data[:kept])
        try:
            planes = read(path)
        except ScanError as error:
            expected = {ScanFault.TRUNCATED, ScanFault.UNREADABLE}
            assert kept < 16 or error.fault in expected, error  # noqa: PT017 - or it is whole
        else:  # what was cut off is padding or a tag that nobody needs
            np.testing.assert_array_equal(planes, whole)


def test_a_missing_strip_is_a_fault(path: Path) -> None:
    tifffile.imwrite(path, texture(40, 48), rowsperstrip=10, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages.first.tags[279]
        counts.overwrite([*counts.value[:2], 0, counts.value[3]])
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "page 1 lacks the data of its strip or tile 3" in error.problem


def test_too_few_strips_are_a_fault(path: Path) -> None:
    tags = grey_tags(20, 16, 8, tag278=("I", 10))
    path.write_bytes(tiff(tags, bytes(320)))
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "has 1 of its 2 strips or tiles" in error.problem


def test_fewer_bytes_than_the_size_needs_are_a_fault(path: Path) -> None:
    path.write_bytes(tiff(grey_tags(20, 16, 8, tag279=("I", 300)), bytes(320)))
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "stores 300 bytes where 320 are needed" in error.problem


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits"])
def test_a_damaged_strip_is_a_fault(path: Path, compression: str) -> None:
    tifffile.imwrite(path, texture(64, 64), compression=compression)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[start : start + count] = bytes([0x90]) * count
    path.write_bytes(data)
    error = refused(path)
    assert error.fault in {ScanFault.UNREADABLE, ScanFault.TRUNCATED}
    assert error.problem.startswith("its TIFF data")


def test_a_jpeg_tile_without_an_end_is_a_fault(path: Path) -> None:
    pixels = texture(32, 32, dtype="uint8")
    tifffile.imwrite(path, pixels, compression="jpeg", tile=(32, 32))
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages.first.tags[325]
        counts.overwrite(counts.value[0] // 2)
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "has a JPEG strip or tile, number 1, without an end" in error.problem


@pytest.mark.parametrize("n_pages", [3, 150])
def test_a_circular_chain_is_a_fault(path: Path, n_pages: int) -> None:
    with tifffile.TiffWriter(path) as writer:
        for plane in texture(n_pages, 8, 8):
            writer.write(plane, metadata=None)
    with tifffile.TiffFile(path) as file:
        last, second = file.pages[-1].offset, file.pages[1].offset
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, last)
    struct.pack_into("<I", data, last + 2 + 12 * count, second)
    path.write_bytes(data)
    error = refused(path)
    assert error.fault is ScanFault.UNREADABLE
    assert "runs in a circle" in error.problem


def test_a_page_beyond_the_end_is_a_fault(path: Path) -> None:
    data = bytearray(tiff(grey_tags(8, 8, 8), bytes(64)))
    next_page_at = 8 + 64 + 2 + 12 * 9
    struct.pack_into("<I", data, next_page_at, 1_000_000)
    path.write_bytes(data)
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "its TIFF page 2 should be at byte 1,000,000" in error.problem


def test_pages_that_we_can_not_take_are_not_planes_of_a_volume(path: Path) -> None:
    """A page without a sample type is decoded to nothing by tifffile."""
    tifffile.imwrite(path, texture(6, 8, 8, dtype="uint8"), imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path, mode="r+") as file:
        bits = file.pages[2].aspage().tags[258]
        bits.overwrite(77)
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "does not hold plane 6" in error.problem


def test_text_where_a_number_belongs_is_a_fault(path: Path) -> None:
    data = bytearray(tiff(grey_tags(8, 8, 8), bytes(64)))
    width_at = 8 + 64 + 2
    assert struct.unpack_from("<HH", data, width_at) == (256, 4)
    struct.pack_into("<H", data, width_at + 2, 2)
    path.write_bytes(data)
    assert refused(path).fault is ScanFault.UNREADABLE


def test_an_interrupted_writer_leaves_no_pages(path: Path) -> None:
    path.write_bytes(b"II*\0" + bytes(200))
    error = refused(path)
    assert error.fault is ScanFault.TRUNCATED
    assert "was never written" in error.problem


def test_a_tag_that_can_not_be_read_is_a_fault_if_pixels_depend_on_it(path: Path) -> None:
    tifffile.imwrite(path, texture(8, 8, 3, dtype="uint8"), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        bits = file.pages.first.tags[258].offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, bits + 8, 0x7FFFFFFF)
    path.write_bytes(data)
    error = refused(path)
    assert error.fault is ScanFault.UNREADABLE
    assert "unreadable tag BitsPerSample" in error.problem


def test_a_tag_that_can_not_be_read_is_none_of_our_business_otherwise(
    path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = texture(8, 8)
    extra = [(65000, 1, 8, b"whatever", True)]
    tifffile.imwrite(path, pixels, extratags=extra)
    with tifffile.TiffFile(path) as file:
        private = file.pages.first.tags[65000].offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, private + 8, 0x7FFFFFFF)
    path.write_bytes(data)
    caplog.set_level(logging.DEBUG)
    np.testing.assert_array_equal(read(path)[0], pixels)
    assert capfd.readouterr() == ("", "")
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "65000" in caplog.text


@pytest.mark.parametrize("size", [(0, 8), (8, 0)])
def test_pages_without_pixels_are_refused(path: Path, size: tuple[int, int]) -> None:
    path.write_bytes(tiff(grey_tags(*size, 8), bytes(64)))
    assert refused(path).fault is ScanFault.ZERO_SIZE


def test_decompression_bombs_are_refused_by_their_headers(path: Path) -> None:
    tags = grey_tags(100_000, 100_000, 8, tag259=("H", 8), tag279=("I", 64))
    path.write_bytes(tiff(tags, bytes(64)))
    error = refused(path)
    assert error.fault is ScanFault.TOO_LARGE
    assert "10,000,000,000 pixels" in error.problem


def test_a_small_image_in_a_huge_tile_is_refused(path: Path) -> None:
    tags = grey_tags(16, 16, 8, tag259=("H", 8), tag322=("I", 65536), tag323=("I", 65536))
    del tags[273], tags[278], tags[279]
    path.write_bytes(tiff(tags | {324: ("I", 8), 325: ("I", 64)}, bytes(64)))
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert "tiles of 65,536 x 65,536 pixels are too large" in error.problem


def test_the_limit_of_pixels_can_be_set(path: Path) -> None:
    tifffile.imwrite(path, texture(10, 10))
    assert refused(path, ReadOptions(max_pixels=99)).fault is ScanFault.TOO_LARGE
    assert read(path, ReadOptions(max_pixels=100)).shape == (1, 10, 10)


def test_an_unknown_compression_is_refused(path: Path) -> None:
    path.write_bytes(tiff(grey_tags(8, 8, 8, tag259=("H", 32766)), bytes(64)))
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert "compression NEXT is not known" in error.problem


def test_packed_twelve_bits(path: Path) -> None:
    pixels = texture(6, 8) * 16 + 5
    pairs = pixels.astype(np.uint32).reshape(-1, 2)
    packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    path.write_bytes(tiff(grey_tags(6, 8, 12), packed.tobytes()))
    planes = read(path)
    assert planes.dtype == np.uint16
    np.testing.assert_array_equal(planes[0], pixels)
    path.write_bytes(tiff(grey_tags(6, 8, 12, tag262=("H", 0)), packed.tobytes()))
    np.testing.assert_array_equal(read(path)[0], 4095 - pixels)


def test_a_page_that_does_not_say_what_zero_means_is_not_inverted(path: Path) -> None:
    pixels = texture(6, 8, dtype="uint8")
    tags = grey_tags(6, 8, 8)
    del tags[262]
    path.write_bytes(tiff(tags, pixels.tobytes()))
    np.testing.assert_array_equal(read(path)[0], pixels)


@pytest.mark.parametrize(("code", "name"), [(33628, "STK"), (34412, "LSM"), (34362, "FluoView")])
def test_microscope_formats_with_hidden_axes_are_refused(path: Path, code: int, name: str) -> None:
    path.write_bytes(tiff({**grey_tags(8, 8, 8), code: ("I", 1)}, bytes(64)))
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert f"{name} file" in error.problem
