"""TIFF of every kind: samples come back as they were written, colour as the file means it."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from encoder.errors import ScanError, ScanFault
from encoder.scans import open_scan

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from encoder.planes import ReadOptions, ScanInfo

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]


def texture(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    rng = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def read(path: Path, options: ReadOptions | None = None) -> tuple[ScanInfo, NDArray[Any]]:
    """Read all planes of a scan: (P, H, W) or (P, H, W, 3)."""
    with closing(open_scan(path, options)) as source:
        info = source.info
        planes = np.stack([source.plane(index) for index in range(info.n_planes)])
    colour = (3,) if info.channels == 3 else ()
    assert planes.shape == (info.n_planes, info.height, info.width, *colour)
    assert planes.dtype.name == info.dtype
    assert info.is_volume == (info.n_planes > 1)
    return info, planes


def refused(path: Path, options: ReadOptions | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read(path, options)
    assert caught.value.source == path.name
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rock.tif"


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_samples_of_every_type(path: Path, dtype: str, byteorder: Literal["<", ">"]) -> None:
    pixels = texture(37, 53, dtype=dtype)
    tifffile.imwrite(path, pixels, byteorder=byteorder)
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], pixels)
    assert (info.format, info.dtype, info.notes) == ("TIFF", dtype, ())


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "packbits", "lzma", "lerc"])
@pytest.mark.parametrize("shape", [(45, 70), (45, 70, 3)])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 7}, {"tile": (16, 32)}])
def test_lossless_compressions(
    path: Path, compression: str, shape: tuple[int, ...], layout: dict[str, Any]
) -> None:
    pixels = texture(*shape, dtype="uint16")
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(path, pixels, compression=compression, photometric=photometric, **layout)
    np.testing.assert_array_equal(read(path)[1][0], pixels)


@pytest.mark.parametrize(
    ("compression", "predictor", "dtype"),
    [("zlib", 2, "uint8"), ("lzw", 2, "uint16"), ("zstd", 3, "float32"), ("zlib", 3, "float64")],
)
def test_predictors(path: Path, compression: str, predictor: int, dtype: str) -> None:
    pixels = texture(40, 60, dtype=dtype)
    tifffile.imwrite(path, pixels, compression=compression, predictor=predictor)
    np.testing.assert_array_equal(read(path)[1][0], pixels)


@pytest.mark.parametrize("shape", [(64, 80), (64, 80, 3)])
def test_jpeg_compression(path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None] * 3, (64, 80, 3)).copy()
    pixels = pixels if len(shape) == 3 else pixels[..., 0].copy()
    tifffile.imwrite(
        path,
        pixels,
        compression="jpeg",
        compressionargs={"level": 95},
        tile=(32, 32),
        photometric="rgb" if len(shape) == 3 else "minisblack",
    )
    planes = read(path)[1]
    np.testing.assert_allclose(planes[0].astype(int), pixels.astype(int), atol=6)


@pytest.mark.parametrize("compression", ["jpeg2000", "webp", "png", "jpegxl"])
def test_image_compressions(path: Path, compression: str) -> None:
    pixels = texture(48, 64, 3)
    lossless = {"png": {}, "jpegxl": {"lossless": True}, "webp": {"lossless": True}}
    arguments = lossless.get(compression, {"level": 0})
    tifffile.imwrite(
        path,
        pixels,
        compression=compression,
        compressionargs=arguments,
        tile=(32, 32),
        photometric="rgb",
    )
    np.testing.assert_array_equal(read(path)[1][0], pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_rgb_drops_alpha_and_keeps_its_bits(
    path: Path, dtype: str, planar: str, samples: int
) -> None:
    pixels = texture(33, 47, samples, dtype=dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    extra = ["unassalpha"] * (samples - 3)
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, extrasamples=extra)
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], pixels[..., :3])
    assert (info.channels, info.dtype) == (3, dtype)


def test_grey_with_alpha_is_grey(path: Path) -> None:
    pixels = texture(33, 47, 2)
    tifffile.imwrite(
        path,
        pixels,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    np.testing.assert_array_equal(read(path)[1][0], pixels[..., 0])


def test_three_nameless_channels_are_taken_for_rgb_with_a_note(path: Path) -> None:
    pixels = texture(33, 47, 3)
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], pixels)
    assert info.notes == ("three channels without a name are taken for red, green, blue",)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_palettes_are_expanded(path: Path, dtype: str) -> None:
    indices = texture(33, 47, dtype=dtype)
    colours = texture(3, np.iinfo(dtype).max + 1, dtype="uint16")
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours)
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], (colours.T[indices] >> 8).astype(np.uint8))
    assert (info.channels, info.dtype) == (3, "uint8")


def test_a_palette_of_greys_is_one_channel(path: Path) -> None:
    indices = texture(33, 47)
    greys = texture(256, dtype="uint16")
    tifffile.imwrite(path, indices, photometric="palette", colormap=np.stack([greys] * 3))
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], (greys[indices] >> 8).astype(np.uint8))
    assert info.channels == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_white_is_zero_is_inverted_so_that_dark_stays_dark(path: Path, dtype: str) -> None:
    pixels = texture(33, 47, dtype=dtype)
    tifffile.imwrite(path, pixels, photometric="miniswhite")
    planes = read(path)[1]
    assert planes.dtype == dtype
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(planes.ravel()[order].astype(float)) <= 0).all()
    if np.dtype(dtype).kind == "u":
        np.testing.assert_array_equal(planes[0], np.iinfo(dtype).max - pixels)


def test_one_bit_is_two_levels(path: Path) -> None:
    bits = texture(33, 47) > 120
    tifffile.imwrite(path, bits, photometric="minisblack")
    info, planes = read(path)
    np.testing.assert_array_equal(planes[0], bits.astype(np.uint8))
    assert info.dtype == "uint8"


@pytest.mark.parametrize("compression", [None, "group4", "tiff_ccitt", "tiff_lzw"])
def test_fax_pages_of_another_writer(path: Path, compression: str | None) -> None:
    bits = texture(33, 47) > 120
    Image.fromarray(bits).save(path, compression=compression)
    np.testing.assert_array_equal(read(path)[1][0], bits.astype(np.uint8))


def test_cmyk_becomes_rgb(path: Path) -> None:
    inks = texture(33, 47, 4)
    tifffile.imwrite(path, inks, photometric="separated", planarconfig="contig")
    info, planes = read(path)
    left = 1 - inks / 255
    expected = 255 * left[..., :3] * left[..., 3:]
    np.testing.assert_allclose(planes[0], expected, atol=0.51)
    assert (info.channels, info.dtype) == (3, "uint8")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_are_turned_upright(path: Path, orientation: int) -> None:
    pixels = texture(33, 47, dtype="uint16")
    tifffile.imwrite(path, pixels, extratags=[(274, 3, 1, orientation, True)])
    turns = [
        pixels,
        pixels[:, ::-1],
        np.rot90(pixels, 2),
        pixels[::-1],
        pixels.T,
        np.rot90(pixels, -1),
        np.rot90(pixels, 2).T,
        np.rot90(pixels, 1),
    ]
    np.testing.assert_array_equal(read(path)[1][0], turns[orientation - 1])


def test_bigtiff(path: Path) -> None:
    pixels = texture(5, 33, 47, dtype="uint16")
    tifffile.imwrite(path, pixels, bigtiff=True)
    info, planes = read(path)
    np.testing.assert_array_equal(planes, pixels)
    assert info.format == "BigTIFF"


def test_a_plane_of_an_image_is_decoded_once_and_can_not_be_written_to(path: Path) -> None:
    tifffile.imwrite(path, texture(33, 47))
    with closing(open_scan(path)) as source:
        plane = source.plane(0)
        assert source.plane(0) is plane
        assert not plane.flags.writeable
        with pytest.raises(IndexError):
            source.plane(1)


def test_a_volume_is_read_in_the_memory_of_a_few_planes(path: Path) -> None:
    pages, side = 64, 256
    volume = texture(pages, side, side, dtype="uint16")
    tifffile.imwrite(path, volume, compression="zlib")
    plane_bytes = volume[0].nbytes
    with closing(open_scan(path)) as source:
        tracemalloc.start()
        for index in range(pages):
            np.testing.assert_array_equal(source.plane(index), volume[index])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * plane_bytes


@pytest.mark.parametrize(
    ("pixels", "options", "problem"),
    [
        (texture(16, 16, dtype="float32") * 1j, {}, "complex numbers"),
        (texture(16, 16, 5), {"planarconfig": "contig"}, "it has 5 channels"),
        (texture(16, 16, 4), {"planarconfig": "contig"}, "it has 4 channels"),
        (texture(16, 16, 3), {"photometric": "cielab"}, "of the kind CIELAB"),
        (texture(16, 16), {"photometric": "cfa"}, "of the kind CFA"),
        (
            texture(4, 32, 32),
            {"volumetric": True, "tile": (2, 16, 16)},
            "a volume within one page",
        ),
    ],
)
def test_samples_that_are_no_image_are_refused(
    path: Path, pixels: NDArray[Any], options: dict[str, Any], problem: str
) -> None:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})
    error = refused(path)
    assert error.fault is ScanFault.UNSUPPORTED
    assert problem in error.problem
