"""What a query looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
