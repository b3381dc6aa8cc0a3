"""What can be wrong with metadata, and which numbers its fields take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from encoder.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SHOWN_PROBLEMS = 20
"""How many problems the text of a `MetadataError` spells out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataProblem:
    """One thing that is wrong with a metadata source.

    Attributes:
        source: File, object key or other source that holds the value.
        found: What is there (`shown`, so that it stays short and on one line).
        expected: What should be there.
        remedy: What its owner can do.
        row: Row number as a spreadsheet shows it, where there is one.
        column: Name of the column or field, where there is one.
    """

    source: str
    found: str
    expected: str
    remedy: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        row = "" if self.row is None else f" row {self.row}"
        column = "" if self.column is None else f", column {self.column!r}"
        return (
            f"{self.source}{row}{column}: "
            f"found {self.found}, expected {self.expected}; {self.remedy}"
        )


class MetadataError(LithoscopeError):
    """Metadata that can't be used, with every problem that was found at once.

    Attributes:
        problems: All problems, in the order of the source.
    """

    def __init__(self, problems: Iterable[MetadataProblem]) -> None:
        self.problems = list(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"{len(self.problems)} problems in the metadata:"]
        lines += [f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"  … and {len(self.problems) - SHOWN_PROBLEMS} more")
        return "\n".join(lines)


CORRECT = "correct it, or leave it empty if it is not known"
"""Remedy for a value that can't be right."""


@dataclass(frozen=True, slots=True)
class NumberRule:
    """Which numbers a field takes.

    Attributes:
        expected: The allowed values, in words.
        above: What else is expected of a value above ``high``, and what to do about it.
        low: Smallest value.
        high: Largest value.
    """

    expected: str
    above: tuple[str, str] = ("", CORRECT)
    low: float = 0.0
    high: float = math.inf

    def accepts(self, value: float) -> bool:
        """Whether the value is finite and inside the bounds."""
        return self.low <= value <= self.high and math.isfinite(value)

    def expected_for(self, value: float) -> str:
        """What is expected in place of a value that is not accepted."""
        return self.expected + (self.above[0] if self.high < value < math.inf else "")

    def remedy_for(self, value: float) -> str:
        """What to do about a value that is not accepted."""
        return self.above[1] if self.high < value < math.inf else CORRECT


NUMBER_RULES: Mapping[str, NumberRule] = {
    "porosity": NumberRule(
        "a fraction from 0 to 1",
        (", not per cent", "divide by 100, or say so in the column's name: 'Porosity (%)'"),
        high=1.0,
    ),
    "permeability_md": NumberRule("a finite permeability of at least 0 millidarcy"),
    # From an atom to a metre: no picture is farther from that, and what is can't be drawn.
    "pixel_size_um": NumberRule(
        "a pixel size from 0.0001 to 1,000,000 micrometres", low=1e-4, high=1e6
    ),
}
"""Fields of ours that hold a number, with their bounds."""


def shown(value: object) -> str:
    """Quote a found value for a message: on one line, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…{text[-1]}"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
