"""The JSON file beside a headerless volume that tells its layout.

``berea.raw.json`` or ``berea.json`` beside ``berea.raw``::

    {"shape": [1000, 1000, 1000], "dtype": "uint16", "byte_order": "little",
     "header_bytes": 0, "pixel_size_um": 2.25}

``shape`` (planes, rows, columns) and ``dtype`` are needed; the rest defaults to little endian,
no header and an unknown pixel size.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from encoder.errors import ScanError, ScanFault
from encoder.metadata.problems import NUMBER_RULES
from encoder.planes import RawLayout
from encoder.readers.raw_layout import BYTE_ORDERS, SAMPLE_TYPES

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = '{"shape": [1000, 1000, 1000], "dtype": "uint16"}'
"""The shortest side-car."""

_KEYS = ("shape", "dtype", "byte_order", "header_bytes", "pixel_size_um")
_MAX_BYTES = 1 << 16


def read_side_car(path: Path) -> RawLayout | None:
    """Return the layout in the side-car of a headerless volume, None if it has none.

    ``<name>.json`` goes before ``<stem>.json``; the latter counts only if it tells a shape or a
    type, for it may be about something else.

    Args:
        path: Path of the volume.

    Raises:
        ScanError: ``UNKNOWN_SHAPE``, with all that is wrong in the side-car.
    """
    own = path.with_name(f"{path.name}.json")
    if own.is_file():
        return _layout(path.name, own, fields=_read(path.name, own))
    shared = path.with_suffix(".json")
    if not shared.is_file():
        return None
    fields = _read(path.name, shared)
    if isinstance(fields, dict) and not {"shape", "dtype"} & fields.keys():
        return None
    return _layout(path.name, shared, fields=fields)


def _read(source: str, side_car: Path) -> object:
    with side_car.open("rb") as file:
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise _refusal(source, side_car, problems=[f"expected at most {_MAX_BYTES:,} bytes"])
    try:
        fields: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(source, side_car, problems=[f"it is not JSON ({error})"]) from error
    return fields


def _layout(source: str, side_car: Path, *, fields: object) -> RawLayout:
    if not isinstance(fields, dict):
        raise _refusal(source, side_car, problems=[f"expected an object, found {_told(fields)}"])
    problems = _problems(fields)
    if problems:
        raise _refusal(source, side_car, problems=problems)
    planes, height, width = fields["shape"]
    pixel_size = fields.get("pixel_size_um")
    return RawLayout(
        shape=(planes, height, width),
        dtype=BYTE_ORDERS[fields.get("byte_order", "little")] + SAMPLE_TYPES[fields["dtype"]],
        header_bytes=fields.get("header_bytes", 0),
        pixel_size_um=None if pixel_size is None else float(pixel_size),
    )


def _problems(fields: dict[str, Any]) -> list[str]:
    shape, dtype = fields.get("shape"), fields.get("dtype")
    order = fields.get("byte_order", "little")
    header_bytes, pixel_size = fields.get("header_bytes", 0), fields.get("pixel_size_um")
    problems = [
        f"unknown key '{key}', expected {', '.join(_KEYS)}" for key in fields if key not in _KEYS
    ]
    if not isinstance(shape, list) or len(shape) != 3 or not all(map(_is_count, shape)):
        problems.append(f"shape: expected 3 whole numbers above 0, found {_told(shape)}")
    if not isinstance(dtype, str) or dtype not in SAMPLE_TYPES:
        problems.append(f"dtype: expected one of {', '.join(SAMPLE_TYPES)}, found {_told(dtype)}")
    if order not in ("little", "big"):
        problems.append(f"byte_order: expected little or big, found {_told(order)}")
    if header_bytes != 0 and not _is_count(header_bytes):
        problems.append(f"header_bytes: expected a whole number, found {_told(header_bytes)}")
    if pixel_size is not None and not _is_size(pixel_size):
        expected = NUMBER_RULES["pixel_size_um"].expected
        problems.append(f"pixel_size_um: expected {expected}, found {_told(pixel_size)}")
    return problems


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_size(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return NUMBER_RULES["pixel_size_um"].accepts(value)


def _told(value: object) -> str:
    return "nothing" if value is None else f"{json.dumps(value):.40}"


def _refusal(source: str, side_car: Path, *, problems: list[str]) -> ScanError:
    return ScanError(
        source,
        ScanFault.UNKNOWN_SHAPE,
        problem=f"its side-car {side_car.name} can't be used: {'; '.join(problems)}",
        remedy=f"correct it, for example {EXAMPLE}",
    )
