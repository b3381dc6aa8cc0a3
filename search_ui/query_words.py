"""Filters in words: what is understood becomes chips, what is not is said.

A text is read from its beginning, in clauses that end at a comma, a full stop, "and" or "but".
Where a word that may turn a clause's meaning around is not understood, the clause isn't at all; nor
are clauses of which it can't be told whether what the first leaves out goes on (`word_reach`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.errors import printable
from search_ui.chips import Chip, chips_of, without, words_of
from search_ui.our_words import FILLERS, OURS, TURNING, VOCABULARY
from search_ui.word_names import NameTables, excludes, read_names
from search_ui.word_ranges import property_table, read_range
from search_ui.word_reach import Reach
from search_ui.word_reader import NameTable, WordReader
from search_ui.word_rules import Read, read_phrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_ui.requests import SearchRequest

__all__ = ["Chip", "Names", "Understood", "chips_of", "understand", "without", "words_of"]

MAX_SIGNS = 2000
"""Longest text that is read."""

_LINES = re.compile(r"\s*[\r\n]+\s*")
_BREAK = re.compile(r"\s*(?:[,;]+|[.!?]+(?=\s|$)|(?:and|but|plus|then|also)(?!\w))", re.IGNORECASE)
_FIGURES = re.compile(r"[\W\d]+(?:md|%)?", re.IGNORECASE)
_MARKS = "\"'`“”„«»\u2018\u2019.:;()[]"
_SIGN = re.compile("[<>≤≥≠]")
_CLOSE = 0.7
_HINTS = 5
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What can be named.

    Attributes:
        reservoirs: Of anything that is indexed.
        samples: Likewise.
        modalities: Likewise.
        numbers: Properties that can be filtered by.
        own_reservoirs: Those of what is looked for, if that is known: "exclude this reservoir".
    """

    reservoirs: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    own_reservoirs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What was made of a text.

    Attributes:
        chips: What was understood, in order, each once.
        not_understood: What was not: each in the asker's words, and what to write instead.
    """

    chips: tuple[Chip, ...] = ()
    not_understood: tuple[str, ...] = ()

    def apply(self, request: SearchRequest) -> SearchRequest:
        """Give a request that asks for all of it too."""
        for chip in self.chips:
            request = chip.apply(request)
        return request


def understand(text: str, names: Names) -> Understood:
    """Read what a person writes: nothing that was not said, and nothing is dropped silently.

    Args:
        text: Such as "exclude reservoir E2, porosity 0.15–0.25, only micro-CT".
        names: What can be named.
    """
    if len(text) > MAX_SIGNS:
        problem = f"a text of {len(text):,} signs: at most {MAX_SIGNS:,} are read; shorten it"
        return Understood(not_understood=(problem,))
    found = Understanding(names)
    found.read(_LINES.sub("; ", text))
    return found.told()


@dataclass(slots=True)
class _Clause:
    """A part of a text that is understood, or not, together.

    Attributes:
        chips: What was understood.
        problems: What was not, in words.
        left: Words that were not read, as (begin, end), runs joined.
        reads: What was read, as (begin, end, what).
        begin: Where it begins; None before its first word.
        end: Where it ends.
        unclear: Where that ends which it can't be told apart from; none where it is clear.
    """

    chips: list[Chip] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)
    reads: list[tuple[int, int, Read]] = field(default_factory=list)
    begin: int | None = None
    end: int = 0
    unclear: tuple[int, ...] = ()

    def goes_on(self, before: _Clause) -> bool:
        """Whether it can't be told apart from the clause before."""
        return any(place <= before.end for place in self.unclear)

    def behind(self, before: _Clause) -> _Clause:
        """Both as one that is not understood."""
        return _Clause(begin=before.begin, end=self.end, unclear=self.unclear)


class Understanding:
    """Reads texts for one index."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._properties: NameTable[str] = property_table(names.numbers)
        self._tables = NameTables.of(
            names.reservoirs,
            names.samples,
            reserved=OURS | {*names.numbers},
            own_reservoirs=names.own_reservoirs,
            reads_else=self._read_numbers,
        )
        self._chips: list[Chip] = []
        self._problems: list[str] = []
        self._hints = 0

    def read(self, text: str) -> None:
        """Read a text to its end."""
        reader, reach, clauses = WordReader(text), Reach(text), [_Clause()]
        while not reader.is_done:
            start, clause = _next(reader), clauses[-1]
            read, unclear = self._read(reader, reach)
            if read is None and reader.take(_BREAK):
                clauses.append(_Clause())
                continue
            clause.begin = start if clause.begin is None else clause.begin
            if read is None:
                unclear = reach.pass_over(reader)
                _leave(clause, reader.skip(), text=text)
            else:
                clause.reads.append((start, reader.at, read))
                clause.chips += read.chips
                clause.problems += read.problems
            clause.unclear += unclear
            clause.end = reader.at
        for clause in _told_apart(clauses, text):
            self._end(clause, text)

    def told(self) -> Understood:
        """What was made of it."""
        chips = self._chips
        modal = [chip for chip in chips if chip.filters.modalities]
        if len({chip.filters.modalities for chip in modal}) > 1:
            chips = [chip for chip in chips if chip not in modal]
            self._problems.append(
                "ways of imaging that contradict each other: name those that are wanted once"
            )
        return Understood(
            chips=tuple(dict.fromkeys(chips)),
            not_understood=tuple(printable(each) for each in dict.fromkeys(self._problems)),
        )

    def _read(self, reader: WordReader, reach: Reach) -> tuple[Read | None, tuple[int, ...]]:
        """Read what stands here, and where that ends which it can't be told apart from."""
        if read := reach.left_out_too(reader, self._read_named):
            return read, ()
        start = _next(reader)
        read = self._read_numbers(reader) or read_names(
            reader, self._tables, is_after_exclusion=reach.is_open
        )
        return read, reach.unclear_with(read, start, end=reader.at) if read else ()

    def _read_named(self, reader: WordReader) -> Read | None:
        return read_phrase(reader) or read_names(reader, self._tables)

    def _read_numbers(self, reader: WordReader) -> Read | None:
        return read_range(reader, self._properties) or read_phrase(reader)

    def _end(self, clause: _Clause, text: str) -> None:
        left = [(begin, end) for begin, end in clause.left if not _says_nothing(text[begin:end])]
        is_turned = bool(clause.unclear) or any(_SIGN.search(text[b:e]) for b, e in left)
        is_turned = is_turned or any(TURNING & {*_words(text[begin:end])} for begin, end in left)
        is_turned = is_turned or any(_is_half(clause, span, text=text) for span in clause.left)
        if is_turned and clause.begin is not None:
            left = [(clause.begin, clause.end)]
        else:
            self._chips += clause.chips
            self._problems += clause.problems
        is_known = bool(clause.unclear)
        self._problems += [self._problem(text[b:e], is_known=is_known) for b, e in left]

    def _problem(self, words: str, *, is_known: bool) -> str:
        told = " ".join(words.split())
        shown = told if len(told) <= _SHOWN else f"{told[: _SHOWN - 1]}…"
        near = "" if is_known else self._near(told)
        return f'"{shown}"' + (f": did you mean {near}?" if near else "")

    def _near(self, words: str) -> str:
        """Names, or words of ours, that a text may be a misspelling of."""
        self._hints += 1
        core = " ".join(
            word
            for word in words.split()
            if not _says_nothing(word, _PASSED) and not _FIGURES.fullmatch(word)
        )
        core = core.strip(_MARKS)
        if not core or self._hints > _HINTS or len(core) > _SHOWN:
            return ""
        known = {name.casefold(): name for name in reversed([*VOCABULARY, *self._all_names()])}
        near = difflib.get_close_matches(core.casefold(), known, n=2, cutoff=_CLOSE)
        return " or ".join(f"'{known[each]}'" for each in near if each != core.casefold())

    def _all_names(self) -> Iterator[str]:
        yield from self._names.reservoirs
        yield from self._names.samples


_PASSED = FILLERS | TURNING | {"reservoir", "reservoirs", "sample", "samples", "formation"}


def _next(reader: WordReader) -> int:
    """Where the next word begins."""
    rest = reader.text[reader.at :]
    return reader.at + len(rest) - len(rest.lstrip())


def _told_apart(clauses: list[_Clause], text: str) -> list[_Clause]:
    """Clauses in which something stands; those that can't be told apart are one."""
    found: list[_Clause] = []
    for clause in (each for each in clauses if each.begin is not None):
        if found and _begins_with_or(clause, text):
            clause.unclear += (found[-1].end,)
        whole = clause
        while found and whole.goes_on(found[-1]):
            whole = whole.behind(found.pop())
        found.append(whole)
    return found


def _begins_with_or(clause: _Clause, text: str) -> bool:
    begin, end = clause.left[0] if clause.left else (clause.end, clause.end)
    return begin == clause.begin and _words(text[begin:end])[:1] == ["or"]


def _leave(clause: _Clause, span: tuple[int, int], *, text: str) -> None:
    """Note words that were not read; those that follow each other are one."""
    begin, end = span
    if clause.left and not text[clause.left[-1][1] : begin].strip():
        begin = clause.left.pop()[0]
    clause.left.append((begin, end))


def _is_half(clause: _Clause, span: tuple[int, int], *, text: str) -> bool:
    """Whether words that were not read go on with what was: "below 10 % or > 20 %", "1 bis 2"."""
    begin, end = span
    rest = text[begin:end]
    place = end + len(text[end:]) - len(text[end:].lstrip())
    follows = any(start == place for start, _, _ in clause.reads)
    has_figure = follows and text[place].isdigit()
    read = next((read for _, at, read in clause.reads if at == len(text[:begin].rstrip())), None)
    if read is None:
        return has_figure and rest[-1].isdigit()
    is_range = any(chip.filters.ranges for chip in read.chips)
    is_cut = rest[0].isdigit() or (is_range and (has_figure or any(map(str.isdigit, rest))))
    is_either = _words(rest)[:1] == ["or"]
    return is_cut or (is_either and (follows or not excludes(read.chips)))


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold().replace("\u2019", "'"))


def _says_nothing(text: str, passed: frozenset[str] = FILLERS) -> bool:
    words = _words(text)
    return all(word in passed for word in words) and not re.search(r"[^\w\s'\u2019.:()\"-]", text)
