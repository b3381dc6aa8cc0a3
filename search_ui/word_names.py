"""Names in words: "not from E2 or E3", "only sample S1", "thin sections only"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from encoder.metadata.records import Modality
from search_ui.chips import MODALITY_WORDS, Chip, exclude_chip, modality_chip, only_chip
from search_ui.word_reader import NameTable, WordReader, phrase
from search_ui.word_rules import Read, read_phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESERVOIR, SAMPLE, SCAN, MODALITY = "reservoir", "sample", "scan", "modality"

_RESERVOIR = phrase("reservoir", "reservoirs", "formation", "formations")
_SAMPLE = phrase("sample", "samples", "plug", "plugs", "core", "cores")
_SCAN = phrase("scan", "scans", "object", "objects")
_KEY = re.compile(r"\s*(scans/[^\s,;\"]+)")
_MODALITIES = {
    Modality.MICRO_CT: ("micro ct", "microct", "µct", "μct", "uct", "ct", "micro tomography"),
    Modality.THIN_SECTION: ("thin section", "thin sections", "thinsection", "thinsections"),
}
_CT_MORE = phrase("scans", "scan", "images", "image", "slices", "volumes", "data")

EXCLUDE = phrase(
    *("not", "no", "none", "exclude", "excluding", "except", "except for", "excepting", "without"),
    *("hide", "hiding", "skip", "omit", "drop", "ignore", "ignoring", "leave out", "minus"),
    *("never", "avoid", "remove", "nothing from", "nothing of", "apart from", "other than"),
    *("everything but", "anything but", "all but", "but not", "don't show", "do not show"),
    *("is not", "are not", "isn't", "≠", "!=", "<>"),
)
MINUS = re.compile(r"\s*-(?=[\w\"“])")
_STRICT = (
    *("only", "just", "solely", "exclusively", "restrict to", "restricted to", "limit to"),
    "limited to",
)
ONLY = phrase(*_STRICT)
_ONLY_OR_FROM = phrase(*_STRICT, "from", "within", "in")
_AFTER = phrase("from", "in", "of", "the", "any", "all", "those", "these", "with", "for")
_AFTER_KIND = phrase("named", "called", "is", "are", "in", "=", "==", ":")
_OR = re.compile(r"\s*(?:,\s*)?(?:(?:and|or|nor)(?!\w)|[&|+])|\s*,", re.IGNORECASE)
_EITHER = re.compile(r"[\s,]*(?:n?or\b|\|)", re.IGNORECASE)
_COMMA = re.compile(r"\s*,")
_ONLY_AFTER = phrase("only", "alone", "exclusively")
EXCLUDED_AFTER = phrase("excluded", "left out", "hidden")
_OWN_RESERVOIR = phrase(
    *("this reservoir", "own reservoir", "same reservoir", "its own reservoir", "its reservoir"),
    *("the same reservoir", "the query's reservoir", "my reservoir", "the own reservoir"),
)
_OTHER_RESERVOIRS = phrase(
    *("only other reservoirs", "other reservoirs only", "other reservoirs", "another reservoir"),
    *("from other reservoirs", "only from other reservoirs", "analogs only", "only analogs"),
)


class Polarity(Enum):
    """Whether what is named is wanted."""

    ONLY = auto()
    EXCLUDE = auto()
    UNCLEAR = auto()
    """It is turned around twice: "not only E2", "exclude everything but E2"."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that was named.

    Attributes:
        kind: What it is.
        name: Its name.
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTables:
    """Names that can be found in a text.

    Attributes:
        any_kind: Of reservoirs, samples and ways of imaging.
        by_kind: Of reservoirs and samples, each for itself.
        listed: Likewise, but for those that are words of ours: of those that follow in a list.
        own_reservoirs: Of what is looked for.
        reads_else: Reads what else may follow a comma than a further name.
    """

    any_kind: NameTable[Thing]
    by_kind: dict[str, NameTable[Thing]] = field(default_factory=dict)
    listed: dict[str, NameTable[Thing]] = field(default_factory=dict)
    own_reservoirs: tuple[str, ...] = ()
    reads_else: Callable[[WordReader], Read | None] = read_phrase

    @classmethod
    def of(
        cls,
        reservoirs: Iterable[str],
        samples: Iterable[str],
        *,
        reserved: frozenset[str],
        own_reservoirs: Iterable[str] = (),
        reads_else: Callable[[WordReader], Read | None] = read_phrase,
    ) -> NameTables:
        """Put tables together.

        Args:
            reservoirs: Names of reservoirs, which win over samples of the same name.
            samples: Names of samples.
            reserved: Words that stand for names only in quotes, or behind "reservoir", "sample".
            own_reservoirs: Of what is looked for.
            reads_else: Reads what else may follow a comma than a further name.
        """

        def taken(name: str) -> bool:
            return all(word in reserved for word in name.casefold().split())

        named = {RESERVOIR: tuple(reservoirs), SAMPLE: tuple(samples)}
        things = {
            kind: [(name, Thing(kind, name)) for name in names] for kind, names in named.items()
        }
        modalities = [
            (text, Thing(MODALITY, str(kind)))
            for kind, texts in _MODALITIES.items()
            for text in (*texts, texts[0].replace(" ", "-"), texts[0].replace(" ", "_"))
        ]
        plural = [("thin-sections", Thing(MODALITY, str(Modality.THIN_SECTION)))]
        loose = [
            (name, thing)
            for pairs in things.values()
            for name, thing in pairs
            if not taken(name) and _has_letters(name)
        ]
        return cls(
            any_kind=NameTable.of([*modalities, *plural, *loose]),
            by_kind={kind: NameTable.of(pairs) for kind, pairs in things.items()},
            listed={
                kind: NameTable.of((name, thing) for name, thing in pairs if not taken(name))
                for kind, pairs in things.items()
            },
            own_reservoirs=tuple(own_reservoirs),
            reads_else=reads_else,
        )


def read_names(
    reader: WordReader, tables: NameTables, *, is_after_exclusion: bool = False
) -> Read | None:
    """Read what is wanted or not by name, if it stands here.

    Args:
        reader: The text.
        tables: What can be named.
        is_after_exclusion: Whether other names were left out just before: then "sample S1" alone
            may go on with that, or not.
    """
    own = _own_reservoir(reader, tables)
    return own or _listed(reader, tables, is_open=is_after_exclusion)


def excludes(chips: Iterable[Chip]) -> bool:
    """Whether names are left out by some chips."""
    asked = [chip.filters for chip in chips]
    return any(f.exclude_reservoirs or f.exclude_samples or f.exclude_objects for f in asked)


def _own_reservoir(reader: WordReader, tables: NameTables) -> Read | None:
    with reader.trial() as trial:
        start = reader.at
        if not reader.take(_OTHER_RESERVOIRS):
            polarity = _polarity(reader)
            if polarity is None or not reader.take(_OWN_RESERVOIR):
                return None
        else:
            polarity = Polarity.EXCLUDE
        trial.keep()
        if polarity is Polarity.UNCLEAR:
            words = " ".join(reader.text[start : reader.at].split())
            return Read(problems=(_either(words, "this reservoir"),))
        if not tables.own_reservoirs:
            words = reader.text[start : reader.at].strip()
            hint = "the query's reservoir is not known; name it, as in 'not from reservoir E2'"
            return Read(problems=(f'"{words}": {hint}',))
        return Read(_chips(polarity, [Thing(RESERVOIR, name) for name in tables.own_reservoirs]))


def _listed(reader: WordReader, tables: NameTables, *, is_open: bool) -> Read | None:
    with reader.trial() as trial:
        start = reader.at
        polarity = _polarity(reader)
        kind = _kind(reader)
        if kind is not None:
            polarity = _polarity_after_kind(reader, polarity)
        named = reader.at
        first = _thing(reader, tables, kind=kind)
        if first is None:
            return None
        further = _further(reader, tables, first=first, kind=kind, polarity=polarity)
        things = [first, *(thing for _, thing in further)]
        listed = reader.at
        polarity = _with_trailing(reader, polarity)
        if polarity is None and not is_open:
            polarity = _of_itself(things, kind)
        trial.keep()
        if polarity in (None, Polarity.ONLY) and _is_either_kind(first, further):
            words = " ".join(reader.text[start : reader.at].split())
            return Read(problems=(f'"{words}": {_KINDS}',))
        if polarity in (None, Polarity.UNCLEAR):
            words = " ".join(reader.text[start : reader.at].split())
            names = " ".join(reader.text[named:listed].split())
            asked = words if polarity is None else f"{kind} {names}" if kind else names
            return Read(problems=(_either(words, asked),), is_asked=is_open)
        chips = _chips(polarity, things)
        return Read(chips) if chips else Read(problems=("no way of imaging is left; name one",))


def _either(words: str, asked: str) -> str:
    return f"{words}: write 'only {asked}' or 'not {asked}'"


_KINDS = "what is of two kinds can't be asked for with 'or'; name one kind, or join them with 'and'"


def _is_either_kind(first: Thing, further: list[tuple[str, Thing]]) -> bool:
    """Whether "or" joins names of two kinds: it would be asked for both, not for either."""
    is_either, kind = False, ""
    for join, thing in (*reversed(further), ("", first)):
        if is_either and thing.kind != kind:
            return True
        if join.strip() != ",":  # a comma stands for the word before the last: "E1, E2 or E3"
            is_either = _EITHER.match(join) is not None
        kind = thing.kind
    return False


def _polarity(reader: WordReader) -> Polarity | None:
    """Read words that say whether something is wanted."""
    found: list[Polarity] = []
    while True:
        if Polarity.EXCLUDE in found and reader.sees(ONLY):
            found.append(Polarity.UNCLEAR)
        if reader.take(EXCLUDE) or (not found and reader.take(MINUS)):
            found.append(Polarity.EXCLUDE)
        elif reader.take(_ONLY_OR_FROM):
            found.append(Polarity.ONLY)
        elif not (found and reader.take(_AFTER)):
            break
    if Polarity.UNCLEAR in found or found.count(Polarity.EXCLUDE) > 1:
        return Polarity.UNCLEAR
    return Polarity.EXCLUDE if Polarity.EXCLUDE in found else next(iter(found), None)


def _polarity_after_kind(reader: WordReader, polarity: Polarity | None) -> Polarity | None:
    """Read "reservoir is not E2", "reservoirs other than E2"."""
    with reader.trial() as trial:
        reader.take(_AFTER_KIND)
        inner = _polarity(reader)
        if inner is not None and polarity is Polarity.EXCLUDE:
            return polarity
        trial.keep()
    return inner or polarity


def _kind(reader: WordReader) -> str | None:
    if reader.sees(_KEY):
        return None
    for pattern, kind in ((_RESERVOIR, RESERVOIR), (_SAMPLE, SAMPLE), (_SCAN, SCAN)):
        if reader.take(pattern):
            return kind
    return None


def _thing(reader: WordReader, tables: NameTables, *, kind: str | None) -> Thing | None:
    if kind in tables.by_kind:
        return reader.name(tables.by_kind[kind])
    found = reader.take(_KEY)
    if found is not None:
        return Thing(SCAN, found[1])
    if kind == SCAN:
        return _quoted_key(reader)
    thing = reader.plain_name(tables.any_kind) or _quoted_thing(reader, tables)
    if thing is not None and thing.kind == MODALITY:
        reader.take(_CT_MORE)
    return thing


def _quoted_thing(reader: WordReader, tables: NameTables) -> Thing | None:
    """Read a name in quotes: no word is reserved there."""
    found = (reader.quoted_name(table) for table in tables.by_kind.values())
    return next((thing for thing in found if thing is not None), None)


def _quoted_key(reader: WordReader) -> Thing | None:
    with reader.trial() as trial:
        quoted = reader.quoted()
        if quoted is None or not quoted[0].startswith("scans/"):
            return None
        trial.keep()
        return Thing(SCAN, quoted[0])


def _further(
    reader: WordReader,
    tables: NameTables,
    *,
    first: Thing,
    kind: str | None,
    polarity: Polarity | None,
) -> list[tuple[str, Thing]]:
    """Read the rest of a list, each with what joins it: names of one kind, or of another told."""
    things: list[tuple[str, Thing]] = []
    while True:
        with reader.trial() as trial:
            is_loose = polarity is not Polarity.ONLY and reader.sees(_COMMA)
            join = reader.take(_OR)
            if join is None:
                return things
            if _follows_else(reader, tables):
                return things
            switched = _kind(reader)
            if switched is not None and polarity is None:
                return things
            thing = (
                _of_list(reader, tables, kind=kind)
                if switched is None and kind in tables.listed
                else _thing(reader, tables, kind=switched or kind)
            )
            if thing is None and switched is None and kind is not None:
                thing = _modality_only(reader, tables, polarity=polarity)
            is_other = switched is not None or (thing is not None and thing.kind == MODALITY)
            # in "thin sections, E2 excluded" only E2 is
            is_other |= polarity is None and first.kind == MODALITY
            # "not E2, sample S3" leaves it open whether S3 is wanted
            if thing is None or (is_loose and is_other):
                return things
            kind = switched or kind
            trial.keep()
        things.append((join[0], thing))


def _of_list(reader: WordReader, tables: NameTables, *, kind: str) -> Thing | None:
    return reader.plain_name(tables.listed[kind]) or reader.quoted_name(tables.by_kind[kind])


def _follows_else(reader: WordReader, tables: NameTables) -> bool:
    with reader.trial():
        return tables.reads_else(reader) is not None


def _modality_only(
    reader: WordReader, tables: NameTables, *, polarity: Polarity | None
) -> Thing | None:
    if polarity is not Polarity.ONLY:
        return None
    with reader.trial() as trial:
        thing = reader.plain_name(tables.any_kind)
        if thing is None or thing.kind != MODALITY:
            return None
        trial.keep()
        reader.take(_CT_MORE)
        return thing


def _with_trailing(reader: WordReader, polarity: Polarity | None) -> Polarity | None:
    """Read "thin sections only", "E2 excluded"; "only micro-CT and E2 excluded" is unclear."""
    if polarity is None and reader.take(_ONLY_AFTER):
        return Polarity.ONLY
    if not reader.take(EXCLUDED_AFTER):
        return polarity
    return Polarity.EXCLUDE if polarity is None else Polarity.UNCLEAR


def _of_itself(things: list[Thing], kind: str | None) -> Polarity | None:
    """A way of imaging, or a name of a kind that is told, asks for itself."""
    is_told = kind is not None or all(thing.kind == MODALITY for thing in things)
    return Polarity.ONLY if is_told else None


def _chips(polarity: Polarity, things: list[Thing]) -> tuple[Chip, ...]:
    modalities = [thing.name for thing in things if thing.kind == MODALITY]
    named = [thing for thing in things if thing.kind != MODALITY]
    if polarity is Polarity.EXCLUDE:
        left = [str(each) for each in MODALITY_WORDS if str(each) not in modalities]
        chips = [exclude_chip(thing.kind, thing.name) for thing in named]
        return (*dict.fromkeys(chips), *([modality_chip(left)] if modalities and left else ()))
    kinds = list(dict.fromkeys(thing.kind for thing in named))
    only = [only_chip(kind, [t.name for t in named if t.kind == kind]) for kind in kinds]
    return (*only, *([modality_chip(modalities)] if modalities else ()))


def _has_letters(name: str) -> bool:
    """Whether a name can't be taken for a number."""
    return any(sign.isalpha() for sign in name)
