"""From what a search asks for to filter trees: no user text ever is an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.ranking import GroupBy
from infra.filters import And, Filter, In, NotIn, Or, Range
from search_ui.chips import exclude_chip, modality_chip, only_chip, quoted, range_chip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from encoder.ranking import Origin
    from search_ui.requests import Filters, PropertyRange

UNKNOWN = ""
"""How the index spells a name that is not known."""


@dataclass(frozen=True, slots=True)
class Step:
    """A filter with what it asks for in words."""

    name: str
    where: Filter


def steps_of(filters: Filters) -> list[Step]:
    """Filters of a request, one after the other; those that ask for nothing are left out."""
    found: list[Step] = []
    for kind, column, only, excluded in (
        ("reservoir", "reservoir", filters.only_reservoirs, filters.exclude_reservoirs),
        ("sample", "sample", filters.only_samples, filters.exclude_samples),
        ("scan", "object_key", filters.only_objects, filters.exclude_objects),
    ):
        if only:
            found.append(Step(only_chip(kind, only).text, In(column, only)))
        if excluded:
            first, *others = dict.fromkeys(excluded)
            words = [exclude_chip(kind, first).text, *map(quoted, others)]
            found.append(Step(" or ".join(words), NotIn(column, excluded)))
    ways = filters.modalities
    if ways:
        found.append(Step(modality_chip(ways).text, In("modality", ways)))
    keep = filters.keep_unmeasured
    return found + [Step(_words(each, keep), _range(each, keep)) for each in filters.ranges]


def all_of(*parts: Filter | None) -> Filter | None:
    """All of these; None where nothing is asked for."""
    kept = tuple(part for part in parts if part is not None)
    return And(kept) if kept else None


def without_samples(origins: Iterable[Origin]) -> Filter | None:
    """Leave out what may show one of these samples (`Origin.shares_sample`)."""
    return all_of(*(part for origin in origins for part in _not_of(origin)))


def of_samples(origins: Iterable[Origin]) -> Filter | None:
    """Keep what may show one of these samples; None where they name nothing."""
    parts: list[Filter] = []
    for origin in origins:
        if origin.sample is not None:
            same: Filter = In("sample", (origin.sample,))
            if origin.reservoir is not None:
                same = And((same, In("reservoir", (origin.reservoir, UNKNOWN))))
            parts.append(same)
        if origin.object_key:
            parts.append(In("object_key", (origin.object_key,)))
    return Or(tuple(parts)) if parts else None


def without_groups(origins: Sequence[Origin], by: GroupBy) -> Filter | None:
    """Leave out samples or reservoirs that were found already: exactly those."""
    if by is GroupBy.RESERVOIR:
        names = tuple(origin.reservoir or UNKNOWN for origin in origins)
        return NotIn("reservoir", names) if names else None
    samples: dict[str, list[str]] = {}
    for origin in origins:
        if origin.sample is not None:
            samples.setdefault(origin.reservoir or UNKNOWN, []).append(origin.sample)
    keys = tuple(origin.object_key for origin in origins if origin.sample is None)
    return all_of(
        NotIn("object_key", keys) if keys else None,
        *(
            Or((NotIn("sample", tuple(names)), NotIn("reservoir", (reservoir,))))
            for reservoir, names in samples.items()
        ),
    )


def of_reservoirs(origins: Iterable[Origin]) -> Filter | None:
    """Keep slices of the reservoirs of these; None where none is known."""
    names = _reservoirs(origins)
    return In("reservoir", names) if names else None


def of_other_reservoirs(origins: Iterable[Origin]) -> Filter:
    """Keep slices of known reservoirs that are none of these."""
    return NotIn("reservoir", (*_reservoirs(origins), UNKNOWN))


def _reservoirs(origins: Iterable[Origin]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.reservoir for each in origins if each.reservoir is not None))


def _not_of(origin: Origin) -> list[Filter]:
    parts: list[Filter] = []
    if origin.object_key:
        parts.append(NotIn("object_key", (origin.object_key,)))
    if origin.sample is not None and origin.reservoir is not None:
        others = NotIn("reservoir", (origin.reservoir, UNKNOWN))
        parts.append(Or((NotIn("sample", (origin.sample,)), others)))
    elif origin.sample is not None:
        parts.append(NotIn("sample", (origin.sample,)))
    return parts


def _range(asked: PropertyRange, keep_unmeasured: bool) -> Range:  # noqa: FBT001  the request's flag
    return Range(field=asked.name, low=asked.low, high=asked.high, keep_unmeasured=keep_unmeasured)


def _words(asked: PropertyRange, keep_unmeasured: bool) -> str:  # noqa: FBT001  likewise
    return range_chip(asked).text + (" or not measured" if keep_unmeasured else "")
