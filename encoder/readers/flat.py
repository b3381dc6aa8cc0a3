"""Planes that lie one after the other in a file, read one at a time.

Planes are read, not memory-mapped: a mapping of a file that shrinks meanwhile kills the process
(SIGBUS) instead of raising, and counts against limits of address space.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from encoder.readers.faults import truncated
from encoder.readers.grid import COLOUR_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoder.planes import ScanInfo
    from encoder.readers.grid import Grid


class FlatPlanes:
    """Planes of a file that holds nothing but planes from some byte on.

    Args:
        file: Open file, closed by ``close``.
        grid: Shape and type of the voxels.
        info: Facts of the scan.
        offset: Byte at which the first plane starts.
        source: Name of the scan, for errors.
    """

    def __init__(
        self, file: IO[bytes], grid: Grid, *, info: ScanInfo, offset: int, source: str
    ) -> None:
        self._file = file
        self._grid = grid
        self._info = info
        self._offset = offset
        self._source = source

    @property
    def info(self) -> ScanInfo:
        """Facts of the scan."""
        return self._info

    def plane(self, index: int) -> NDArray[Any]:
        """Read plane ``index``: (H, W) or (H, W, 3), native byte order, stored sample type.

        Raises:
            ScanError: ``TRUNCATED``: the file has shrunk since it was opened.
            IndexError: There is no such plane.
        """
        check_index(index, self._info.n_planes)
        grid = self._grid
        self._file.seek(self._offset + index * grid.plane_bytes)
        samples = np.fromfile(self._file, grid.dtype, grid.plane_samples)
        if samples.size < grid.plane_samples:
            raise truncated(
                self._source,
                f"plane {index} has {samples.size:,} samples, "
                f"expected {grid.plane_samples:,}: the file has become shorter",
            )
        _, height, width = grid.shape
        return finished(samples.reshape(height, width, grid.samples))

    def close(self) -> None:
        """Close the file; what was spooled is gone with it."""
        self._file.close()


def finished(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn stored pixels (H, W, S) into a plane: native byte order, alpha and S = 1 dropped."""
    is_colour = pixels.shape[-1] in COLOUR_SAMPLES
    pixels = pixels[..., :3] if is_colour else pixels[..., 0]
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def check_index(index: int, n_planes: int) -> None:
    """Refuse the index of a plane that doesn't exist.

    Raises:
        IndexError: ``index`` is not in 0 … ``n_planes`` - 1.
    """
    if not 0 <= index < n_planes:
        raise IndexError(f"plane {index} of a scan with {n_planes}")
