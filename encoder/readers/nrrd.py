"""NRRD: ``.nrrd`` (one file) and ``.nhdr`` with its voxels in a file beside it.

Format: https://teem.sourceforge.net/nrrd/format.html. pynrrd reads the header's fields; the
voxels are read plane by plane here, for pynrrd only reads them whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from encoder.readers.units import PixelSize, pixel_size

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import PlaneSource, ReadOptions
    from encoder.readers.storage import Encoding

_TYPE_NAMES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": (
        "ulonglong",
        "unsigned long long",
        "unsigned long long int",
        "uint64",
        "uint64_t",
    ),
    "f4": ("float",),
    "f8": ("double",),
}
_TYPES = {name: code for code, names in _TYPE_NAMES.items() for name in names}
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "ascii": "ascii",
    "text": "ascii",
    "txt": "ascii",
}
_BYTE_ORDERS = {"little": "<", "big": ">"}
_COLOUR_KINDS = {"rgb-color", "rgba-color", "3-color", "4-color", "vector", "3-vector", "4-vector"}
_NOT_GREY = re.compile(r"color|vector|tensor|matrix|gradient|normal|complex|quaternion")
_MAX_HEADER_BYTES = 1 << 20
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
_ELSEWHERE = re.compile(rb"^(data ?file|line ?skip):(?!=)[^\n]*(\n|\Z)", re.MULTILINE)
_SEVERAL_FILES = re.compile(rb"^data ?file:\s*(LIST\b.*|\S*%\d*d.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Header:
    """Fields of a header by name; its bytes; the byte after it, None where none follow it."""

    fields: dict[str, Any]
    text: bytes
    end: int | None

    def field(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - as pynrrd parses
        """Return a field that may be spelt with or without its spaces."""
        return self.fields.get(name, self.fields.get(name.replace(" ", ""), default))


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell whether a file starts as NRRD does."""
    return head.startswith(b"NRRD000")


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open an NRRD file; compressed voxels and voxels written as text are spooled to disk.

    Raises:
        ScanError: ``UNREADABLE`` (damaged header or stream, missing data file), ``UNSUPPORTED``
            (dimensions, type, encoding, several data files, a data file elsewhere),
            ``TRUNCATED``, ``SIZE_MISMATCH``, ``TOO_LARGE`` (to spool), or as ``make_grid``.
    """
    header = _read_header(path)
    try:
        grid, first_axis = _grid(path.name, header, max_pixels=options.max_pixels)
        size = _pixel_size(header, first_axis)
        storage = _storage(path, header)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise damaged_header(path.name, repr(error)) from error
    info = grid.describe("NRRD", pixel_size_um=size.um, notes=size.notes)
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
        offset = _after_lines(data, 0, lines=int(header.field("line skip", 0)))
    except ValueError as error:
        raise damaged_header(path.name, repr(error)) from error
    # bytes to skip count from the first voxel byte on, and stay where they are
    text = _ELSEWHERE.sub(b"", header.text.replace(b"\r\n", b"\n") + b"\n")
    return Joined(header=text.rstrip(b"\n") + b"\n\n", data=data, offset=offset)


def _read_header(path: Path) -> _Header:
    # pynrrd is heavy, and only needed for this format; it has no types.
    import nrrd as pynrrd  # type: ignore[import-untyped]  # noqa: PLC0415

    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    blank = _BLANK_LINE.search(head)
    text = head if blank is None else head[: blank.start()]
    if blank is None and len(head) == _MAX_HEADER_BYTES:
        raise damaged_header(path.name, "no blank line ends it")
    several = _SEVERAL_FILES.search(text)
    if several:
        told = several[1].decode("utf-8", "replace").strip()
        raise several_files(path.name, told, one=".nrrd")
    try:
        with np.errstate(invalid="ignore"):  # sizes beyond 64 bits: refused by their value
            fields = pynrrd.read_header(text.splitlines() or [b""])
    except (pynrrd.NRRDError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise damaged_header(path.name, error) from error
    header = _Header(fields, text, None if blank is None else blank.end())
    if header.end is None and header.field("data file") is None:
        raise truncated_header(path.name, "the blank line that ends it")
    return header


def _grid(source: str, header: _Header, *, max_pixels: int) -> tuple[Grid, int]:
    """Return the grid, and the first of its spatial axes (1 if axis 0 is colour)."""
    sizes = [int(size) for size in header.fields["sizes"]]
    kinds = [kind.lower() for kind in header.field("kinds", [])]
    if len(sizes) != header.fields["dimension"] or len(kinds) not in (0, len(sizes)):
        raise ValueError(f"dimension is {header.fields['dimension']}, sizes has {len(sizes)}")
    is_colour = bool(kinds) and kinds[0] in _COLOUR_KINDS and sizes[0] in COLOUR_SAMPLES
    first = 1 if is_colour else 0
    space = sizes[first:]
    if len(space) not in (2, 3) or any(map(_NOT_GREY.search, kinds[first:])):
        raise unsupported(
            source,
            f"its axes are {sizes} of kinds {kinds or 'unknown'}, expected 2 or 3 axes "
            "in space, after none or one of 3 or 4 colours",
            "save one image or one volume",
        )
    grid = make_grid(
        source,
        (space[2] if len(space) == 3 else 1, space[1], space[0]),
        dtype=_dtype(source, header),
        samples=sizes[0] if is_colour else 1,
        is_volume=len(space) == 3,
        max_pixels=max_pixels,
    )
    return grid, first


def _dtype(source: str, header: _Header) -> np.dtype[Any]:
    name = header.fields["type"].lower()
    if name not in _TYPES:
        raise unsupported(
            source,
            f"its samples are of type '{name}', expected integers or floats",
            "convert them to one of these",
        )
    dtype = np.dtype(_TYPES[name])
    if dtype.itemsize == 1 or _encoding(source, header) == "ascii":
        return dtype
    return np.dtype(_BYTE_ORDERS[header.fields["endian"].lower()] + _TYPES[name])


def _encoding(source: str, header: _Header) -> Encoding:
    name = header.fields["encoding"].lower()
    if name not in _ENCODINGS:
        raise unsupported(
            source,
            f"its encoding is '{name}', expected one of {', '.join(_ENCODINGS)}",
            "save it raw or with gzip",
        )
    return _ENCODINGS[name]


def _pixel_size(header: _Header, first_axis: int) -> PixelSize:
    """Take the spacing of the plane's axes, with the unit that the header tells, if any."""
    plane_axes = slice(first_axis, first_axis + 2)
    if (directions := header.field("space directions")) is not None:
        across, down = np.linalg.norm(directions, axis=1)[plane_axes]
        units = header.field("space units", [])
    elif (spacings := header.field("spacings")) is not None:
        across, down = spacings[plane_axes]
        units = header.field("units", [])[plane_axes]
    else:
        return PixelSize(None)
    named = {unit for unit in units if unit not in {"", "???", "none"}}
    if len(named) > 1:
        return PixelSize(None, (f"pixel size ignored: its axes have units {sorted(named)}",))
    return pixel_size(float(across), float(down), unit=named.pop() if named else None)


def _storage(path: Path, header: _Header) -> Storage:
    encoding = _encoding(path.name, header)
    beside = _data_file(path, header)
    start = header.end if beside is None and header.end is not None else 0
    start = _after_lines(beside or path, start, lines=int(header.field("line skip", 0)))
    skip = int(header.field("byte skip", 0))
    if skip < -1 or (skip == -1 and encoding != "raw"):
        raise ValueError(f"byte skip is {skip}, with encoding {encoding}")
    if encoding in ("raw", "ascii"):
        return Storage(
            path=beside or path, offset=None if skip == -1 else start + skip, encoding=encoding
        )
    return Storage(path=beside or path, offset=start, encoding=encoding, skip=skip)


def _after_lines(path: Path, start: int, *, lines: int) -> int:
    """Return the byte after so many lines of text that stand before the voxels."""
    if lines == 0:
        return start
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(_MAX_HEADER_BYTES)
    ends = [found.end() for found in re.finditer(rb"\n", head)]
    if not 0 <= lines <= len(ends):
        raise ValueError(f"line skip is {lines}, the data file has {len(ends)} lines")
    return start + ends[lines - 1]


def _data_file(path: Path, header: _Header) -> Path | None:
    name = header.field("data file")
    return None if name is None else sibling(path, str(name))
