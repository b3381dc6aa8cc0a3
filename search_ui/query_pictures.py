"""What a query looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.regions import Region


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryPicture:
    """A picture of a file that is looked for, and facts of the file.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3), in its scan's grey window; perhaps shrunk.
        slice_index: Slice that is shown; None for a whole 2D image.
        n_slices: Slices that the scan has.
        is_volume: Whether they are planes of a volume.
        width_px: Width that is shown, in pixels of the file.
        height_px: Height, likewise.
        pixel_size_um: Size of a pixel of the file, or None.
        format: Format of the file, such as ``"PNG"``.
        notes: Oddities worth telling.
    """

    pixels: NDArray[np.uint8]
    slice_index: int | None
    n_slices: int
    is_volume: bool
    width_px: int
    height_px: int
    pixel_size_um: float | None
    format: str
    notes: tuple[str, ...] = ()

    @property
    def width_um(self) -> float | None:
        """Width that is shown, in micrometres."""
        return None if self.pixel_size_um is None else self.pixel_size_um * self.width_px


def part_of(pixels: NDArray[np.uint8], region: Region, *, width_um: float | None) -> QueryPicture:
    """Cut a part out of the picture of an indexed slice.

    Args:
        pixels: The whole picture.
        region: The part.
        width_um: Width that the whole picture shows, in micrometres, or None.
    """
    height, width = pixels.shape[:2]
    left, top = int(region.left * width), int(region.top * height)
    right = max(left + 1, math.ceil(region.right * width))
    bottom = max(top + 1, math.ceil(region.bottom * height))
    part = pixels[top:bottom, left:right]
    return QueryPicture(
        pixels=part,
        slice_index=None,
        n_slices=1,
        is_volume=False,
        width_px=part.shape[1],
        height_px=part.shape[0],
        pixel_size_um=None if width_um is None else width_um / width,
        format="picture",
    )
