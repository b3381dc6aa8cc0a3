"""How a headerless volume is laid out, as text tells it: an argument or a file's name.

Shapes are P x H x W, planes x rows x columns, slowest axis first, as NumPy writes them. Names
that count the other way round (columns first) need a side-car file where the axes differ.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from encoder.errors import LithoscopeError
from encoder.planes import RawLayout

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
_LONG_TYPE = re.compile(
    r"(?:(?<![a-z])(?P<kind>uint|int|float)(?P<bits>8|16|32|64)"
    r"|(?<![a-z0-9.])(?P<unsigned_bits>8|16)[-_ ]?bits?)[-_]?(?P<order>le|be)?(?![a-z0-9])"
)
_SHORT_TYPE = re.compile(
    r"(?<![a-z])(?P<kind>u|i|s|f)(?P<bits>8|16|32|64)[-_]?(?P<order>le|be)?(?![a-z0-9])"
)
_ORDER = re.compile(r"(?<![a-z0-9])(le|be|little|big)(?:[-_]?endian)?(?![a-z0-9])")
_KINDS = {"uint": "u", "int": "i", "float": "f", "u": "u", "i": "i", "s": "i", "f": "f"}


class NamedLayout(NamedTuple):
    """What a file's name tells of its layout; usable where it tells one of each.

    Attributes:
        shapes: Different (P, H, W) that it tells.
        sample_types: Different NumPy codes, without byte order.
        byte_orders: Different byte orders, ``"<"`` or ``">"``.
    """

    shapes: frozenset[tuple[int, int, int]]
    sample_types: frozenset[str]
    byte_orders: frozenset[str]


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


def layout_in_name(name: str) -> NamedLayout:
    """Read shape, sample type and byte order from a name like ``berea_90x512x512_uint16.raw``.

    Types may be written ``uint16``, ``int16``, ``float32``, ``8bit``, ``16bit`` (both unsigned)
    or, where none of these is found, ``u16``, ``i16``, ``s16``, ``f32``. Thirty-two bits alone
    say nothing: they may be integers or floats. ``le``, ``be``, ``little`` and ``big`` count
    behind the shape only; before it they may well name the rock.

    Args:
        name: File name with its extension.
    """
    stem = name.lower().rsplit(".", 1)[0]
    shapes = list(_SHAPE.finditer(stem))
    types = list(_LONG_TYPE.finditer(stem)) or list(_SHORT_TYPE.finditer(stem))
    behind = stem[shapes[0].end() :] if shapes else ""
    orders = {found["order"] for found in types} | set(_ORDER.findall(behind))
    return NamedLayout(
        frozenset((int(found[1]), int(found[2]), int(found[3])) for found in shapes),
        frozenset(_type_code(found.groupdict()) for found in types),
        frozenset(BYTE_ORDERS[order] for order in orders if order),
    )


def _type_code(words: dict[str, str | None]) -> str:
    bits = words["bits"] or words["unsigned_bits"] or ""
    return f"{_KINDS[words['kind'] or 'uint']}{int(bits) // 8}"
