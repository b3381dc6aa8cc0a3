from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from encoder.cutting import DecodeOptions
from encoder.decoding import DecodedScan, decode_scan
from encoder.pictures import PictureOptions, draw_preview, draw_thumbnail
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def seen(picture: bytes | None) -> NDArray[np.uint8]:
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L"))


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(40, 30), (700, 300), (300, 2500), (2100, 2600)])
def test_pictures_keep_the_proportions_and_are_bounded(
    height: int, width: int, channels: int
) -> None:
    pixels = gradient(height, width)
    pixels = np.stack([pixels] * 3, axis=-1) if channels == 3 else pixels
    options = PictureOptions()
    for picture, side, kind in (
        (draw_thumbnail(pixels, options), 256, "WEBP"),
        (draw_preview(pixels, options), 2048, "JPEG"),
    ):
        image = Image.open(io.BytesIO(picture))
        scale = min(1.0, side / max(height, width))
        assert image.format == kind
        assert image.size == (round(width * scale), round(height * scale))
        expected = np.linspace(0, 255, image.width)
        # lossy, but the same picture: grey levels of WebP are those of video, 16 to 235
        assert np.abs(np.asarray(image.convert("L"), float) - expected).mean() < 3.0


def test_a_line_of_pixels_has_pictures() -> None:
    assert seen(draw_thumbnail(gradient(1, 5000), PictureOptions())).shape == (1, 256)


def test_no_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PictureOptions(preview_side=0)


def decoded(path: Path, pictures: PictureOptions | None) -> DecodedScan:
    preprocessing = Preprocessing(size=16, slicing=Slicing(planes=3))
    return decode_scan(path, DecodeOptions.for_encoding(preprocessing, pictures=pictures))


def test_slices_of_a_scan_share_its_window_in_pictures_too(tmp_path: Path) -> None:
    """16-bit planes of different brightness: none is stretched for itself, none is black."""
    path = tmp_path / "volume.tif"
    levels = np.array([1000, 2000, 3000], np.uint16)
    volume = np.repeat(np.repeat(levels[:, None, None], 60, axis=1), 90, axis=2)
    tifffile.imwrite(path, volume, photometric="minisblack")
    scan = decoded(path, PictureOptions(thumbnail_side=30))
    previews = [seen(piece.preview) for piece in scan.slices]
    assert [picture.shape for picture in previews] == [(60, 90)] * 3
    assert [seen(piece.thumbnail).shape for piece in scan.slices] == [(20, 30)] * 3
    assert [round(float(picture.mean())) for picture in previews] == pytest.approx(
        [0, 127, 255], abs=3
    )
    assert [piece.pixels.shape for piece in scan.slices] == [(16, 16, 3)] * 3


def test_pictures_are_drawn_only_where_asked_for_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(gradient(50, 50)).save(path)
    without, with_them = decoded(path, None), decoded(path, PictureOptions())
    assert without.slices[0].thumbnail is without.slices[0].preview is None
    (piece,) = with_them.slices
    assert piece.thumbnail is not None
    assert piece.preview is not None
    assert with_them.nbytes == without.nbytes + len(piece.thumbnail) + len(piece.preview)
    assert np.array_equal(piece.pixels, without.slices[0].pixels)
