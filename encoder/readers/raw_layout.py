"""How a headerless volume is laid out, as text tells it: an argument or a file's name.

Shapes are P x H x W, planes x rows x columns, slowest axis first, as NumPy writes them. Names
that count the other way round (columns first) need a side-car file where the axes differ.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import LithoscopeError
from encoder.metadata.problems import NUMBER_RULES
from encoder.planes import RawLayout

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE_TYPES = {
    "uint8": "u1",
    "int8": "i1",
    "uint16": "u2",
    "int16": "i2",
    "uint32": "u4",
    "int32": "i4",
    "uint64": "u8",
    "int64": "i8",
    "float16": "f2",
    "float32": "f4",
    "float64": "f8",
}
"""Sample types by the name that users write, and NumPy's code for each."""

BYTE_ORDERS = {"little": "<", "le": "<", "big": ">", "be": ">"}
"""Byte orders by the name that users write, and NumPy's sign for each."""

EXAMPLE = "1000x1000x1000:uint16"
"""A layout as ``parse_layout`` reads it."""

_SIDES = ("planes", "rows", "columns")

_TEXT = re.compile(
    r"(?P<shape>\d{1,9}x\d{1,9}x\d{1,9}):(?P<type>[a-z]+\d{1,2})"
    r"(:(?P<order>[a-z]+))?(:(?P<header>\d{1,18}))?",
    re.ASCII,
)
_BY = "[x\N{MULTIPLICATION SIGN}]"
_SHAPE = re.compile(
    rf"(?<![\d.x])(\d+){_BY}(\d+){_BY}(\d+)(?![\d.]*{_BY}?\d)"
    r"(?![.\d]*[ _-]?(?:nm|um|mm|cm)(?![a-z]))",  # a size in lengths, not in voxels
    re.ASCII,
)
_BITS = "8|16|32|64"
_LONG_TYPE = re.compile(
    rf"(?:(?<![a-z])(?P<kind>uint|sint|int|float)(?P<bits>{_BITS})"
    rf"|(?<![a-z])(?:un)?signed[-_ ]?(?P<signed_bits>{_BITS})(?:[-_ ]?bits?)?"
    rf"|(?<![a-z0-9.])(?P<bare_bits>{_BITS})[-_ ]?bits?"
    r"(?:[-_ ]?(?:(?P<real>real|float)|(?P<sign>(?:un)?signed)))?)"
    r"[-_]?(?P<order>le|be)?(?![a-z0-9])"
)
_SHORT_TYPE = re.compile(
    rf"(?<![a-z])(?P<kind>u|i|s|f)(?P<bits>{_BITS})[-_]?(?P<order>le|be)?(?![a-z0-9])"
)
_SIGN = re.compile(r"(?<![a-z])(?:un)?signed(?![a-z])")
_ORDER = re.compile(r"(?<![a-z0-9])(le|be|little|big)(?:[-_]?endian)?(?![a-z0-9])")
_KINDS = {"uint": "u", "sint": "i", "float": "f", "u": "u", "s": "i", "f": "f"}


class NamedLayout(NamedTuple):
    """What a file's name tells of its layout; usable where it tells one of each.

    Attributes:
        shapes: Different (P, H, W) that it tells.
        sample_types: Different NumPy codes, without byte order.
        byte_orders: Different byte orders, ``"<"`` or ``">"``.
        signs: Different signs of integers that words tell, ``"i"`` (signed) or ``"u"``.
        takes_unsigned: Whether a sample type stands for bits whose sign nothing tells.
    """

    shapes: frozenset[tuple[int, int, int]]
    sample_types: frozenset[str]
    byte_orders: frozenset[str]
    signs: frozenset[str]
    takes_unsigned: bool


def parse_layout(text: str) -> RawLayout:
    """Read a layout written as ``PxHxW:TYPE[:little|big][:HEADER_BYTES]``.

    Args:
        text: Such as ``"1000x1000x1000:uint16"`` or ``"90x512x512:int16:big:1024"``; little
            endian and no header unless told.

    Raises:
        LithoscopeError: The text can't be read so.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    code = SAMPLE_TYPES.get(found["type"]) if found else None
    order = BYTE_ORDERS.get(found["order"] or "little") if found else None
    if found is None or code is None or order is None:
        raise LithoscopeError(
            f"raw layout '{text}': expected PLANESxROWSxCOLUMNS:TYPE[:little|big][:HEADER_BYTES] "
            f"with a type of {', '.join(SAMPLE_TYPES)}; write for example {EXAMPLE}"
        )
    planes, height, width = map(int, found["shape"].split("x"))
    return RawLayout(
        shape=(planes, height, width), dtype=order + code, header_bytes=int(found["header"] or 0)
    )


def layout_from_parts(
    shape: Sequence[int | None],
    sample_type: str | None,
    *,
    byte_order: str = "little",
    header_bytes: int = 0,
    pixel_size_um: float | None = None,
) -> RawLayout:
    """Put a layout together from what somebody tells of it.

    Args:
        shape: Planes, rows and columns; None for what was not told.
        sample_type: One of `SAMPLE_TYPES`; None if it was not told.
        byte_order: One of `BYTE_ORDERS`.
        header_bytes: Bytes before the first voxel.
        pixel_size_um: Size of a voxel in micrometres, or None.

    Raises:
        LithoscopeError: Something is missing or can't be right.
    """
    sides = [side for side in shape if side is not None and side >= 1]
    if len(shape) != len(_SIDES) or len(sides) != len(shape):
        raise LithoscopeError(
            f"raw layout: found {_told(shape)} as its size, expected {' x '.join(_SIDES)}; give "
            "all three, from 1"
        )
    if sample_type not in SAMPLE_TYPES:
        raise LithoscopeError(
            f"raw layout: found {sample_type or 'no'} type of a voxel; give one of "
            f"{', '.join(SAMPLE_TYPES)}"
        )
    if byte_order not in BYTE_ORDERS:
        raise LithoscopeError(
            f"raw layout: found the byte order {byte_order}; give one of {', '.join(BYTE_ORDERS)}"
        )
    if header_bytes < 0:
        raise LithoscopeError(f"raw layout: found {header_bytes} bytes before it; give 0 or more")
    rule = NUMBER_RULES["pixel_size_um"]
    if pixel_size_um is not None and not rule.accepts(pixel_size_um):
        raise LithoscopeError(
            f"raw layout: found a pixel size of {pixel_size_um:g} µm; give {rule.expected}, or "
            "leave it out"
        )
    planes, height, width = sides
    return RawLayout(
        shape=(planes, height, width),
        dtype=BYTE_ORDERS[byte_order] + SAMPLE_TYPES[sample_type],
        header_bytes=header_bytes,
        pixel_size_um=pixel_size_um,
    )


def _told(shape: Sequence[int | None]) -> str:
    return " x ".join("?" if side is None else str(side) for side in shape) or "nothing"


def layout_in_name(name: str) -> NamedLayout:
    """Read shape, sample type and byte order from a name like ``berea_90x512x512_uint16.raw``.

    Types may be written ``uint16``, ``int16``, ``sint16``, ``float32``, ``signed16``, ``16bit``,
    ``16bit_signed``, ``32bit_real`` or, where none of these is found, ``u16``, ``i16``, ``s16``,
    ``f32``. The words ``signed`` and ``unsigned`` count anywhere. Eight or sixteen bits alone are
    unsigned; more say nothing, for they may be integers or floats. ``le``, ``be``, ``little`` and
    ``big`` count behind the shape only; before it they may well name the rock.

    Args:
        name: File name with its extension.
    """
    stem = name.lower().rsplit(".", 1)[0]
    shapes = list(_SHAPE.finditer(stem))
    types = list(_LONG_TYPE.finditer(stem)) or list(_SHORT_TYPE.finditer(stem))
    signs = {_sign(word) for word in _SIGN.findall(stem)}
    signs |= {_sign(found["sign"]) for found in types if found.groupdict().get("sign")}
    codes = {code for found in types for code in _type_codes(found.groupdict(), signs)}
    behind = stem[shapes[0].end() :] if shapes else ""
    orders = {found["order"] for found in types} | set(_ORDER.findall(behind))
    return NamedLayout(
        frozenset((int(found[1]), int(found[2]), int(found[3])) for found in shapes),
        frozenset(codes & set(SAMPLE_TYPES.values())),
        frozenset(BYTE_ORDERS[order] for order in orders if order),
        frozenset(signs),
        takes_unsigned=not signs and any(map(_tells_no_sign, types)),
    )


def _tells_no_sign(found: re.Match[str]) -> bool:
    words = found.groupdict()
    return bool(words.get("bare_bits")) and not words.get("real")


def _sign(word: str) -> str:
    return "u" if word == "unsigned" else "i"


def _type_codes(words: dict[str, str | None], signs: set[str]) -> set[str]:
    """Return NumPy's code of a type in a name; of both types where a sign contradicts it."""
    width = int(words["bits"] or words.get("signed_bits") or words.get("bare_bits") or 0) // 8
    kind = "f" if words.get("real") else _KINDS.get(words["kind"] or "")
    if kind == "f":
        kinds = {"f"}
    elif kind is not None:
        kinds = {kind} | signs
    elif words["kind"]:  # int, i: signed, unless a word says otherwise
        kinds = signs or {"i"}
    else:
        kinds = signs or ({"u"} if width <= 2 else set())
    return {f"{kind}{width}" for kind in kinds}
