"""A part of a picture, told in fractions of it, so that it is the same at every size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from encoder.errors import LithoscopeError
from encoder.slicing import TileBox

MIN_SIDE_PX = 8
"""Shorter side of what is cut out, in pixels: in less there is no texture."""


class RegionError(LithoscopeError):
    """A region that can't be cut out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A box in fractions of a picture's sides, from its left upper corner.

    Attributes:
        left: Left edge, 0 to 1.
        top: Upper edge, 0 to 1.
        right: Right edge, above ``left``.
        bottom: Lower edge, above ``top``.

    Raises:
        RegionError: Edges that are out of bounds, or in the wrong order.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        """Refuse what is no part of a picture."""
        edges = (self.left, self.top, self.right, self.bottom)
        is_inside = all(math.isfinite(edge) and 0.0 <= edge <= 1.0 for edge in edges)
        if not is_inside or self.left >= self.right or self.top >= self.bottom:
            told = ", ".join(f"{edge:g}" for edge in edges)
            raise RegionError(
                f"region {told}: expected left, top, right, bottom as fractions from 0 to 1, left "
                "below right and top below bottom; draw the box anew"
            )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return (self.left, self.top, self.right, self.bottom) == (0.0, 0.0, 1.0, 1.0)

    def box(self, whole: TileBox) -> TileBox:
        """Place it on a picture, to whole pixels.

        Args:
            whole: The picture's own box.

        Returns:
            The smallest box that holds it.

        Raises:
            RegionError: It is too small to show anything.
        """
        left, top = (
            start + math.floor(edge * length + _ROUNDING)
            for start, edge, length in (
                (whole.x, self.left, whole.width),
                (whole.y, self.top, whole.height),
            )
        )
        right, bottom = (
            start + math.ceil(edge * length - _ROUNDING)
            for start, edge, length in (
                (whole.x, self.right, whole.width),
                (whole.y, self.bottom, whole.height),
            )
        )
        width, height = right - left, bottom - top
        least = min(MIN_SIDE_PX, whole.width, whole.height)
        if min(width, height) < least:
            raise RegionError(
                f"region: {width} x {height} pixels of {whole.width} x {whole.height}, expected "
                f"at least {least} x {least}; draw a larger box"
            )
        return TileBox(x=left, y=top, width=width, height=height)


_ROUNDING = 1e-6
"""Part of a pixel that is taken for a rounding error of the fractions."""
