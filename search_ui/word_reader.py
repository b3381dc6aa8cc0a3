"""A text that is read from its beginning: phrases, numbers with units, and names that there are."""

from __future__ import annotations

import re
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Generic, TypeVar

from encoder.metadata.columns import UNITS, squash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Found = TypeVar("Found")

_SPACE = r"[\s'\u2019]"
_SPACED = rf"[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}})+(?:[.,]\d+)?"
_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"
_PLAIN = r"\d+[.,]\d+|\d+\.?|\.\d+"


def _number(*forms: str) -> re.Pattern[str]:
    """A pattern of numbers; one that goes on after a space, "1 2345", is none."""
    return re.compile(
        rf"\s*(?P<sign>[+\-−])?(?P<number>(?:{'|'.join(forms)})(?:e[+-]?\d{{1,3}})?)"
        rf"(?![.,]?\d|{_SPACE}+\d)",
        re.IGNORECASE,
    )


_WITH_POINTS = _number(_SPACED, _GROUPED, _PLAIN)
_WITH_COMMAS = _number(_SPACED, rf"(?![1-9]\d{{0,2}}\.\d{{3}}(?!\d))(?:{_PLAIN})")
"""Where commas are decimal, "1,234" is little more than one, and "1.234" may be a thousand."""
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])(?![1-9]\d{0,2},\d{3}(?!\d))\d+,\d+(?![.,]?\d)")
_HAS_GROUPS = re.compile(rf"{_GROUPED}(?!\d)")
_UNIT_NAMES = sorted(
    {unit for units in UNITS.values() for unit in units if unit != "-"}, key=len, reverse=True
)
_UNIT = re.compile(
    r"\s*(?P<unit>per\s+cent|"
    + "|".join(re.escape(unit).replace("μ", "[μµ]").replace("2", "[2²]") for unit in _UNIT_NAMES)
    + r")(?![\w²])",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "'": "'", "\u2018": "\u2019", "`": "`"}
_TOKEN = re.compile(r"\s*(?:\d+(?:[.,]\d+)+%?|\w+(?:[-./'\u2019]\w+)*%?|\S)")
_OF_NUMBERS = frozenset("+-\u2212\u2013\u2014.")
_INSIDE = frozenset("-./_'\u2019")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with the unit that was written behind it.

    Attributes:
        value: The number.
        unit: The unit, squashed; empty where there is none.
    """

    value: Decimal
    unit: str


def phrase(*alternatives: str) -> re.Pattern[str]:
    """A pattern of phrases, whole words in any case, the longest first.

    Args:
        alternatives: Phrases; a space stands for any run of spaces, underscores and hyphens.
    """
    texts = sorted(alternatives, key=len, reverse=True)
    parts = [
        r"[\s_-]+".join(re.escape(word) for word in text.split())
        + (r"(?!\w)" if text[-1].isalnum() else "")
        for text in texts
    ]
    return re.compile(rf"\s*(?:{'|'.join(parts)})", re.IGNORECASE)


def folded(text: str) -> str:
    """What names are compared by: no case, no difference in spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class NameTable(Generic[Found]):
    """Names that can be found in a text, by what they are compared by.

    Attributes:
        fold: What they are compared by.
        entries: What each name stands for.
        longest: Signs of the longest name.
    """

    fold: Callable[[str], str]
    entries: Mapping[str, Found]
    longest: int

    @classmethod
    def of(
        cls, names: Iterable[tuple[str, Found]], fold: Callable[[str], str] = folded
    ) -> NameTable[Found]:
        """Put a table together; of two names that compare equal, the first is kept."""
        entries: dict[str, Found] = {}
        longest = 0
        for name, found in names:
            entries.setdefault(fold(name), found)
            longest = max(longest, len(name))
        entries.pop("", None)
        return cls(fold, entries, 2 * longest + 4)


@dataclass(slots=True)
class WordReader:
    """A text and how far it was read.

    Attributes:
        text: The text.
        at: Place of the next sign.
        numbers: How numbers are written in this text.
    """

    text: str
    at: int = field(default=0)
    numbers: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        has_commas = _DECIMAL_COMMA.search(self.text) is not None
        self.numbers = _WITH_COMMAS if has_commas else _WITH_POINTS

    @property
    def is_done(self) -> bool:
        """Whether nothing but spaces is left."""
        return not self.text[self.at :].strip()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what a pattern matches here, if it does."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def sees(self, pattern: re.Pattern[str]) -> bool:
        """Whether a pattern matches here; nothing is read."""
        return pattern.match(self.text, self.at) is not None

    def skip(self) -> tuple[int, int]:
        """Read one token, whatever it is; returns where it begins and ends."""
        if quoted := self.quoted():
            return quoted[1], self.at
        found = self.take(_TOKEN)
        if found is None:
            start, self.at = self.at, len(self.text)
            return start, self.at
        return found.end() - len(found[0].lstrip()), found.end()

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Go back to where one was unless the trial is kept."""
        trial = Trial()
        before = self.at
        yield trial
        if not trial.is_kept:
            self.at = before

    def amount(self, *, signed: bool = True) -> Amount | None:
        """Read a number with its unit.

        Args:
            signed: Whether a sign may stand before it.
        """
        with self.trial() as trial:
            found = self.take(self.numbers)
            if found is None or (found["sign"] and not signed):
                return None
            unit = self.take(_UNIT)
            if unit is None and self._is_inside_a_word():
                return None
            value = self._decimal(found["number"])
            if value is None:
                return None
            trial.keep()
            told = "" if unit is None else squash(unit["unit"]).replace("²", "2")
            return Amount(-value if found["sign"] in ("-", "−") else value, told)

    def quoted(self) -> tuple[str, int] | None:
        """Read a text in quotes; returns it and where it begins. A quote twice stands for one."""
        start = len(self.text) - len(self.text[self.at :].lstrip())
        close = _QUOTES.get(self.text[start : start + 1])
        if close is None:
            return None
        told, place = "", start + 1
        while place < len(self.text):
            sign = self.text[place]
            if sign == close and self.text[place + 1 : place + 2] == close:
                place += 1
            elif sign == close:
                self.at = place + 1
                return told, start
            told += sign
            place += 1
        return None

    def name(self, table: NameTable[Found]) -> Found | None:
        """Read the longest name of a table that stands here, plain or in quotes."""
        return self.plain_name(table) or self.quoted_name(table)

    def plain_name(self, table: NameTable[Found]) -> Found | None:
        """Read the longest name of a table that stands here, not in quotes."""
        start = len(self.text) - len(self.text[self.at :].lstrip())
        last = min(len(self.text), start + table.longest)
        for end in range(last, start, -1):
            if self._is_end(end):
                found = table.entries.get(table.fold(self.text[start:end]))
                if found is not None:
                    self.at = end
                    return found
        return None

    def quoted_name(self, table: NameTable[Found]) -> Found | None:
        """Read a name of a table that stands here in quotes."""
        with self.trial() as trial:
            quoted = self.quoted()
            found = None if quoted is None else table.entries.get(table.fold(quoted[0]))
            if found is not None:
                trial.keep()
            return found

    def _is_end(self, place: int) -> bool:
        """Whether a name may end here: not within a word, nor before a hyphen and more of it."""
        if place >= len(self.text):
            return True
        before, after = self.text[place - 1], self.text[place]
        if before.isspace() or (_is_word(before) and _is_word(after)):
            return False
        if before in _OF_NUMBERS and (after.isdigit() or after in _OF_NUMBERS):
            return False  # "permeability -5": the sign is the number's
        return not (after in _INSIDE and _is_word(self.text[place + 1 : place + 2]))

    def _is_inside_a_word(self) -> bool:
        return _is_word(self.text[self.at : self.at + 1])

    def _decimal(self, text: str) -> Decimal | None:
        is_grouped = self.numbers is _WITH_POINTS and _HAS_GROUPS.match(text) is not None
        plain = re.sub(_SPACE, "", text).replace(",", "" if is_grouped else ".")
        try:
            return Decimal(plain)
        except InvalidOperation:
            return None


@dataclass(slots=True)
class Trial:
    """Whether what was read on trial is kept."""

    is_kept: bool = False

    def keep(self) -> None:
        """Keep it."""
        self.is_kept = True


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"
