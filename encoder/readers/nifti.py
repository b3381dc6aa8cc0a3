"""NIfTI-1 and NIfTI-2: ``.nii``, and ``.nii.gz`` spooled to disk.

Format: https://nifti.nimh.nih.gov. nibabel reads the header; columns vary fastest in the file,
so that the planes along the last axis lie in it one after the other.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.readers.faults import unsupported
from encoder.readers.grid import Grid, make_grid
from encoder.readers.spool import decompressed_head
from encoder.readers.storage import Storage, damaged_header, open_stored, truncated_header
from encoder.readers.units import PixelSize, default_pixel_size, pixel_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.planes import PlaneSource, ReadOptions, ScanInfo

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 540  # NIfTI-2's; NIfTI-1's 348 are followed by 4 bytes of extension flags
_UNITS = {1: "m", 2: "mm", 3: "um"}  # nifti1.h, NIFTI_UNITS_*: the low three bits of xyzt_units


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell whether a file is NIfTI, by the magic string in its header, inflated if need be."""
    if head.startswith(_GZIP_MAGIC):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _HEADER_BYTES)
        except zlib.error:
            return False
    return _version(head) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What a header tells, axes in the file's order: columns first."""

    version: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing: tuple[float, ...]
    unit: str | None
    slope: float
    intercept: float
    offset: int


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open a NIfTI file; planes lie along its last axis, each (y, x).

    Values are scaled by the header's slope and intercept, where it has them; planes are then
    float64.

    Raises:
        ScanError: ``UNSUPPORTED`` (4D, complex, pair of header and image), ``UNREADABLE``
            (damaged), ``TRUNCATED``, ``SIZE_MISMATCH``, ``TOO_LARGE`` (to spool), or as
            ``make_grid``.
    """
    source = path.name
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if is_gzip:
            head = decompressed_head(file, "gzip", size=_HEADER_BYTES, source=source)
        else:
            head = file.read(_HEADER_BYTES)
    header = _parse(head, source)
    grid = _grid(source, header, max_pixels=options.max_pixels)
    size = _pixel_size(header)
    info = grid.describe(f"NIfTI-{header.version}", pixel_size_um=size.um, notes=size.notes)
    storage = Storage(path=path, offset=header.offset)
    if is_gzip:
        storage = Storage(path=path, offset=0, encoding="gzip", skip=header.offset)
    planes = open_stored(
        storage, grid, info=info, source=source, max_spool_bytes=options.max_spool_bytes
    )
    if (header.slope, header.intercept) == (1.0, 0.0) or grid.samples > 1:
        return planes
    return _ScaledPlanes(planes, slope=header.slope, intercept=header.intercept)


class _ScaledPlanes:
    """Planes whose stored values are multiplied and shifted."""

    def __init__(self, planes: PlaneSource, *, slope: float, intercept: float) -> None:
        self._planes = planes
        self._slope = slope
        self._intercept = intercept

    @property
    def info(self) -> ScanInfo:
        stored = self._planes.info
        note = f"stored {stored.dtype} values are scaled: {self._slope:g} x + {self._intercept:g}"
        return dataclasses.replace(stored, dtype="float64", notes=(*stored.notes, note))

    def plane(self, index: int) -> NDArray[np.float64]:
        return self._planes.plane(index) * np.float64(self._slope) + self._intercept

    def close(self) -> None:
        self._planes.close()


def _version(head: bytes) -> int | None:
    if head[344:348] in {b"n+1\0", b"ni1\0"}:
        return 1
    return 2 if head[4:8] in {b"n+2\0", b"ni2\0"} else None


def _parse(head: bytes, source: str) -> _Header:
    # nibabel is heavy, and only needed for this format.
    from nibabel.nifti1 import Nifti1Header  # noqa: PLC0415
    from nibabel.nifti2 import Nifti2Header  # noqa: PLC0415
    from nibabel.spatialimages import HeaderDataError  # noqa: PLC0415
    from nibabel.wrapstruct import WrapStructError  # noqa: PLC0415

    version = _version(head) or 1
    kind: Any = Nifti1Header if version == 1 else Nifti2Header  # its methods have no types
    size = kind.template_dtype.itemsize
    if len(head) < size:
        raise truncated_header(source, f"its {size} bytes are complete")
    if head[344:347] == b"ni1" or head[4:7] == b"ni2":
        raise unsupported(
            source, "it is the header of a pair (.hdr and .img)", "save it as one .nii file"
        )
    try:
        header = kind(head[:size], check=False)
        slope, intercept = header.get_slope_inter()
        told = _Header(
            version=version,
            shape=tuple(int(length) for length in header.get_data_shape()),
            dtype=header.get_data_dtype(),
            spacing=tuple(float(zoom) for zoom in header.get_zooms()),
            unit=_UNITS.get(int(header["xyzt_units"]) % 8),
            slope=1.0 if slope is None else float(slope),
            intercept=0.0 if intercept is None else float(intercept),
            offset=int(header["vox_offset"]),
        )
    except (WrapStructError, HeaderDataError, KeyError, ValueError, OverflowError) as error:
        raise damaged_header(source, repr(error)) from error
    if told.offset < size:
        raise damaged_header(source, f"its voxels start at byte {told.offset}, inside it")
    return told


def _grid(source: str, header: _Header, *, max_pixels: int) -> Grid:
    shape = list(header.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    if len(shape) not in (2, 3):
        raise unsupported(
            source,
            f"its shape is {header.shape}, expected 2 or 3 dimensions",
            "save one image or one volume",
        )
    colours = header.dtype.names
    return make_grid(
        source,
        (shape[2] if len(shape) == 3 else 1, shape[1], shape[0]),
        dtype=header.dtype[0] if colours else header.dtype,
        samples=len(colours) if colours else 1,
        is_volume=len(shape) == 3,
        max_pixels=max_pixels,
    )


def _pixel_size(header: _Header) -> PixelSize:
    across, down, *_ = header.spacing
    if header.unit == "mm":
        return default_pixel_size(across, down, field="pixdim")
    return pixel_size(across, down, unit=header.unit)
