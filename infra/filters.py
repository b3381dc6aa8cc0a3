"""Filters on stored rows: an expression tree, rendered once, or evaluated in plain Python.

User text reaches a Milvus expression through `quote` alone. There is no unary NOT: a server's
template bug returned extra rows under it; exclusion is `NotIn`. A clause that asks for nothing (an
empty list, a range without bounds that keeps the unmeasured, an empty `And` or `Or`) is as if it
had not been written.

A number that was not measured is stored as `UNMEASURED`, and comparisons with NULL are wrong on
several servers: so every rendered comparison of a number also says which side of
`MEASURED_ABOVE` it wants. A name that is not known is stored, and asked for, as the empty text.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNMEASURED = -1e30
"""What is stored for a number that was not measured."""

MEASURED_ABOVE = -1e29
"""Every number that was measured is above this."""

MAX_DEPTH = 32
"""Deepest nesting: parsers of expressions are recursive (Milvus Lite fails beyond 100)."""

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class FilterError(LithoscopeError):
    """A filter that can't be used."""


class Comparison(StrEnum):
    """How a number is compared; the values are Milvus's operators."""

    EQUAL = "=="
    UNEQUAL = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="


_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.ABOVE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class In:
    """The text is one of these; the empty text stands for a name that is not known."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotIn:
    """The text is none of these; a name that is not known stays, unless "" is among them."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The text lies in a part of the texts, in the order of their UTF-8.

    Attributes:
        field: Column.
        after: Only texts after this one, or None for no bound.
        up_to: Only this one and those before it, or None for no bound.
    """

    field: str
    after: str | None = None
    up_to: str | None = None


@dataclass(frozen=True, slots=True)
class Compare:
    """The number was measured, and compares so with this value."""

    field: str
    comparison: Comparison
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The number lies in a closed interval.

    Attributes:
        field: Column.
        low: Smallest value, or None for no bound.
        high: Largest value, or None for no bound.
        keep_unmeasured: Whether rows where it was not measured stay.
    """

    field: str
    low: float | None = None
    high: float | None = None
    keep_unmeasured: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these."""

    parts: tuple[Filter, ...]


Filter = In | NotIn | Between | Compare | Range | And | Or


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterFields:
    """Columns that may be filtered.

    Attributes:
        texts: Names of text columns, for `In`, `NotIn` and `Between`.
        numbers: Names of number columns, for `Compare` and `Range`.
    """

    texts: frozenset[str]
    numbers: frozenset[str]


def quote(text: str) -> str:
    r"""Write a text as a literal of Milvus's expressions.

    Only the escapes that Milvus Lite and the servers share are used: ``\\``, ``\"``, ``\n``,
    ``\r``, ``\t``; other characters, control characters too, stand for themselves.

    Raises:
        FilterError: The text is not valid Unicode (a lone surrogate).
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterError(
            f"text {text[:60]!r} in a filter is not valid Unicode; give it as it is stored"
        ) from None
    return f'"{text.translate(_ESCAPES)}"'


def render(tree: Filter | None, fields: FilterFields) -> str:
    """Write a filter as a Milvus expression.

    Args:
        tree: The filter, or None for every row.
        fields: Columns that it may name.

    Returns:
        The expression; empty where every row is wanted.

    Raises:
        FilterError: A column that may not be filtered so, a number that is not finite or not
            above `MEASURED_ABOVE`, a text that is not Unicode, or nesting beyond `MAX_DEPTH`.
    """
    if tree is None:
        return ""
    check_filter(tree, fields)
    kept = _written(tree)
    return "" if kept is None else _render(kept)


def matches(tree: Filter | None, row: Mapping[str, str | float | None]) -> bool:
    """Say whether a row passes a filter, in plain Python: the reference for `render`.

    Args:
        tree: The filter, or None for every row.
        row: Values by column; None is a name not known or a number not measured.

    Returns:
        True if it passes.
    """
    kept = None if tree is None else _written(tree)
    return kept is None or _matches(kept, row)


def check_filter(tree: Filter, fields: FilterFields) -> None:
    """Refuse a filter that can't be used.

    Raises:
        FilterError: As `render`.
    """
    _check(tree, fields, depth=1)


def _check(tree: Filter, fields: FilterFields, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FilterError(f"filter: nested deeper than {MAX_DEPTH}; flatten its ands and ors")
    if isinstance(tree, And | Or):
        for part in tree.parts:
            _check(part, fields, depth=depth + 1)
        return
    is_text = isinstance(tree, In | NotIn | Between)
    allowed = fields.texts if is_text else fields.numbers
    if tree.field not in allowed:
        kind = "text" if is_text else "number"
        raise FilterError(
            f"filter on {tree.field!r}: no {kind} column of that name; "
            f"use one of {', '.join(sorted(allowed))}"
        )
    if isinstance(tree, In | NotIn | Between):
        for text in _texts(tree):
            quote(text)
        return
    for number in _numbers(tree):
        if not math.isfinite(number) or number <= MEASURED_ABOVE:
            raise FilterError(
                f"filter on {tree.field!r}: found {number!r}, expected a finite number above "
                f"{MEASURED_ABOVE:g}; leave the bound out for none"
            )


def _texts(tree: In | NotIn | Between) -> tuple[str, ...]:
    if isinstance(tree, Between):
        return tuple(bound for bound in (tree.after, tree.up_to) if bound is not None)
    return tree.values


def _numbers(tree: Compare | Range) -> list[float]:
    if isinstance(tree, Compare):
        return [tree.value]
    return [bound for bound in (tree.low, tree.high) if bound is not None]


def _written(tree: Filter) -> Filter | None:
    """Leave out clauses that ask for nothing; None where nothing is left."""
    if isinstance(tree, And | Or):
        parts = tuple(kept for part in tree.parts if (kept := _written(part)) is not None)
        return type(tree)(parts) if parts else None
    if isinstance(tree, In | NotIn | Between):
        return tree if _texts(tree) else None
    if isinstance(tree, Range) and tree.keep_unmeasured and not _numbers(tree):
        return None
    return tree


def _render(tree: Filter) -> str:
    if isinstance(tree, And | Or):
        word = "and" if isinstance(tree, And) else "or"
        return _joined([_render(part) for part in tree.parts], word)
    if isinstance(tree, In | NotIn):
        word = "in" if isinstance(tree, In) else "not in"
        return f"({tree.field} {word} [{', '.join(map(quote, dict.fromkeys(tree.values)))}])"
    if isinstance(tree, Between):
        bounds = ((">", tree.after), ("<=", tree.up_to))
        texts = [f"{tree.field} {sign} {quote(text)}" for sign, text in bounds if text is not None]
        return f"({' and '.join(texts)})"
    measured = f"{tree.field} > {MEASURED_ABOVE!r}"
    if isinstance(tree, Compare):
        return f"({measured} and {tree.field} {tree.comparison} {float(tree.value)!r})"
    clauses = [measured]
    if tree.low is not None:
        clauses.append(f"{tree.field} >= {float(tree.low)!r}")
    if tree.high is not None:
        clauses.append(f"{tree.field} <= {float(tree.high)!r}")
    inside = f"({' and '.join(clauses)})"
    return f"({tree.field} <= {MEASURED_ABOVE!r} or {inside})" if tree.keep_unmeasured else inside


def _joined(parts: list[str], word: str) -> str:
    """Join clauses, halves within halves: servers nest a chain of a hundred too deep to parse."""
    if len(parts) <= 2:
        return f"({f' {word} '.join(parts)})"
    middle = len(parts) // 2
    return f"({_joined(parts[:middle], word)} {word} {_joined(parts[middle:], word)})"


def _matches(tree: Filter, row: Mapping[str, str | float | None]) -> bool:
    if isinstance(tree, And):
        return all(_matches(part, row) for part in tree.parts)
    if isinstance(tree, Or):
        return any(_matches(part, row) for part in tree.parts)
    found = row[tree.field]
    if isinstance(tree, In | NotIn):
        return ((found or "") in tree.values) == isinstance(tree, In)
    if isinstance(tree, Between):
        return _is_between(str(found or ""), tree)
    if found is None:
        return isinstance(tree, Range) and tree.keep_unmeasured
    return _compares(float(found), tree)


def _is_between(text: str, tree: Between) -> bool:
    """Whether a text lies between two: code points are ordered as their UTF-8 is."""
    is_after = tree.after is None or text > tree.after
    return is_after and (tree.up_to is None or text <= tree.up_to)


def _compares(value: float, tree: Compare | Range) -> bool:
    if isinstance(tree, Compare):
        return _COMPARE[tree.comparison](value, tree.value)
    return (tree.low is None or tree.low <= value) and (tree.high is None or value <= tree.high)
