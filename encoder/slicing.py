"""Which slices of a scan are encoded (docs/design.md D11), and what a slice knows of its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.planes import ScanInfo


MAX_ELONGATION = 2.0
"""Longer side of a tile divided by its shorter side, from which fewer tiles are preferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileBox:
    """A tile's box within its image, in pixels of the image.

    Attributes:
        x: Leftmost column.
        y: Topmost row.
        width: Columns.
        height: Rows.
    """

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlace:
    """Where a slice lies in its scan.

    Attributes:
        index: Number of the slice among the scan's slices, from 0.
        axis: 0, the slowest axis, for a plane of a volume; None for a 2D image.
        plane: Number of the plane in the volume, from 0; None for a 2D image.
        position: Place along the axis, 0 (first plane) to 1 (last plane); None for a 2D image.
        tile: Box of a tile; None where the slice is a whole plane or image.
    """

    index: int
    axis: int | None = None
    plane: int | None = None
    position: float | None = None
    tile: TileBox | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice(SlicePlace):
    """A slice: its place and its pixels.

    Attributes:
        pixels: Grey levels in the scan's window, (H, W) or, in colour, (H, W, 3).
        thumbnail: A small picture of it (`encoder.pictures`), if it was asked for.
        preview: A large picture of it, likewise.
    """

    pixels: NDArray[np.uint8]
    thumbnail: bytes | None = None
    preview: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels and pictures."""
        return self.pixels.nbytes + len(self.thumbnail or b"") + len(self.preview or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """How a scan is cut into slices.

    A volume gives ``planes`` of its planes, evenly spaced, ``margin`` of the planes at either end
    left out (the ends of a scan cylinder are often empty or blurred), or every inner plane where
    there are fewer. An image with both sides of at least ``tile_min_side`` gives ``tiles`` tiles.
    Any other image is one slice.

    Attributes:
        planes: Slices of a volume, at most.
        margin: Fraction of the planes that is left out at either end, 0 to below 0.5.
        tiles: Slices of a large image.
        tile_min_side: Shorter side in pixels from which an image is cut into tiles.
    """

    planes: int = 90
    margin: float = 0.05
    tiles: int = 60
    tile_min_side: int = 1024

    def __post_init__(self) -> None:
        """Refuse settings that give no slices.

        Raises:
            ValueError: A setting is out of its range.
        """
        if self.planes < 1 or self.tiles < 1 or self.tile_min_side < 1:
            raise ValueError(f"planes, tiles and tile_min_side must be at least 1, not {self}")
        if not 0.0 <= self.margin < 0.5:
            raise ValueError(f"margin must be at least 0 and below 0.5, not {self.margin}")

    def places(self, info: ScanInfo) -> tuple[SlicePlace, ...]:
        """List the slices of a scan.

        Args:
            info: Facts of the scan.

        Returns:
            At least one place, ordered by index; planes ascend, tiles go row by row.
        """
        if info.is_volume:
            return tuple(
                SlicePlace(
                    index=index,
                    axis=0,
                    plane=plane,
                    position=plane / max(info.n_planes - 1, 1),
                )
                for index, plane in enumerate(self.plane_numbers(info.n_planes))
            )
        if min(info.height, info.width) >= self.tile_min_side:
            boxes = tile_boxes(info.height, info.width, tiles=self.tiles)
            return tuple(SlicePlace(index=index, tile=box) for index, box in enumerate(boxes))
        return (SlicePlace(index=0),)

    def plane_numbers(self, n_planes: int) -> tuple[int, ...]:
        """Choose planes of a volume.

        Args:
            n_planes: Planes of the volume, at least 1.

        Returns:
            Ascending, distinct numbers of planes: the middles of equal parts of the inner ones.
        """
        first = math.floor(self.margin * n_planes + 1e-9)  # 0.29 * 100 is 28.999999999999996
        inner = n_planes - 2 * first
        count = min(self.planes, inner)
        return tuple(first + (2 * part + 1) * inner // (2 * count) for part in range(count))


def tile_boxes(height: int, width: int, *, tiles: int) -> tuple[TileBox, ...]:
    """Cut an image into a grid of tiles that covers it without gaps or overlaps.

    Of all grids of exactly ``tiles`` tiles, the one with the squarest tiles is taken: 60 tiles of
    an image up to 25 times as long as wide are at most 5/3 times as long as wide. Where all grids
    make tiles more than twice as long as wide, as those of a prime number do, the count is lowered.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        tiles: Wanted number of tiles, at most height times width.

    Returns:
        The boxes, row by row from the top left; sides of tiles differ by one pixel at most.
    """
    rows, columns = _grid(height, width, tiles=tiles)
    ys = [row * height // rows for row in range(rows + 1)]
    xs = [column * width // columns for column in range(columns + 1)]
    return tuple(
        TileBox(x=left, y=top, width=right - left, height=bottom - top)
        for top, bottom in pairwise(ys)
        for left, right in pairwise(xs)
    )


def _grid(height: int, width: int, *, tiles: int) -> tuple[int, int]:
    """Rows and columns of the grid."""

    def elongation(grid: tuple[int, int]) -> float:
        """Longer side of a tile divided by its shorter side."""
        aspect = (width / grid[1]) / (height / grid[0])
        return max(aspect, 1.0 / aspect)

    squarest = [
        min(grids, key=elongation)
        for count in range(tiles, 0, -1)
        if (grids := _grids(height, width, count=count))
    ]
    for grid in squarest:
        if elongation(grid) <= MAX_ELONGATION:
            return grid
    return min(squarest, key=elongation)


def _grids(height: int, width: int, *, count: int) -> list[tuple[int, int]]:
    """Rows and columns of every grid of so many tiles whose tiles have a pixel at least."""
    return [
        (rows, count // rows)
        for rows in range(1, count + 1)
        if count % rows == 0 and rows <= height and count // rows <= width
    ]
