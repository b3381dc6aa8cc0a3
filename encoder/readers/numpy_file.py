"""NumPy's ``.npy``: an image (H, W), a volume (P, H, W), either with a last axis of colour.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import tokenize
import warnings
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from encoder.readers.flat import check_index, finished
from encoder.readers.grid import Grid, array_grid
from encoder.readers.storage import (
    Storage,
    check_length,
    damaged_header,
    open_stored,
    truncated_header,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.planes import PlaneSource, ReadOptions, ScanInfo

_FORMAT = "NumPy"
_MAX_HEADER_BYTES = 1 << 17  # of which NumPy itself parses 10,000
_HEADER_ERRORS = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,  # what Python's parser raises on deep nesting
)
_BLOCK_BYTES = 64 << 20


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell whether a file starts as a ``.npy`` does."""
    return head.startswith(npy.MAGIC_PREFIX)


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open a ``.npy`` file; nothing is ever unpickled.

    Raises:
        ScanError: ``UNSUPPORTED`` (objects, records, complex numbers, other shapes),
            ``TRUNCATED``, ``SIZE_MISMATCH``, ``UNREADABLE`` (damaged header), or as
            ``make_grid``.
    """
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    shape, by_columns, dtype, offset = _parse(head, path.name)
    grid = array_grid(path.name, shape, dtype=dtype, max_pixels=options.max_pixels)
    info = grid.describe(_FORMAT)
    if not by_columns:
        return open_stored(Storage(path=path, offset=offset), grid, info=info, source=path.name)
    found = path.stat().st_size - offset
    check_length(path.name, expected=grid.total_bytes, found=found)
    return _ColumnMajorPlanes(path.open("rb"), grid, info=info, offset=offset)


class _ColumnMajorPlanes:
    """Planes of an array in Fortran order, whose first axis varies fastest.

    The samples of a plane are strewn over the whole file. It is mapped block by block, so that
    never more than one block is resident.
    """

    def __init__(self, file: IO[bytes], grid: Grid, *, info: ScanInfo, offset: int) -> None:
        self._file = file
        self._grid = grid
        self._info = info
        self._offset = offset

    @property
    def info(self) -> ScanInfo:
        return self._info

    def plane(self, index: int) -> NDArray[Any]:
        check_index(index, self._info.n_planes)
        planes, height, width = self._grid.shape
        samples = np.empty(self._grid.plane_samples, self._grid.dtype)
        row_bytes = planes * self._grid.dtype.itemsize
        step = max(1, _BLOCK_BYTES // row_bytes)
        for start in range(0, samples.size, step):
            stop = min(start + step, samples.size)
            block = np.memmap(
                self._file,
                self._grid.dtype,
                mode="r",
                offset=self._offset + start * row_bytes,
                shape=(stop - start, planes),
            )
            samples[start:stop] = block[:, index]
        return finished(samples.reshape(self._grid.samples, width, height).T)

    def close(self) -> None:
        self._file.close()


def _parse(head: bytes, source: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether in Fortran order, type, and where the data start."""
    stream = io.BytesIO(head)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # headers by Python 2 are fine
            shape, by_columns, dtype = read(stream)
    except _HEADER_ERRORS as error:
        if len(head) < _MAX_HEADER_BYTES and str(error).startswith("EOF: reading"):
            raise truncated_header(source, "shape and type are told") from error
        raise damaged_header(source, error) from error
    return shape, by_columns, dtype, stream.tell()
