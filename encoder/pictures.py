"""Pictures of slices that people are shown: small ones for lists, large ones to look closely.

They show the slice as its scan's window shows it, whole and in its own proportions, and are made
where it is decoded: no page ever fetches a whole volume for them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REDUCING_GAP = 2.0
"""Pillow first averages whole boxes of pixels down to twice the wanted size: as good to the eye."""

_REDUCED_FROM = 4.0
"""Shrinking by less than this gains nothing by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How large pictures are.

    Attributes:
        thumbnail_side: Longest side of a thumbnail, in pixels.
        preview_side: Longest side of a preview, in pixels.
    """

    thumbnail_side: int = 256
    preview_side: int = 2048

    def __post_init__(self) -> None:
        """Refuse pictures without pixels.

        Raises:
            ValueError: A side is below 1.
        """
        if min(self.thumbnail_side, self.preview_side) < 1:
            raise ValueError(f"sides of pictures must be at least 1, not {self}")


def draw_thumbnail(pixels: NDArray[np.uint8], options: PictureOptions) -> bytes:
    """Draw the small picture of a slice: WebP, by its quickest method.

    Args:
        pixels: (H, W) or (H, W, 3).
        options: How large it may be; smaller slices keep their size.
    """
    content = io.BytesIO()
    _bounded(pixels, options.thumbnail_side).save(content, "WEBP", quality=75, method=0)
    return content.getvalue()


def draw_preview(pixels: NDArray[np.uint8], options: PictureOptions) -> bytes:
    """Draw the large picture of a slice: JPEG; arguments as `draw_thumbnail`."""
    content = io.BytesIO()
    _bounded(pixels, options.preview_side).save(content, "JPEG", quality=90)
    return content.getvalue()


def _bounded(pixels: NDArray[np.uint8], max_side: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = max_side / max(image.size)
    if scale >= 1.0:
        return image
    return image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
        Image.Resampling.BILINEAR,
        reducing_gap=_REDUCING_GAP if scale * _REDUCED_FROM <= 1.0 else None,
    )
