"""The eight ways to hold an image, as EXIF and TIFF number them (tag 274, Orientation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

UPRIGHT = 1

_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda plane: plane[:, ::-1],
    3: lambda plane: plane[::-1, ::-1],
    4: lambda plane: plane[::-1],
    5: lambda plane: plane.swapaxes(0, 1),
    6: lambda plane: plane.swapaxes(0, 1)[:, ::-1],
    7: lambda plane: plane.swapaxes(0, 1)[::-1, ::-1],
    8: lambda plane: plane.swapaxes(0, 1)[::-1],
}


def is_sideways(orientation: int) -> bool:
    """Say whether rows and columns change places when the image is turned upright."""
    return 5 <= orientation <= 8


def upright(plane: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn a plane upright.

    Args:
        plane: (H, W) or (H, W, C) as stored.
        orientation: 1 to 8 (TIFF 6.0, section 8); anything else counts as upright.

    Returns:
        The turned plane, contiguous; (W, H) or (W, H, C) where it lay sideways.
    """
    turn = _TURNS.get(orientation)
    return plane if turn is None else np.ascontiguousarray(turn(plane))
