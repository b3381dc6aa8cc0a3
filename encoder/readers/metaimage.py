"""ITK's MetaImage: ``.mha`` (one file) and ``.mhd`` with its voxels in a file beside it.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation

The header is a few lines of text and is read here, not by ITK: only so is it certain that the
data file that was checked is the one that is opened, and only so are compressed voxels read
plane by plane.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.readers.faults import unsupported
from encoder.readers.grid import COLOUR_SAMPLES, Grid, make_grid
from encoder.readers.storage import (
    Joined,
    Storage,
    damaged_header,
    open_stored,
    several_files,
    sibling,
    truncated_header,
)
from encoder.readers.units import PixelSize, default_pixel_size

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import PlaneSource, ReadOptions
    from encoder.readers.storage import Encoding

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",  # 32 bits on every machine, whatever C's long is (MetaIO, metaTypes.h)
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MAX_HEADER_BYTES = 1 << 16
_FIELD = re.compile(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_LAST_FIELD = re.compile(
    rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*([^\r\n]*?)[ \t\r]*(\n|\Z)", re.MULTILINE
)
_LOCAL = {"LOCAL", "Local", "local"}
_SKIP_FIELD = re.compile(rb"^[ \t]*HeaderSize[ \t]*=[^\n]*(\n|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Header:
    """Fields of a header by name, its bytes but for the last field, and the byte after it."""

    fields: dict[str, str]
    text: bytes
    data_file: str
    end: int

    def is_true(self, *names: str) -> bool:
        return any(self.fields.get(name, "")[:1] in {"T", "t", "1"} for name in names)

    def numbers(self, name: str) -> list[float]:
        return [float(word) for word in self.fields.get(name, "").split()]


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell whether a file starts with a MetaImage's lines of ``Name = value``."""
    start = _FIELD.match(head.lstrip())
    names = {field[1] for field in _FIELD.finditer(head)}
    return start is not None and b"DimSize" in names and bool(names & {b"ElementType", b"NDims"})


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open a MetaImage; compressed voxels are spooled to disk.

    Raises:
        ScanError: ``UNREADABLE`` (damaged header or stream, missing data file), ``UNSUPPORTED``
            (dimensions, type, several data files, a data file elsewhere), ``TRUNCATED``,
            ``SIZE_MISMATCH``, ``TOO_LARGE`` (to spool), or as ``make_grid``.
    """
    header = _read_header(path)
    try:
        grid = _grid(path.name, header, max_pixels=options.max_pixels)
        size = _pixel_size(header)
        storage = _storage(path, header)
    except (ValueError, KeyError, OverflowError) as error:
        raise damaged_header(path.name, error) from error
    info = grid.describe("MetaImage", pixel_size_um=size.um, notes=size.notes)
    return open_stored(
        storage,
        grid,
        info=info,
        source=path.name,
        max_spool_bytes=options.max_spool_bytes,
    )


def joined(path: Path) -> Joined | None:
    """Say how a header and its voxels become one file; None where they are one already.

    Raises:
        ScanError: ``UNREADABLE`` (damaged header, missing data file) or ``UNSUPPORTED`` (several
            data files, a data file elsewhere).
        OSError: A file can't be read.
    """
    header = _read_header(path)
    data = _data_file(path, header)
    if data is None:
        return None
    try:
        skip = int(header.fields.get("HeaderSize", "0"))
    except ValueError as error:
        raise damaged_header(path.name, error) from error
    # a size of -1 says that the file ends with the voxels, which stays true
    text = _SKIP_FIELD.sub(b"", header.text) if skip >= 0 else header.text
    return Joined(header=text + b"ElementDataFile = LOCAL\n", data=data, offset=max(skip, 0))


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    last = _LAST_FIELD.search(head)
    if last is None:
        if len(head) == _MAX_HEADER_BYTES:
            raise damaged_header(path.name, "it names no ElementDataFile")
        raise truncated_header(path.name, "ElementDataFile")
    fields = {
        field[1].decode("latin-1"): field[2].decode("latin-1")
        for field in _FIELD.finditer(head[: last.start()])
    }
    text = head[: last.start()]
    return _Header(fields, text, last[1].decode("utf-8", "replace"), last.end())


def _grid(source: str, header: _Header, *, max_pixels: int) -> Grid:
    sizes = [int(word) for word in header.fields["DimSize"].split()]
    if len(sizes) != int(header.fields["NDims"]):
        raise ValueError(f"NDims is {header.fields['NDims']}, DimSize has {len(sizes)} numbers")
    samples = int(header.fields.get("ElementNumberOfChannels", "1"))
    element = header.fields["ElementType"].removesuffix("_ARRAY")
    supported = samples in (1, *COLOUR_SAMPLES) and len(sizes) in (2, 3) and element in _TYPES
    if not supported:
        raise unsupported(
            source,
            f"it has {len(sizes)} dimensions of {samples} x {element}, expected 2 or 3 "
            "dimensions of 1 (grey), 3 or 4 (colour) numbers",
            "save one image or one volume",
        )
    is_big = header.is_true("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = np.dtype(_TYPES[element]).newbyteorder(">" if is_big else "<")
    planes = sizes[2] if len(sizes) == 3 else 1
    return make_grid(
        source,
        (planes, sizes[1], sizes[0]),
        dtype=dtype,
        samples=samples,
        is_volume=len(sizes) == 3,
        max_pixels=max_pixels,
    )


def _pixel_size(header: _Header) -> PixelSize:
    """Take ElementSpacing as millimetres, ITK's convention."""
    spacing = header.numbers("ElementSpacing")
    if len(spacing) < 2:
        return PixelSize(None)
    return default_pixel_size(spacing[0], spacing[1], field="ElementSpacing")


def _storage(path: Path, header: _Header) -> Storage:
    beside = _data_file(path, header)
    encoding: Encoding = "raw"
    if header.is_true("CompressedData"):
        encoding = "zlib"
    elif not header.is_true("BinaryData") and "BinaryData" in header.fields:
        encoding = "ascii"
    offset: int | None = header.end if beside is None else 0
    header_bytes = int(header.fields.get("HeaderSize", "0"))
    if header_bytes:
        offset = header_bytes if header_bytes > 0 else None
    return Storage(path=beside or path, offset=offset, encoding=encoding)


def _data_file(path: Path, header: _Header) -> Path | None:
    if header.data_file in _LOCAL:
        return None
    first_word = header.data_file.split(" ", 1)[0]
    if first_word == "LIST" or "%" in first_word:
        raise several_files(path.name, header.data_file, one=".mha")
    return sibling(path, header.data_file)
