"""Cells of a metadata table: what is missing, numbers, dates, and the type of a free column."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from encoder.metadata.columns import ONE, squash
from encoder.metadata.records import Modality, Scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

RawCell: TypeAlias = str | int | float | bool | dt.date | dt.datetime | dt.time | dt.timedelta
"""Cell as it is read: text from CSV, also other types from a spreadsheet."""

MISSING = frozenset(
    {"", "nan", "-", "--", "–", "—", "n/a", "na", "n.a.", "#n/a", "#na", "null", "none"}
)
"""Texts, without case, that mean not measured or not known."""

ERRORS = frozenset(
    {"#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"}
)
"""Texts of a spreadsheet's errors; ``#N/A`` is none, since it is written for what is missing."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_PADDED = re.compile(r"[+-]?0[0-9]")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")

_DECIMAL_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?")

_MODALITIES = {
    Modality.MICRO_CT: {
        *("microct", "μct", "uct", "mct", "xct", "ct", "xraymicroct", "xrayct", "ctscan"),
        *("microtomography", "microcomputedtomography", "microctscan", "μctscan"),
    },
    Modality.THIN_SECTION: {
        *("thinsection", "thinsections", "petrographicthinsection", "thinsectionimage"),
    },
}


def is_missing(cell: RawCell) -> bool:
    """Whether a cell means "not measured" or "not known"."""
    if isinstance(cell, str):
        return cell.strip().casefold() in MISSING
    return isinstance(cell, float) and math.isnan(cell)


def is_error(cell: RawCell) -> bool:
    """Whether a cell is what a spreadsheet shows in place of a result."""
    return isinstance(cell, str) and cell.strip().upper() in ERRORS


def has_decimal_point(cell: RawCell) -> bool:
    """Whether a cell is a number with a decimal point, such as ``0.23``."""
    return isinstance(cell, str) and _DECIMAL_POINT.fullmatch(cell.strip()) is not None


def has_decimal_comma(cell: RawCell) -> bool:
    """Whether a cell is a number with a decimal comma, such as ``0,23``."""
    return isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell.strip()) is not None


def number_of(cell: RawCell, factor: Decimal = ONE, *, decimal_comma: bool = False) -> float | None:
    """Read a number, or None where the cell is none.

    Args:
        cell: Cell as read.
        factor: What the number is multiplied by, in decimal arithmetic: 23.5 % is 0.235 exactly.
        decimal_comma: Whether the file writes ``0,23``; a point is then refused, since it may
            group thousands.
    """
    text = _number_text(cell, decimal_comma=decimal_comma)
    if text is None:
        return None
    # the unit of most columns is ours: no need for the slower decimal arithmetic
    return float(text) if factor == ONE else float(Decimal(text) * factor)


def text_of(cell: RawCell) -> str:
    """A cell as text: a name that a spreadsheet stored as the number 12.0 is ``12``."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    return str(cell).strip()


def modality_of(cell: RawCell) -> Modality | None:
    """Read ``micro_ct`` or ``thin_section`` in any near spelling, or None."""
    squashed = squash(text_of(cell))
    return next((kind for kind, names in _MODALITIES.items() if squashed in names), None)


def free_values(cells: Sequence[RawCell], *, decimal_comma: bool = False) -> list[Scalar | None]:
    """Give a free column its type and read its cells by it.

    A column is whole numbers, numbers, true/false or dates where all that is not missing agrees;
    else it is text as written. Zero-padded numbers are text: they are names of something.

    Args:
        cells: The column, top to bottom.
        decimal_comma: Whether the file writes ``0,23``.

    Returns:
        Values in the same order, None where missing; dates in ISO 8601.
    """
    present = [cell for cell in cells if not is_missing(cell)]
    kinds = {_kind(cell, decimal_comma=decimal_comma) for cell in present}
    if kinds == {int, float}:
        kinds = {float}
    kind = kinds.pop() if len(kinds) == 1 else str
    return [
        None if is_missing(cell) else _typed(cell, kind, decimal_comma=decimal_comma)
        for cell in cells
    ]


def _number_text(cell: RawCell, *, decimal_comma: bool) -> str | None:
    if isinstance(cell, int | float):
        return None if isinstance(cell, bool) else repr(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip().replace("\N{MINUS SIGN}", "-")
    if decimal_comma:
        if "." in text:
            return None
        text = text.replace(",", ".")
    return text if _NUMBER.fullmatch(text) else None


def _kind(cell: RawCell, *, decimal_comma: bool) -> type:
    if isinstance(cell, bool):
        return bool
    if isinstance(cell, dt.date):
        return dt.date
    if isinstance(cell, float):
        return int if cell.is_integer() and abs(cell) < 2**53 else float
    text = _number_text(cell, decimal_comma=decimal_comma)
    if text is not None:
        return _number_kind(text)
    if isinstance(cell, str) and cell.strip().casefold() in ("true", "false"):
        return bool
    return dt.date if isinstance(cell, str) and _is_date(cell.strip()) else str


def _number_kind(text: str) -> type:
    if _WHOLE.fullmatch(text):
        return int
    # padded or very long digits name something, and would not come back from a number
    is_name = _PADDED.match(text) or text.lstrip("+-").isdigit()
    return str if is_name or not math.isfinite(float(text)) else float


def _is_date(text: str) -> bool:
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _typed(cell: RawCell, kind: type[Scalar | dt.date], *, decimal_comma: bool) -> Scalar:
    if kind is bool:
        return cell if isinstance(cell, bool) else text_of(cell).casefold() == "true"
    text = _number_text(cell, decimal_comma=decimal_comma)
    if text is None or kind not in (int, float):
        return text_of(cell)
    return int(text) if kind is int and _WHOLE.fullmatch(text) else kind(float(text))
