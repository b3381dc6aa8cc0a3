"""Bounds in words: "0.15 to 0.25", "between 1 and 2 darcy", "over 10 mD", "0.2 ± 0.05"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from search_ui.word_reader import Amount, WordReader, phrase

AT_LEAST = phrase(
    *(
        "≥",
        ">=",
        "=>",
        ">",
        "at least",
        "over",
        "above",
        "more than",
        "greater than",
        "higher than",
    ),
    *("larger than", "exceeding", "exceeds", "min", "minimum", "minimal", "from", "no less than"),
    *("not less than", "not below", "not under", "no lower than", "starting at"),
)
AT_MOST = phrase(
    *("≤", "<=", "=<", "<", "at most", "under", "below", "less than", "lower than", "up to"),
    *("smaller than", "max", "maximum", "maximal", "no more than", "not more than", "not above"),
    *("not over", "no greater than", "no higher than", "not exceeding"),
)
_OR_MORE = phrase(
    "or more", "or above", "or higher", "or over", "and above", "and up", "and more", "+"
)
_OR_LESS = phrase("or less", "or below", "or lower", "or under", "and below", "and less")
_EXACTLY = phrase("exactly", "equal to", "equals", "==", "=")
_BETWEEN = phrase("between", "from", "in", "within")
_TO = phrase("to", "till", "until", "through", "...", "..", "…", ":")
_AND = phrase("and", "to", "but")
SIGN = re.compile(r"\s*[<>≤≥]")
_DASH = re.compile(r"\s*[-–—−\u2010-\u2012]")
_PLUS_MINUS = re.compile(r"\s*(?:±|\+/-|\+-)")
IS = phrase(
    *("is", "are", "was", "of", "must be", "should be", "has to be", "lies", "range", "ranging"),
    *("value", "values", ":", "="),
)


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds as they were written; None for no bound."""

    low: Amount | None
    high: Amount | None


def read_interval(reader: WordReader) -> Interval | None:
    """Read bounds, if any stand here."""
    with reader.trial() as trial:
        found = _from_to(reader) or _compared(reader) or _number_first(reader)
        if found is not None:
            trial.keep()
        return found


def _from_to(reader: WordReader) -> Interval | None:
    with reader.trial() as trial:
        if not reader.take(_BETWEEN):
            return None
        low = reader.amount()
        if low is None:
            return None
        high = _second(reader, joins=(_AND, _TO))
        if high is None:
            return None
        trial.keep()
        return both_ends(low, high)


def _compared(reader: WordReader) -> Interval | None:
    with reader.trial() as trial:
        is_low = reader.take(AT_LEAST) is not None
        if not is_low and not reader.take(AT_MOST):
            return None
        reader.take(phrase("of"))
        first = reader.amount()
        if first is None:
            return None
        trial.keep()
        with reader.trial() as further:
            is_joined = reader.take(_AND) is not None or reader.sees(SIGN)
            other = is_joined and reader.take(AT_MOST if is_low else AT_LEAST)
            second = reader.amount() if other else None
            if second is not None:
                further.keep()
                return both_ends(first, second) if is_low else both_ends(second, first)
        return Interval(first, None) if is_low else Interval(None, first)


def _number_first(reader: WordReader) -> Interval | None:
    with reader.trial() as trial:
        reader.take(_EXACTLY)
        low = reader.amount()
        if low is None:
            return None
        trial.keep()
        if (high := _second(reader, joins=(_TO,))) is not None:
            return both_ends(low, high)
        if (around := _tolerance(reader, low)) is not None:
            return around
        if reader.take(_OR_MORE):
            return Interval(low, None)
        return Interval(None, low) if reader.take(_OR_LESS) else Interval(low, low)


def _second(reader: WordReader, *, joins: tuple[re.Pattern[str], ...]) -> Amount | None:
    """Read the other end of an interval."""
    for join in (_DASH, *joins):
        with reader.trial() as trial:
            if reader.take(join):
                amount = reader.amount(signed=join is not _DASH)
                if amount is not None:
                    trial.keep()
                    return amount
    return None


def _tolerance(reader: WordReader, middle: Amount) -> Interval | None:
    with reader.trial() as trial:
        if not reader.take(_PLUS_MINUS):
            return None
        by = reader.amount(signed=False)
        if by is None:
            return None
        trial.keep()
        unit = middle.unit or by.unit
        low, high = middle.value - by.value, middle.value + by.value
        return Interval(Amount(low, unit), Amount(high, by.unit or unit))


def both_ends(low: Amount, high: Amount) -> Interval:
    """An interval; a unit that is written once holds for both ends."""
    return Interval(
        Amount(low.value, low.unit or high.unit), Amount(high.value, high.unit or low.unit)
    )
