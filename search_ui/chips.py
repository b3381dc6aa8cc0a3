"""What a search asks for beside its queries, in words that people read and write alike.

Every text of a chip is understood again as the same chip (`search_ui.query_words`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from encoder.metadata.records import Modality
from search_ui.our_words import OURS
from search_ui.requests import Filters, PropertyRange, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from encoder.ranking import GroupBy

MODALITY_WORDS = {Modality.MICRO_CT: "micro-CT", Modality.THIN_SECTION: "thin sections"}
"""How people call ways of imaging."""

PROPERTY_WORDS = {
    "porosity": "porosity",
    "permeability_md": "permeability",
    "pixel_size_um": "pixel size",
    "predicted_porosity": "predicted porosity",
    "predicted_permeability_md": "predicted permeability",
}
"""How people call the built-in number columns; the others go by their own names."""

PROPERTY_UNITS = {
    "permeability_md": "mD",
    "predicted_permeability_md": "mD",
    "pixel_size_um": "µm",
}
"""Units that numbers are told with."""

_PLAIN = re.compile(r"[^\W_][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a chip sets beside filters; None leaves what there is."""

    k: int | None = None
    group_by: GroupBy | None = None
    per_sample: int | None = None
    min_similarity: float | None = None
    include_own_sample: bool | None = None
    three_rows: bool | None = None
    keep_unmeasured: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One thing that is asked for.

    Attributes:
        text: It, in words.
        filters: What it adds to the filters.
        changes: What it sets beside them.
    """

    text: str
    filters: Filters = field(default_factory=Filters)
    changes: Changes = field(default_factory=Changes)

    def apply(self, request: SearchRequest) -> SearchRequest:
        """Give a request that asks for this too."""
        told = {name.name: getattr(self.changes, name.name) for name in fields(Changes)}
        changes = {name: value for name, value in told.items() if value is not None}
        keep = changes.pop("keep_unmeasured", request.filters.keep_unmeasured)
        filters = replace(_joined(request.filters, self.filters), keep_unmeasured=keep)
        return replace(request, filters=filters, **changes)


def only_chip(kind: str, names: Iterable[str]) -> Chip:
    """Only slices of these.

    Args:
        kind: ``reservoir``, ``sample`` or ``scan``.
        names: Their names.
    """
    told = tuple(dict.fromkeys(names))
    plural = "s" if len(told) > 1 else ""
    text = f"only {kind}{plural} {' or '.join(map(quoted, told))}"
    return Chip(text=text, filters=_named("only", kind, names=told))


def exclude_chip(kind: str, name: str) -> Chip:
    """No slices of this one; arguments as of `only_chip`."""
    from_it = "not" if kind == "scan" else "not from"
    return Chip(
        text=f"{from_it} {kind} {quoted(name)}", filters=_named("exclude", kind, names=(name,))
    )


def modality_chip(modalities: Iterable[str]) -> Chip:
    """Only slices that are imaged so."""
    told = tuple(dict.fromkeys(modalities))
    words = {str(kind): text for kind, text in MODALITY_WORDS.items()}
    text = " or ".join(words.get(each, quoted(each)) for each in told)
    return Chip(text=f"only {text}", filters=Filters(modalities=told))


def range_chip(asked: PropertyRange) -> Chip:
    """A range of a property."""
    unit = PROPERTY_UNITS.get(asked.name)
    after = f" {unit}" if unit else ""
    low, high = asked.low, asked.high
    if low is None and high is None:
        text = "measured"
    elif low is None:
        text = f"at most {plain_number(high)}{after}"
    elif high is None:
        text = f"at least {plain_number(low)}{after}"
    elif low == high:
        text = f"exactly {plain_number(low)}{after}"
    else:
        text = f"{plain_number(low)} to {plain_number(high)}{after}"
    name = PROPERTY_WORDS.get(asked.name, asked.name)
    return Chip(text=f"{name} {text}", filters=Filters(ranges=(asked,)))


def unmeasured_chip(*, keep: bool) -> Chip:
    """Whether slices stay whose property was not measured."""
    text = "keep unmeasured" if keep else "drop unmeasured"
    return Chip(text=text, changes=Changes(keep_unmeasured=keep))


def own_sample_chip(*, include: bool) -> Chip:
    """Whether the query's own sample is shown."""
    text = "with own sample" if include else "without own sample"
    return Chip(text=text, changes=Changes(include_own_sample=include))


def count_chip(k: int) -> Chip:
    """How many hits are wanted."""
    return Chip(text="1 hit" if k == 1 else f"{k} hits", changes=Changes(k=k))


def per_sample_chip(count: int) -> Chip:
    """How many slices of one sample, at most."""
    return Chip(text=f"at most {count} per sample", changes=Changes(per_sample=count))


def group_chip(group_by: GroupBy) -> Chip:
    """What the nearest of each is shown."""
    return Chip(text=f"grouped by {group_by}", changes=Changes(group_by=group_by))


def similarity_chip(least: float) -> Chip:
    """How alike hits must be."""
    text = f"similarity at least {plain_number(least)}"
    return Chip(text=text, changes=Changes(min_similarity=least))


def three_rows_chip() -> Chip:
    """The paper's three views as well."""
    return Chip(text="three rows", changes=Changes(three_rows=True))


def chips_of(request: SearchRequest) -> tuple[Chip, ...]:
    """Say in words what a request asks for, beside its queries; defaults are left out."""
    return (*_filter_chips(request.filters), *_other_chips(request))


def words_of(request: SearchRequest) -> tuple[str, ...]:
    """Texts of `chips_of`."""
    return tuple(chip.text for chip in chips_of(request))


def shown_words(request: SearchRequest) -> str:
    """Which of the slices that pass the filters are shown, in words: the funnel's last step."""
    hits = "nearest one" if request.k == 1 else f"{request.k:,} nearest"
    told = [f"the {hits}" + (" of each row" if request.three_rows else "")]
    if request.group_by is not None:
        told.append(f"one of each {request.group_by}")
    if request.per_sample is not None:
        told.append(f"at most {request.per_sample:,} of each sample")
    if request.min_similarity:
        told.append(f"of a similarity of at least {request.min_similarity:g}")
    return f"Shown: {', '.join(told)}."


def without(chips: Iterable[Chip], gone: Chip) -> tuple[Chip, ...]:
    """Chips but for one that was removed."""
    return tuple(chip for chip in chips if chip != gone)


def quoted(name: str) -> str:
    """Write a name so that it can be told from the words around it."""
    if _PLAIN.fullmatch(name) and name.casefold() not in OURS:
        return name
    return '"' + name.replace('"', '""') + '"'


def plain_number(value: float | None) -> str:
    """Write a number as short as it can be read back."""
    text = repr(float(value or 0.0))
    return text.removesuffix(".0")


def _filter_chips(filters: Filters) -> Iterator[Chip]:
    for kind, only, exclude in (
        ("reservoir", filters.only_reservoirs, filters.exclude_reservoirs),
        ("sample", filters.only_samples, filters.exclude_samples),
        ("scan", filters.only_objects, filters.exclude_objects),
    ):
        if only:
            yield only_chip(kind, only)
        yield from (exclude_chip(kind, name) for name in dict.fromkeys(exclude))
    if filters.modalities:
        yield modality_chip(filters.modalities)
    yield from map(range_chip, filters.ranges)
    if filters.keep_unmeasured:
        yield unmeasured_chip(keep=True)


def _other_chips(request: SearchRequest) -> Iterator[Chip]:
    if request.min_similarity:
        yield similarity_chip(request.min_similarity)
    if request.per_sample is not None:
        yield per_sample_chip(request.per_sample)
    if request.group_by is not None:
        yield group_chip(request.group_by)
    if request.k != SearchRequest.__dataclass_fields__["k"].default:
        yield count_chip(request.k)
    if request.include_own_sample:
        yield own_sample_chip(include=True)
    if request.three_rows:
        yield three_rows_chip()


def _named(word: str, kind: str, *, names: tuple[str, ...]) -> Filters:
    column = {"reservoir": "reservoirs", "sample": "samples", "scan": "objects"}[kind]
    told: dict[str, Any] = {f"{word}_{column}": names}
    return replace(Filters(), **told)


def _joined(first: Filters, second: Filters) -> Filters:
    """Ask for both; each name and range once."""
    names = [each.name for each in fields(Filters) if each.name != "keep_unmeasured"]
    both: dict[str, Any] = {
        name: tuple(dict.fromkeys((*getattr(first, name), *getattr(second, name))))
        for name in names
    }
    return replace(first, **both | {"ranges": _narrowed(both["ranges"])})


def _narrowed(ranges: Iterable[PropertyRange]) -> tuple[PropertyRange, ...]:
    """One range of each property: what is in all of them; those that exclude each other stay."""
    found: dict[str, PropertyRange] = {}
    apart: list[PropertyRange] = []
    for asked in ranges:
        known = found.get(asked.name, asked)
        low = max((each for each in (known.low, asked.low) if each is not None), default=None)
        high = min((each for each in (known.high, asked.high) if each is not None), default=None)
        if low is not None and high is not None and low > high:
            apart.append(asked)
        else:
            found[asked.name] = replace(asked, low=low, high=high)
    return (*found.values(), *apart)
