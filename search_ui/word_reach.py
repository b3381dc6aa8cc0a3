"""How far an exclusion goes: "exclude E1 and thin sections" leaves out both, "and 5 hits" neither.

"Exclude E1 and porosity below 5 %" may mean rocks that are both, or rocks that are either, or that
such a porosity is wanted: it is not understood, neither half of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from search_ui.chips import Changes
from search_ui.requests import Filters
from search_ui.word_intervals import AT_LEAST, AT_MOST
from search_ui.word_names import EXCLUDE, EXCLUDED_AFTER, MINUS, ONLY
from search_ui.word_reader import WordReader, phrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_ui.word_rules import Read

_LEAVE_OUT = "exclude "
_LIST = r"(?:(?<!\w)(?:and|or|nor|as\s+well\s+as)(?!\w)|[&+|])"
_MORE = rf"(?:{_LIST}|(?<!\w)(?:plus|also)(?!\w))"
_AND = re.compile(rf"\s*{_LIST}", re.IGNORECASE)
_JOIN = re.compile(_MORE, re.IGNORECASE)
_CLOSE = re.compile(rf"(?:[,;]|[.!?](?=\s|$))(?!\s*{_MORE})|\bbut\b(?!\s+not\b)", re.IGNORECASE)
_OR = phrase("or")
_NESTED = phrase(
    *("except", "except for", "excepting", "apart from", "other than", "everything but", "but not"),
    *("anything but", "all but"),
)
"""What is left out of what is left out is wanted, or isn't: "exclude E1, except S1"."""
_WANTED = phrase("keep", "keeping", "include", "including", "show", "showing", "allow")
_CONDITION = phrase("from", "in", "within", "of", "with", "for", "where", "if", "whose")
_OF_THEIR_OWN = (EXCLUDE, ONLY, _WANTED)
"""What begins with one of these says itself whether it is wanted."""


@dataclass(slots=True)
class Reach:
    """What was left out last, and whether what follows may go on with it.

    Attributes:
        text: The text.
        end: Where that ends; None where what was read last is wanted.
        is_of_names: Whether it is of such things as more can be left out with.
        last: What was read last, left out or not; None at the beginning.
        last_end: Where that ends.
        first_end: Where the first of the things ends that "and" joins to it.
    """

    text: str
    end: int | None = None
    is_of_names: bool = False
    last: Read | None = None
    last_end: int = 0
    first_end: int = 0

    @property
    def is_open(self) -> bool:
        """Whether something was left out last."""
        return self.end is not None

    def left_out_too(
        self, reader: WordReader, reads: Callable[[WordReader], Read | None]
    ) -> Read | None:
        """Read "and thin sections" behind "exclude own sample".

        Args:
            reader: The text.
            reads: Reads what can be left out by name.
        """
        if not self.is_of_names or self.text[self.end : reader.at].strip():
            return None
        with reader.trial() as trial:
            if not reader.take(_AND) or reader.sees(_CONDITION):
                return None
            inner = WordReader(_LEAVE_OUT + self.text[reader.at :].lstrip())
            read = reads(inner)
            if read is None or not read.chips:
                return None
            reader.at = len(self.text) - len(inner.text) + inner.at
            trial.keep()
            self.last, self.last_end, self.end = read, reader.at, reader.at
            return read

    def unclear_with(self, read: Read, start: int, *, end: int) -> tuple[int, ...]:
        """Note what was read; returns where that ends which it can't be told apart from.

        Args:
            read: What was read.
            start: Where.
            end: To where.
        """
        words = self.text[start:end].lstrip(". ")  # a property may be read with a full stop before
        start = end - len(words)
        is_held = self._holds(read, words, start=start)
        unclear: tuple[int, ...] = (self.end,) if self.end is not None and is_held else ()
        if any(found.end() == len(words) for found in EXCLUDED_AFTER.finditer(words)):
            unclear += self._joined_before(start)
        if self.last is not None and _OR.match(words) and not _has_range(self.last):
            unclear += (self.last_end,)  # "only E1 or unmeasured"; of a range, it widens that
        is_out = _leaves_out(read, words)
        self.is_of_names = is_out and not is_held and bool(read.chips) and not _has_range(read)
        self.first_end = min((*self._joined_before(start), end))
        self.end = end if is_out or is_held or read.is_asked else None
        self.last, self.last_end = read, end
        return unclear

    def pass_over(self, reader: WordReader) -> tuple[int, ...]:
        """Note a word that is not understood, before it is skipped; returns as `unclear_with`."""
        if found := EXCLUDE.match(reader.text, reader.at):
            self.end, self.is_of_names = found.end(), False
        return self._joined_before(reader.at) if reader.sees(EXCLUDED_AFTER) else ()

    def _joined_before(self, start: int) -> tuple[int, ...]:
        """Where the first of what "… and E2 excluded" may leave out as well ends, if any."""
        is_apart = (
            self.last is None or _is_setting(self.last) or self._closing(self.last_end, start)
        )
        return () if is_apart else (self.first_end,)

    def _holds(self, read: Read, words: str, *, start: int) -> bool:
        """Whether it can't be told that something is not left out as well."""
        if self.end is None or _is_setting(read):
            return False
        if _NESTED.match(words):
            return True
        if _has_sign(read, words):
            return False
        closing = self._closing(self.end, start)
        if any(each.match(words) for each in _OF_THEIR_OWN):
            return not closing and _JOIN.search(self.text[self.end : start]) is None
        # "exclude porosity below 5 %, permeability below 1 mD" may be a list
        is_list = closing == "," and _has_range(read) and _has_range(self.last)
        return not closing or is_list

    def _closing(self, end: int, start: int) -> str:
        """A comma, or the like, between two places that has no "and" behind it; empty for none."""
        found = _CLOSE.search(self.text, end)
        return found[0] if found is not None and found.start() < start else ""


def _leaves_out(read: Read, words: str) -> bool:
    if _is_setting(read) or AT_LEAST.match(words) or AT_MOST.match(words):  # "no less than 10 mD"
        return False
    return EXCLUDE.match(words) is not None or _has_sign(read, words)


def _has_sign(read: Read, words: str) -> bool:
    """Whether it is written as "-E2"; the sign of "-5 to 5" is a number's."""
    return MINUS.match(words) is not None and not _has_range(read)


def _has_range(read: Read | None) -> bool:
    return read is not None and any(
        chip.filters.ranges or chip.changes.min_similarity is not None for chip in read.chips
    )


def _is_setting(read: Read) -> bool:
    """Whether it is of how hits are shown: nothing that could be left out."""
    return bool(read.chips) and all(
        chip.filters == Filters()
        and replace(chip.changes, k=None, group_by=None, per_sample=None, three_rows=None)
        == Changes()
        for chip in read.chips
    )
