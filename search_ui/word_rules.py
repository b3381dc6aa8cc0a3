"""Phrases that are understood as a whole: how many hits, of what, whether one's own sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.ranking import GroupBy
from search_ui.chips import (
    Chip,
    count_chip,
    group_chip,
    own_sample_chip,
    per_sample_chip,
    three_rows_chip,
    unmeasured_chip,
)
from search_ui.requests import MAX_HITS
from search_ui.word_reader import WordReader, phrase

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Read:
    """What a rule made of a part of a text.

    Attributes:
        chips: What was understood.
        problems: What was not, in words.
        is_asked: Whether it may go on with what was left out before, or not.
    """

    chips: tuple[Chip, ...] = ()
    problems: tuple[str, ...] = ()
    is_asked: bool = False


_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
    )
} | {"a single": 1, "single": 1}
_COUNT = rf"(?P<count>\d{{1,9}}|{'|'.join(_NUMBER_WORDS)})"
_HIT = (
    r"(?:(?:nearest|best|closest|most\s+similar)\s+)?(?:hits?|results?|matches|match|analogs?|"
    r"analogues?|slices?|neighbou?rs?|answers?|images?|pictures?)"
)
_MOST = r"(?:at\s+most|no\s+more\s+than|not\s+more\s+than|up\s+to|max(?:imum)?(?:\s+of)?|only|just)"
_EACH = r"(?:per|(?:of|for|from|in)\s+(?:each|every|any(?:\s+one)?|one|a)|each|every|a)"
_NO_WORD = r"(?!\w)"

_PER = re.compile(
    rf"\s*(?:{_MOST}\s+)?{_COUNT}\s*(?:{_HIT}\s+)?{_EACH}\s+(?P<what>sample|reservoir|formation)"
    rf"{_NO_WORD}",
    re.IGNORECASE,
)
_GROUPED = re.compile(
    rf"\s*(?:(?:group(?:ed|ing)?\s+by|by|per|group(?:ed)?\s+per)\s+(?:the\s+)?"
    rf"(?P<what>sample|reservoir|formation)s?|each\s+(?P<each>sample|reservoir)\s+once){_NO_WORD}",
    re.IGNORECASE,
)
_TOP = r"(?:top|first|nearest|closest|best|show(?:\s+me)?|give(?:\s+me)?|find(?:\s+me)?|list)"
_HITS = re.compile(
    rf"\s*(?:(?:only|just)\s+)?(?:(?:{_TOP}\s+)?{_COUNT}\s+{_HIT}|"
    rf"(?:top|first|nearest|closest|best)\s+(?P<top>\d{{1,9}})(?!\s*[%\w.,]*\d))"
    rf"(?!\s*(?:per|each|every|of\s+each)\b){_NO_WORD}",
    re.IGNORECASE,
)
_TOP_GROUPS = re.compile(
    rf"\s*(?:top|first|nearest|closest|best)\s+{_COUNT}\s+(?P<what>sample|reservoir)s?{_NO_WORD}",
    re.IGNORECASE,
)
_K = re.compile(
    r"\s*k\s*[=:]?\s*(?P<count>\d{1,9})(?![\w.,%]*\d|\s*(?:mD|D|darcys?)\b)", re.IGNORECASE
)

_OWN = r"(?:(?:the|my|its|this)\s+)?(?:(?:query's|query\s+image's)\s+)?(?:very\s+)?"
_SAME_SAMPLE = rf"{_OWN}(?:(?:own|same|this|query's?)\s+sample|query's\s+own\s+sample)"
_WITH = r"(?:with|include|including|show|showing|keep|keeping|also|plus|allow)"
_WITHOUT = (
    r"(?:without|exclude|excluding|except(?:\s+for)?|not(?:\s+from)?|no|hide|hiding|drop|omit|skip)"
)
_WITH_OWN = re.compile(rf"\s*{_WITH}\s+{_SAME_SAMPLE}{_NO_WORD}", re.IGNORECASE)
_WITHOUT_OWN = re.compile(
    rf"\s*(?:{_WITHOUT}\s+{_SAME_SAMPLE}|only\s+other\s+samples|other\s+samples\s+only){_NO_WORD}",
    re.IGNORECASE,
)

_UNMEASURED = (
    r"(?:the\s+)?(?:unmeasured|un-measured|not\s+measured|unknown\s+values)"
    r"(?:\s+(?:ones|slices|scans|samples|values|properties))?"
)
_TOO = r"(?:\s+(?:too|as\s+well|also|allowed|included))"
_KEEP = re.compile(
    rf"\s*(?:(?:{_WITH}|or|and)\s+{_UNMEASURED}{_TOO}?|{_UNMEASURED}{_TOO}){_NO_WORD}",
    re.IGNORECASE,
)
_DROP = re.compile(
    rf"\s*(?:{_WITHOUT}\s+{_UNMEASURED}|only\s+measured|measured\s+only){_NO_WORD}"
    r"(?!\s+(?:porosity|perm|pixel))",
    re.IGNORECASE,
)
_ROWS = phrase("three rows", "as three rows", "in three rows", "with three rows", "3 rows")


def read_phrase(reader: WordReader) -> Read | None:
    """Read one of the phrases, if one stands here."""
    return next((read for rule in _RULES if (read := rule(reader)) is not None), None)


def _own_sample(reader: WordReader) -> Read | None:
    if reader.take(_WITH_OWN):
        return Read((own_sample_chip(include=True),))
    return Read((own_sample_chip(include=False),)) if reader.take(_WITHOUT_OWN) else None


def _unmeasured(reader: WordReader) -> Read | None:
    if reader.take(_KEEP):
        return Read((unmeasured_chip(keep=True),))
    return Read((unmeasured_chip(keep=False),)) if reader.take(_DROP) else None


def _three_rows(reader: WordReader) -> Read | None:
    return Read((three_rows_chip(),)) if reader.take(_ROWS) else None


def _per(reader: WordReader) -> Read | None:
    found = reader.take(_PER)
    if found is None:
        return None
    count = _number(found["count"])
    if found["what"].casefold() == "sample":
        if count >= 1:
            return Read((per_sample_chip(count),))
        return _refused(found, "write 1 or more per sample")
    if count == 1:
        return Read((group_chip(GroupBy.RESERVOIR),))
    return _refused(found, "write 'grouped by reservoir' for one of each")


def _grouped(reader: WordReader) -> Read | None:
    found = reader.take(_GROUPED)
    if found is None:
        return None
    what = (found["what"] or found["each"]).casefold()
    return Read((group_chip(GroupBy.SAMPLE if what == "sample" else GroupBy.RESERVOIR),))


def _top_groups(reader: WordReader) -> Read | None:
    found = reader.take(_TOP_GROUPS)
    if found is None:
        return None
    group = group_chip(GroupBy(found["what"].casefold()))
    return _hits_read(found, _number(found["count"]), more=(group,))


def _hits(reader: WordReader) -> Read | None:
    if found := reader.take(_HITS):
        return _hits_read(found, _number(found["count"] or found["top"]))
    if found := reader.take(_K):
        return _hits_read(found, int(found["count"]))
    return None


def _hits_read(found: re.Match[str], count: int, *, more: tuple[Chip, ...] = ()) -> Read:
    if 1 <= count <= MAX_HITS:
        return Read((*more, count_chip(count)))
    return _refused(found, f"write 1 to {MAX_HITS} hits")


def _number(text: str) -> int:
    words = " ".join(text.casefold().split())
    return _NUMBER_WORDS[words] if words in _NUMBER_WORDS else int(words)


def _refused(found: re.Match[str], remedy: str) -> Read:
    return Read(problems=(f'"{found[0].strip()}": {remedy}',))


_RULES: tuple[Callable[[WordReader], Read | None], ...] = (
    _own_sample,
    _unmeasured,
    _three_rows,
    _per,
    _grouped,
    _top_groups,
    _hits,
)
