"""PNG, JPEG, WebP and BMP: every pixel as it was written, no picture that is only half there."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.scans import open_scan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp"}
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}}


def texture(*shape: int, dtype: type = np.uint8) -> NDArray[Any]:
    """Noise over a slope: no two rows, columns or turns of it are alike."""
    rng = np.random.default_rng(sum(shape))
    top = np.iinfo(dtype).max
    slope = np.linspace(0, top / 2, int(np.prod(shape))).reshape(shape)
    return (slope + rng.integers(0, top // 2, shape)).astype(dtype)


def read(path: Path, options: ReadOptions | None = None) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(open_scan(path, options)) as source:
        info, plane = source.info, source.plane(0)
    assert plane.shape[:2] == (info.height, info.width)
    assert plane.ndim == (3 if info.channels == 3 else 2)
    assert plane.dtype.name == info.dtype
    assert plane.dtype.isnative
    assert (info.n_planes, info.is_volume, info.pixel_size_um) == (1, False, None)
    return info, plane


def refused(path: Path, options: ReadOptions | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        read(path, options)
    assert caught.value.source == path.name
    assert "\n" not in str(caught.value)
    return caught.value


def encoded(pixels: NDArray[Any] | Image.Image, format_name: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def written(folder: Path, data: bytes | bytearray, format_name: str) -> Path:
    path = folder / f"rock{SUFFIXES[format_name]}"
    path.write_bytes(data)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(b"\0" * 64)),
            png_chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize(
    ("format_name", "shape"),
    [
        ("PNG", (37, 53)),
        ("PNG", (37, 53, 3)),
        ("BMP", (37, 53)),
        ("BMP", (37, 53, 3)),
        ("WEBP", (37, 53, 3)),
    ],
)
def test_lossless_pictures_come_back_pixel_by_pixel(
    tmp_path: Path, format_name: str, shape: tuple[int, ...]
) -> None:
    pixels = texture(*shape)
    data = encoded(pixels, format_name, **LOSSLESS.get(format_name, {}))
    info, plane = read(written(tmp_path, data, format_name))
    np.testing.assert_array_equal(plane, pixels)
    assert info.format == {"WEBP": "WebP"}.get(format_name, format_name)
    assert info.notes == ()


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png_keeps_sixteen_bits_and_drops_alpha(tmp_path: Path, samples: int) -> None:
    shape = (21, 34) if samples == 1 else (21, 34, samples)
    pixels = texture(*shape, dtype=np.uint16)
    path = written(tmp_path, imagecodecs.png_encode(pixels), "PNG")
    _, plane = read(path)
    expected = {1: pixels, 2: pixels[..., 0], 3: pixels, 4: pixels[..., :3]}[samples]
    assert plane.dtype == np.uint16
    np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    ("format_name", "mode"), [("PNG", "LA"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("BMP", "RGBA")]
)
def test_alpha_is_dropped_whatever_it_hides(tmp_path: Path, format_name: str, mode: str) -> None:
    pixels = texture(19, 23, len(mode))
    pixels[..., -1] = np.arange(23) * 10
    image = Image.fromarray(pixels, mode)
    data = encoded(image, format_name, **LOSSLESS.get(format_name, {}))
    _, plane = read(written(tmp_path, data, format_name))
    np.testing.assert_array_equal(plane, pixels[..., 0] if mode == "LA" else pixels[..., :3])


@pytest.mark.parametrize("format_name", ["PNG", "BMP"])
def test_palettes_are_expanded(tmp_path: Path, format_name: str) -> None:
    indices = texture(16, 31) % 7
    palette = texture(7, 3)
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.tobytes())
    info, plane = read(written(tmp_path, encoded(image, format_name), format_name))
    assert info.channels == 3
    np.testing.assert_array_equal(plane, palette[indices])


def test_a_palette_of_greys_is_one_channel(tmp_path: Path) -> None:
    indices = texture(16, 31) % 5
    greys = np.array([200, 3, 77, 40, 255], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(np.repeat(greys, 3).tobytes())
    info, plane = read(written(tmp_path, encoded(image, "PNG"), "PNG"))
    assert info.channels == 1
    np.testing.assert_array_equal(plane, greys[indices])


def test_transparent_palettes_keep_their_colours(tmp_path: Path) -> None:
    indices = texture(16, 31) % 4
    palette = texture(4, 3)
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.tobytes())
    path = written(tmp_path, encoded(image, "PNG", transparency=bytes([0, 255, 128, 7])), "PNG")
    np.testing.assert_array_equal(read(path)[1], palette[indices])


@pytest.mark.parametrize("format_name", ["PNG", "BMP"])
def test_one_bit_fills_the_range(tmp_path: Path, format_name: str) -> None:
    bits = texture(17, 29) > 120
    _, plane = read(written(tmp_path, encoded(bits, format_name), format_name))
    np.testing.assert_array_equal(plane, bits * np.uint8(255))


@pytest.mark.parametrize("shape", [(40, 56), (40, 56, 3)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_what_another_decoder_sees(
    tmp_path: Path, shape: tuple[int, ...], *, progressive: bool
) -> None:
    data = encoded(texture(*shape), "JPEG", quality=90, progressive=progressive)
    info, plane = read(written(tmp_path, data, "JPEG"))
    assert info.format == "JPEG"
    np.testing.assert_allclose(plane.astype(int), imagecodecs.jpeg_decode(data).astype(int), atol=1)


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[...] = (255, 102, 0, 51)
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    _, plane = read(written(tmp_path, data, "JPEG"))
    expected = (0, 153 * 204 / 255, 204)  # (1 - ink) * (1 - black)
    np.testing.assert_allclose(plane.reshape(-1, 3).mean(axis=0), expected, atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "JPEG"])
def test_pictures_are_turned_upright(tmp_path: Path, format_name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    data = encoded(texture(24, 40, 3), format_name, exif=exif, **LOSSLESS.get(format_name, {}))
    info, plane = read(written(tmp_path, data, format_name))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(plane, np.asarray(upright))
    assert (info.width, info.height) == upright.size


def test_sixteen_bit_png_is_turned_upright_too(tmp_path: Path) -> None:
    pixels = texture(6, 9, 3, dtype=np.uint16)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    data = imagecodecs.png_encode(pixels)
    start = data.index(b"IDAT") - 4
    data = data[:start] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[start:]
    _, plane = read(written(tmp_path, data, "PNG"))
    np.testing.assert_array_equal(plane, np.rot90(pixels, -1))


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    pixels = texture(12, 12, 3)
    data = encoded(pixels, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7fjunk")
    _, plane = read(written(tmp_path, data, "JPEG"))
    assert plane.shape == (12, 12, 3)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_says_so(tmp_path: Path, format_name: str) -> None:
    first, second = texture(20, 20, 3), texture(20, 20, 3)[::-1].copy()
    data = encoded(
        Image.fromarray(first),
        format_name,
        save_all=True,
        append_images=[Image.fromarray(second)],
        **LOSSLESS[format_name],
    )
    info, plane = read(written(tmp_path, data, format_name))
    np.testing.assert_array_equal(plane, first)
    assert info.notes == ("an animation: only its first frame is read",)


def test_a_plane_is_decoded_once_and_can_not_be_written_to(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(texture(8, 8), "PNG"), "PNG")
    with closing(open_scan(path)) as source:
        plane = source.plane(0)
        assert source.plane(0) is plane
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 1
        with pytest.raises(IndexError):
            source.plane(1)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_picture_is_never_painted_grey(
    tmp_path: Path, format_name: str, part: float
) -> None:
    data = encoded(texture(64, 64, 3), format_name)
    error = refused(written(tmp_path, data[: int(len(data) * part)], format_name))
    assert error.fault is ScanFault.TRUNCATED
    assert error.remedy == "copy it again from its origin"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_goes_on_in_zeros_is_refused(tmp_path: Path, *, progressive: bool) -> None:
    """A broken download into reserved space; its missing part would decode to grey."""
    thumbnail = encoded(texture(8, 8, 3), "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + thumbnail
    data = encoded(texture(64, 64, 3), "JPEG", progressive=progressive, exif=exif)
    half = len(data) * 2 // 3
    error = refused(written(tmp_path, data[:half] + bytes(len(data) - half), "JPEG"))
    assert error.fault is ScanFault.TRUNCATED


def test_a_jpeg_may_be_followed_by_anything(tmp_path: Path) -> None:
    data = encoded(texture(16, 16), "JPEG")
    assert read(written(tmp_path, data + b"camera's own", "JPEG"))[0].width == 16


def test_a_sixteen_bit_png_without_its_end_is_refused(tmp_path: Path) -> None:
    data = imagecodecs.png_encode(texture(64, 64, 3, dtype=np.uint16))
    assert refused(written(tmp_path, data[:-12], "PNG")).fault is ScanFault.TRUNCATED


def test_a_png_that_fails_its_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(texture(64, 64, 3), "PNG"))
    data[len(data) // 2] ^= 0xFF
    error = refused(written(tmp_path, bytes(data), "PNG"))
    assert error.fault is ScanFault.UNREADABLE
    assert "does not match its checksum" in error.problem


def test_damaged_pixels_behind_a_right_checksum_are_refused(tmp_path: Path) -> None:
    data = png_claiming(8, 8).replace(
        png_chunk(b"IDAT", zlib.compress(b"\0" * 64)), png_chunk(b"IDAT", b"no deflate stream")
    )
    error = refused(written(tmp_path, data, "PNG"))
    assert error.fault is ScanFault.UNREADABLE
    assert "PNG image is damaged" in error.problem


@pytest.mark.parametrize("size", [(0, 8), (8, 0)])
def test_pictures_without_pixels_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    bmp = bytearray(encoded(texture(8, 8), "BMP"))
    struct.pack_into("<ii", bmp, 18, *size)
    for data, format_name in ((png_claiming(*size), "PNG"), (bytes(bmp), "BMP")):
        assert refused(written(tmp_path, data, format_name)).fault is ScanFault.ZERO_SIZE


def test_decompression_bombs_are_refused_by_their_headers(tmp_path: Path) -> None:
    webp = b"WEBPVP8X" + struct.pack("<II", 10, 0) + (16382).to_bytes(3, "little") * 2
    webp = b"RIFF" + struct.pack("<I", len(webp)) + webp
    jpeg = bytearray(encoded(texture(8, 8), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    bmp = bytearray(encoded(texture(8, 8), "BMP"))
    struct.pack_into("<ii", bmp, 18, 100_000, -100_000)
    for data, format_name in (
        (png_claiming(100_000, 100_000), "PNG"),
        (webp, "WEBP"),
        (bytes(jpeg), "JPEG"),
        (bytes(bmp), "BMP"),
    ):
        error = refused(written(tmp_path, data, format_name))
        assert error.fault is ScanFault.TOO_LARGE, format_name
        assert "at most 250,000,000 are decoded" in error.problem


def test_the_limit_of_pixels_can_be_set(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(texture(10, 10), "PNG"), "PNG")
    assert refused(path, ReadOptions(max_pixels=99)).fault is ScanFault.TOO_LARGE
    assert read(path, ReadOptions(max_pixels=100))[0].width == 10
