"""HDF5: one dataset, named or found, read plane by plane.

A file may name other files as the place of its groups, datasets or samples (external links,
external storage, virtual datasets): all of these are refused, so that a hostile file can't have
others read.
"""

from __future__ import annotations

import math
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.errors import ScanError, ScanFault
from encoder.readers.faults import damaged, truncated, unsupported
from encoder.readers.flat import check_index, finished
from encoder.readers.grid import Grid, array_grid
from encoder.readers.hdf5_datasets import only_candidate, resolve
from encoder.readers.units import PixelSize, pixel_size

if TYPE_CHECKING:
    from pathlib import Path

    # h5py has no types.
    import h5py  # type: ignore[import-untyped]
    from numpy.typing import NDArray

    from encoder.planes import PlaneSource, ReadOptions, ScanInfo

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURE_OFFSETS = (0, 512, 1024, 2048)
_CACHE_BYTES = 128 << 20
_CACHE_SLOTS = 10_007  # prime, as HDF5 advises
_MAX_CHUNK_BYTES = 128 << 20
_MAX_REASON = 160
_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, UnicodeError)
"""What h5py raises on damaged files: HDF5's own codes are mapped to one of these."""


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell whether a file has HDF5's signature, at its start or behind a user block."""
    return any(head[at : at + 8] == _SIGNATURE for at in _SIGNATURE_OFFSETS)


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open a dataset of an HDF5 file: (H, W) or (P, H, W), either with a last axis of colour.

    Without ``options.dataset`` the only numeric dataset of three axes is taken, or the only one
    of two where none has three.

    Raises:
        ScanError: ``AMBIGUOUS`` (several datasets), ``NOT_AN_IMAGE`` (none), ``UNSUPPORTED``
            (links and storage outside the file, unknown filters, huge chunks), ``EMPTY``,
            ``TRUNCATED``, ``UNREADABLE`` (damaged), or as ``make_grid``.
    """
    import h5py  # noqa: PLC0415 - heavy, and only needed for this format

    source = path.name
    cache = {"rdcc_nbytes": _CACHE_BYTES, "rdcc_nslots": _CACHE_SLOTS}
    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r", locking=False, **cache))
            name = options.dataset or only_candidate(source, file)
            dataset = resolve(source, file, name=name)
            grid = array_grid(
                source, dataset.shape or (), dtype=dataset.dtype, max_pixels=options.max_pixels
            )
            _check_storage(source, dataset)
            size = _pixel_size(dataset)
        except _ERRORS as error:
            raise _told(source, error) from error
        notes = (f"dataset {dataset.name}", *size.notes)
        info = grid.describe("HDF5", pixel_size_um=size.um, notes=notes)
        stack.pop_all()
    return _DatasetPlanes(file, dataset, grid=grid, info=info, source=source)


class _DatasetPlanes:
    """Planes of one dataset, read by h5py; chunks in use stay in its cache."""

    def __init__(
        self, file: h5py.File, dataset: h5py.Dataset, *, grid: Grid, info: ScanInfo, source: str
    ) -> None:
        self._file = file
        self._dataset = dataset
        self._grid = grid
        self._info = info
        self._source = source

    @property
    def info(self) -> ScanInfo:
        return self._info

    def plane(self, index: int) -> NDArray[Any]:
        check_index(index, self._info.n_planes)
        try:
            samples = self._dataset[index if self._grid.is_volume else ...]
        except _ERRORS as error:
            raise _told(self._source, error) from error
        _, height, width = self._grid.shape
        pixels = np.asarray(samples, self._grid.dtype)
        return finished(pixels.reshape(height, width, self._grid.samples))

    def close(self) -> None:
        self._file.close()


def _check_storage(source: str, dataset: h5py.Dataset) -> None:
    """Refuse samples that lie in other files, that were never written, or that come in lumps."""
    if dataset.is_virtual or dataset.external:
        raise unsupported(
            source,
            f"the samples of its dataset {dataset.name} are in other files",
            "copy them into one file (h5repack), or give the file that holds them",
        )
    if dataset.id.get_storage_size() == 0:
        raise ScanError(
            source,
            ScanFault.EMPTY,
            problem=f"nothing was ever written to its dataset {dataset.name}",
            remedy="export it again",
        )
    unknown = _unknown_filters(dataset)
    if unknown:
        raise unsupported(
            source,
            f"its dataset {dataset.name} is compressed by {unknown}, which is not known here",
            "rewrite it with gzip (h5repack -f GZIP=4)",
        )
    chunk_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk_bytes > _MAX_CHUNK_BYTES:
        raise unsupported(
            source,
            f"its dataset {dataset.name} comes in chunks of {chunk_bytes:,} bytes, at most "
            f"{_MAX_CHUNK_BYTES:,} are read at once",
            "write it with chunks of a plane or less (h5repack -l CHUNK=1x1000x1000)",
        )


def _unknown_filters(dataset: h5py.Dataset) -> str:
    """Name the filters that this installation of HDF5 doesn't have."""
    from h5py import h5z  # noqa: PLC0415 - heavy, and only needed for this format

    made = dataset.id.get_create_plist()
    filters = [made.get_filter(i) for i in range(made.get_nfilters())]
    return " and ".join(
        f"filter {code} ({name.decode('ascii', 'replace')})"
        for code, _, _, name in filters
        if not h5z.filter_avail(code)
    )


def _pixel_size(dataset: h5py.Dataset) -> PixelSize:
    """Take the attribute ``element_size_um`` (z, y, x), as Fiji and ilastik write it."""
    if "element_size_um" not in dataset.attrs:
        return PixelSize(None)
    sizes = np.asarray(dataset.attrs["element_size_um"], np.float64).ravel()
    if sizes.size < 2:
        return PixelSize(None)
    return pixel_size(float(sizes[-1]), float(sizes[-2]), unit="um")


def _told(source: str, error: Exception) -> ScanError:
    reason = textwrap.shorten(str(error), _MAX_REASON)
    if "truncated" in reason:
        return truncated(source, f"it ends too early ({reason})")
    return damaged(source, f"its HDF5 structure is damaged ({reason})")
