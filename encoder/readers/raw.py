"""Headerless volumes: ``.raw`` and its like, laid out as a side-car, a name or the user tells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.data_files import HEADER_SUFFIXES, HEADERLESS_SUFFIXES
from encoder.errors import ScanError, ScanFault
from encoder.planes import RawLayout
from encoder.readers.grid import make_grid
from encoder.readers.raw_layout import EXAMPLE, SAMPLE_TYPES, layout_in_name
from encoder.readers.raw_side_car import EXAMPLE as SIDE_CAR_EXAMPLE
from encoder.readers.raw_side_car import read_side_car
from encoder.readers.storage import Storage, open_stored

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import PlaneSource, ReadOptions

_GUESSED_WIDTHS = (1, 2)


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - the readers' common signature
    """Tell by its extension whether a file may be headerless; ask after all other readers."""
    return path.suffix.lower() in HEADERLESS_SUFFIXES


def open_planes(path: Path, options: ReadOptions) -> PlaneSource:
    """Open a headerless volume.

    Its layout is what ``options.raw`` says, else its side-car, else its name.

    Raises:
        ScanError: ``UNKNOWN_SHAPE``, ``SIZE_MISMATCH``, or as ``make_grid``.
    """
    layout, notes = layout_of(path, options)
    grid = make_grid(
        path.name,
        layout.shape,
        dtype=_checked_dtype(path.name, layout),
        is_volume=True,
        max_pixels=options.max_pixels,
    )
    _check_size(path, layout, dtype=grid.dtype)
    info = grid.describe("raw", pixel_size_um=layout.pixel_size_um, notes=notes)
    storage = Storage(path=path, offset=layout.header_bytes)
    return open_stored(storage, grid, info=info, source=path.name)


def layout_of(path: Path, options: ReadOptions) -> tuple[RawLayout, list[str]]:
    """Find how a headerless volume is laid out, and what was left to convention.

    Raises:
        ScanError: ``UNKNOWN_SHAPE`` or ``SIZE_MISMATCH``.
    """
    layout = options.raw or read_side_car(path)
    return (layout, []) if layout is not None else _named_layout(path)


def _named_layout(path: Path) -> tuple[RawLayout, list[str]]:
    """Take the layout from the file's name, and note what it leaves to convention."""
    named = layout_in_name(path.name)
    for what, found in (
        ("shape", named.shapes),
        ("sample type", named.sample_types),
        ("byte order", named.byte_orders),
        ("sign", named.signs),
    ):
        if len(found) > 1:
            raise _unknown(path, f"its name tells more than one {what}")
    if not named.shapes:
        raise _unknown(path, "neither a side-car nor its name tells its shape")
    (shape,) = named.shapes
    notes = []
    if len(set(shape)) > 1:
        notes.append(f"shape in its name taken as planes x rows x columns: {_times(shape)}")
    if named.sample_types:
        (code,) = named.sample_types
        if named.takes_unsigned:
            notes.append(f"sample type taken as unsigned: {np.dtype(code).name}")
    else:
        code = _guessed_type(path, shape, sign="".join(named.signs) or "u")
        notes.append(f"sample type {np.dtype(code).name} taken from its size")
    if not named.byte_orders and np.dtype(code).itemsize > 1:
        notes.append("byte order taken as little endian")
    (order,) = named.byte_orders or {"<"}
    return RawLayout(shape=shape, dtype=order + code), notes


def _guessed_type(path: Path, shape: tuple[int, int, int], *, sign: str) -> str:
    """Take one or two bytes a voxel as integers; more may be floats as well."""
    found, voxels = path.stat().st_size, math.prod(shape)
    for width in _GUESSED_WIDTHS:
        if found == voxels * width:
            return f"{sign}{width}"
    fitting = _fitting_types(found, voxels)
    if fitting:
        raise _unknown(path, f"its name tells no sample type, its size fits {fitting}")
    raise ScanError(
        path.name,
        ScanFault.SIZE_MISMATCH,
        problem=f"{_times(shape)} voxels need {voxels:,} bytes per byte of a sample, "
        f"found {found:,}",
        remedy=_remedy(path),
    )


def _checked_dtype(source: str, layout: RawLayout) -> np.dtype[Any]:
    if layout.header_bytes < 0:
        raise ScanError(
            source,
            ScanFault.UNKNOWN_SHAPE,
            problem=f"its layout has a header of {layout.header_bytes} bytes",
            remedy="give 0 or more",
        )
    try:
        dtype = np.dtype(layout.dtype)
    except (TypeError, ValueError) as error:
        raise ScanError(
            source,
            ScanFault.UNKNOWN_SHAPE,
            problem=f"its layout names the sample type '{layout.dtype}', which there isn't",
            remedy=f"give one of {', '.join(SAMPLE_TYPES)}",
        ) from error
    return dtype


def _check_size(path: Path, layout: RawLayout, *, dtype: np.dtype[Any]) -> None:
    voxels = math.prod(layout.shape)
    expected = layout.header_bytes + voxels * dtype.itemsize
    found = path.stat().st_size
    if found == expected:
        return
    fitting = _fitting_types(found - layout.header_bytes, voxels)
    raise ScanError(
        path.name,
        ScanFault.SIZE_MISMATCH,
        problem=f"expected {expected:,} bytes ({layout.header_bytes} of header, then "
        f"{_times(layout.shape)} of {dtype.name}), found {found:,}"
        + (f", which fits {fitting}" if fitting else ""),
        remedy="correct its shape or type, or copy it again",
    )


def _fitting_types(size: int, voxels: int) -> str:
    names = [name for name, code in SAMPLE_TYPES.items() if int(code[1]) * voxels == size]
    return " or ".join(names)


def _times(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))


def _unknown(path: Path, problem: str) -> ScanError:
    return ScanError(path.name, ScanFault.UNKNOWN_SHAPE, problem=problem, remedy=_remedy(path))


def _remedy(path: Path) -> str:
    for suffix in HEADER_SUFFIXES:
        header = path.with_suffix(suffix)
        if header.is_file():
            return f"open its header {header.name}, which lies beside it"
    return (
        "tell planes x rows x columns and type in its name "
        f"({path.stem}_1000x1000x1000_uint16{path.suffix}), in a side-car {path.name}.json "
        f"({SIDE_CAR_EXAMPLE}), or as the raw layout (--raw {EXAMPLE})"
    )
