"""Ranges of properties in words: "porosity 15–25 %", "at least 10 mD", "not above 0.3 porosity"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, Overflow
from typing import TYPE_CHECKING

from encoder.metadata.columns import ALIASES, ONE, UNITS, Field, squash
from encoder.metadata.problems import NUMBER_RULES
from search_ui.chips import Chip, range_chip, similarity_chip
from search_ui.requests import PropertyRange
from search_ui.word_intervals import (
    AT_LEAST,
    AT_MOST,
    IS,
    SIGN,
    Interval,
    both_ends,
    read_interval,
)
from search_ui.word_reader import Amount, NameTable, WordReader, phrase
from search_ui.word_rules import Read

if TYPE_CHECKING:
    from collections.abc import Iterable

SIMILARITY = "similarity"
"""Stands among properties; it is none of a slice."""

_PREDICTED = "predicted_"
_AMBIGUOUS = frozenset({"k", "por", "resolution"})
"""Names that mean other things as well: they count only with a unit of their own."""

_MEASURED = phrase("measured", "known", "is measured", "is known", "was measured")
_MEASURED_BEFORE = phrase("measured", "known", "with measured", "with known", "only measured")
_NOT = phrase(
    *("not", "no", "never", "without", "exclude", "excluding", "except", "hide", "drop", "skip"),
    *("omit", "is not", "isn't", "don't show", "do not show"),
)
_ONLY = phrase("only", "just", "only if", "only where")
_THOSE = re.compile(
    r"\s*(?:(?:those|slices|scans|rocks|hits|results|anything|everything|samples)\s+)?"
    r"(?:with|where|whose|if|of)(?!\w)",
    re.IGNORECASE,
)
_NOT_AFTER = phrase("not", "no", "never")
_BELOW = phrase("<", "<=", "=<", "≤")
_ABOVE = phrase(">", ">=", "=>", "≥")
_K = phrase("k")
_ALIKE = phrase("similar", "alike", "similarity", "alikeness")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds in a column's own unit; None for no bound."""

    low: float | None
    high: float | None


_USUAL_UNITS = {
    Field.POROSITY: "a fraction or %",
    Field.PERMEABILITY_MD: "mD or darcy",
    Field.PIXEL_SIZE_UM: "µm, nm or mm",
}


class UnclearError(Exception):
    """Bounds that can't be meant; the text says what to write."""


def property_table(numbers: Iterable[str]) -> NameTable[str]:
    """Names of the columns that can be filtered by, as people write them.

    Args:
        numbers: The columns.
    """
    known = tuple(numbers)
    names: list[tuple[str, str]] = [(name, name) for name in known]
    names.append((SIMILARITY, SIMILARITY))
    for name in known:
        field = _field_of(name)
        if field is None:
            continue
        prefix = _PREDICTED if name.startswith(_PREDICTED) else ""
        names += [(prefix + alias, name) for alias in ALIASES[field]]
        if not prefix:
            names += [("measured " + alias, name) for alias in ALIASES[field]]
    return NameTable.of([pair for pair in names if pair[0] not in _AMBIGUOUS], squash)


def read_range(reader: WordReader, table: NameTable[str]) -> Read | None:
    """Read a range of a property, if one stands here.

    Args:
        reader: The text.
        table: From `property_table`.
    """
    with reader.trial() as trial:
        start = reader.at
        is_negated = not reader.take(_ONLY) and reader.take(_NOT) is not None
        reader.take(_THOSE)
        found = _named_first(reader, table) or _bounds_first(reader, table)
        if found is None:
            return None
        trial.keep()
        name, interval, is_negated_inside = found
        try:
            bounds = _resolved(name, interval)
            if is_negated != is_negated_inside:
                bounds = _complement(bounds)
            return Read((_chip(name, bounds),))
        except UnclearError as error:
            words = " ".join(reader.text[start : reader.at].split())
            return Read(problems=(f'"{words}": {error}',))


def _named_first(reader: WordReader, table: NameTable[str]) -> tuple[str, Interval, bool] | None:
    """Read "porosity 0.15 to 0.25"; last, whether a "not" stands within."""
    with reader.trial() as trial:
        name = _measured_name(reader, table)
        if name is not None:
            trial.keep()
            return name, Interval(None, None), False
        name = reader.plain_name(table) or _ambiguous(reader)
        if name is None:
            return None
        if reader.take(_MEASURED):
            trial.keep()
            return name, Interval(None, None), False
        interval, is_negated = _stated(reader)
        if interval is None:
            return None
        trial.keep()
        return name, interval, is_negated


def _measured_name(reader: WordReader, table: NameTable[str]) -> str | None:
    """Read "with measured porosity", where no bounds follow."""
    with reader.trial() as trial:
        if not reader.take(_MEASURED_BEFORE):
            return None
        name = reader.plain_name(table)
        if name in (None, SIMILARITY) or _stated(reader)[0] is not None:
            return None
        trial.keep()
    return name


def _stated(reader: WordReader) -> tuple[Interval | None, bool]:
    """Read bounds that follow a name, and whether they are negated."""
    if (found := read_interval(reader)) is not None:
        return found, False
    with reader.trial() as trial:
        reader.take(IS)
        is_negated = reader.take(_NOT_AFTER) is not None
        found = read_interval(reader)
        if found is not None:
            trial.keep()
        return found, is_negated


def _ambiguous(reader: WordReader) -> str | None:
    """Read "k > 10 mD": only its unit tells it from "k = 10", which asks for hits."""
    with reader.trial() as trial:
        if not reader.take(_K):
            return None
        after = reader.at
        interval, _ = _stated(reader)
        reader.at = after
        if interval is None or not _has_unit_of(interval, Field.PERMEABILITY_MD):
            return None
        trial.keep()
        return str(Field.PERMEABILITY_MD)


def _bounds_first(reader: WordReader, table: NameTable[str]) -> tuple[str, Interval, bool] | None:
    """Read "at least 10 mD", "15–25 % porosity", "min porosity 0.1", "60 % similar"."""
    with reader.trial() as trial:
        found = _comparison_around(reader, table) or _name_within(reader, table)
        if found is not None:
            trial.keep()
            return found
        interval = read_interval(reader)
        if interval is None:
            return None
        name = _name_after(reader, table)
        if name is None and _has_unit_of(interval, Field.PERMEABILITY_MD, is_sure=True):
            name = str(Field.PERMEABILITY_MD)
        if name is None:
            return None
        trial.keep()
        return name, interval, False


def _name_after(reader: WordReader, table: NameTable[str]) -> str | None:
    with reader.trial() as trial:
        reader.take(phrase("of", "in"))
        name = SIMILARITY if reader.take(_ALIKE) else reader.plain_name(table)
        # "0.1 porosity 0.2" leaves it open which number is meant
        if name is None or _stated(reader)[0] is not None:
            return None
        trial.keep()
    return name


def _comparison_around(
    reader: WordReader, table: NameTable[str]
) -> tuple[str, Interval, bool] | None:
    """Read "min porosity 0.1": the comparison, the name, the number."""
    with reader.trial() as trial:
        is_low = reader.take(AT_LEAST) is not None
        if not is_low and not reader.take(AT_MOST):
            return None
        name = reader.plain_name(table)
        reader.take(IS)
        amount = reader.amount()
        if name is None or amount is None:
            return None
        trial.keep()
    return name, Interval(amount, None) if is_low else Interval(None, amount), False


def _name_within(reader: WordReader, table: NameTable[str]) -> tuple[str, Interval, bool] | None:
    """Read "10 mD < k < 100 mD", or its first half."""
    with reader.trial() as trial:
        first = reader.amount()
        is_rising = reader.take(_BELOW) is not None
        if first is None or not (is_rising or reader.take(_ABOVE)):
            return None
        is_k = reader.take(_K) is not None
        name = str(Field.PERMEABILITY_MD) if is_k else reader.plain_name(table)
        second = reader.amount() if reader.take(_BELOW if is_rising else _ABOVE) else first
        # "0.1 < porosity > 0.2", and what is longer, say nothing that is known
        if name is None or second is None or reader.sees(SIGN):
            return None
        low, high = (first, second) if is_rising else (second, first)
        interval = both_ends(low, high)
        if second is first:
            interval = Interval(first, None) if is_rising else Interval(None, first)
        if is_k and not _has_unit_of(interval, Field.PERMEABILITY_MD):
            return None
        trial.keep()
        return name, interval, False


def _field_of(name: str) -> Field | None:
    plain = name.removeprefix(_PREDICTED)
    return Field(plain) if plain in NUMBER_RULES else None


def _has_unit_of(interval: Interval, field: Field, *, is_sure: bool = False) -> bool:
    """Whether its numbers have a unit of a field; surely, if the unit is no single letter."""
    units = {bound.unit for bound in (interval.low, interval.high) if bound and bound.unit}
    return bool(units) and units <= {unit for unit in UNITS[field] if not is_sure or len(unit) > 1}


def _resolved(name: str, interval: Interval) -> Bounds:
    low, high = (_value(name, bound) for bound in (interval.low, interval.high))
    if low is not None and high is not None and low > high:
        raise UnclearError(f"{low:g} is above {high:g}; swap the bounds")
    return Bounds(low, high)


def _value(name: str, amount: Amount | None) -> float | None:
    if amount is None:
        return None
    try:
        value = float(amount.value * _factor(name, amount.unit))
    except (InvalidOperation, Overflow) as error:
        raise UnclearError("a number out of all bounds; write another") from error
    field = Field.POROSITY if name == SIMILARITY else _field_of(name)
    if field is None:
        if abs(value) >= _LARGEST:
            raise UnclearError("a number out of all bounds; write another")
        return value
    rule = NUMBER_RULES[field]
    if not rule.accepts(value) and not (value == 0 and field is Field.PIXEL_SIZE_UM):
        what = "a number from 0 to 1" if name == SIMILARITY else rule.expected_for(value)
        is_percent = field is Field.POROSITY and not amount.unit and 1 < value <= 100
        percent = f"; per cent are written {amount.value:f}%" if is_percent else ""
        raise UnclearError(f"expected {what}{percent}")
    return value


_LARGEST = 1e28
"""Numbers that stand for what was not measured are beyond it."""


def _factor(name: str, unit: str) -> Decimal:
    """What a number of this unit is multiplied by to get the column's."""
    if not unit:
        return ONE
    is_fraction = name == SIMILARITY or _field_of(name) is Field.POROSITY
    if is_fraction and unit in UNITS[Field.POROSITY]:
        return UNITS[Field.POROSITY][unit]
    field = _field_of(name)
    if field is None:
        if name != SIMILARITY and squash(name.rpartition("_")[2]) == unit:
            return ONE
        raise UnclearError(f"its unit is not known here; write the number as {name} is stored")
    factor = UNITS[field].get(unit)
    if factor is None:
        raise UnclearError(f"{unit} is no unit of it; use {_USUAL_UNITS[field]}")
    return factor


def _complement(bounds: Bounds) -> Bounds:
    """What is outside; closed, as all ranges are."""
    if bounds.low is None and bounds.high is None:
        raise UnclearError("slices can't be asked for that were not measured; leave it out")
    if bounds.low is not None and bounds.high is not None:
        raise UnclearError("a range can't be left out; write the range that is wanted")
    return Bounds(bounds.high, bounds.low)


def _chip(name: str, bounds: Bounds) -> Chip:
    if name != SIMILARITY:
        return range_chip(PropertyRange(name=name, low=bounds.low, high=bounds.high))
    if bounds.low is None or bounds.high is not None:
        raise UnclearError(
            "only the least similarity can be asked for; write 'similarity at least 0.6'"
        )
    return similarity_chip(bounds.low)
