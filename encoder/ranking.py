"""Ranking in plain functions: merging, grouping, at most n of a sample, views, absolute ranks.

An answer is a greedy walk over candidates in ascending cost (`SimilarityScale.cost`). A list of
candidates is cut off somewhere; what lies beyond its horizon isn't known, and is never guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

Item = TypeVar("Item")


class GroupBy(StrEnum):
    """What an answer shows only the nearest slice of."""

    SAMPLE = "sample"
    RESERVOIR = "reservoir"


class View(StrEnum):
    """Where a slice comes from, seen from the query (the rows of the paper's result figures)."""

    SAME_SAMPLE = "same_sample"
    SAME_RESERVOIR = "same_reservoir"
    """The query's reservoir, another sample."""
    OTHER_RESERVOIRS = "other_reservoirs"
    """Analogs."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The rock that a slice shows.

    Attributes:
        reservoir: Formation, or None where it is not known.
        sample: Rock sample, or None likewise.
        object_key: The scan.
    """

    reservoir: str | None
    sample: str | None
    object_key: str

    @property
    def sample_identity(self) -> tuple[str | None, str]:
        """What tells samples apart: a name counts within its reservoir.

        A scan of an unknown sample is a sample of its own.
        """
        if self.sample is None:
            return None, f"\0{self.object_key}"
        return self.reservoir, self.sample

    def group(self, by: GroupBy) -> Hashable:
        """The group that the slice belongs to; slices of unknown reservoirs are one group."""
        return self.sample_identity if by is GroupBy.SAMPLE else self.reservoir

    def shares_sample(self, other: Origin) -> bool:
        """Whether both may show one sample: where a reservoir is not known, names decide.

        What is only possibly the query's own sample must not pass for an analog.
        """
        if self.object_key == other.object_key:
            return True
        if self.sample is None or self.sample != other.sample:
            return False
        return self.reservoir == other.reservoir or None in {self.reservoir, other.reservoir}


def view_of(origin: Origin, query: Iterable[Origin]) -> View | None:
    """Tell which view a slice belongs to.

    Args:
        origin: The slice's.
        query: Origins of the query's slices.

    Returns:
        The view; None where a reservoir that it depends on is not known.
    """
    own = list(query)
    if any(origin.shares_sample(each) for each in own):
        return View.SAME_SAMPLE
    reservoirs = {each.reservoir for each in own}
    if origin.reservoir is not None and origin.reservoir in reservoirs:
        return View.SAME_RESERVOIR
    if origin.reservoir is None or None in reservoirs or not reservoirs:
        return None
    return View.OTHER_RESERVOIRS


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Item]):
    """A slice that may be shown.

    Attributes:
        cost: What candidates are ordered by, ascending.
        identity: Its key in the index; of equal costs, the smaller comes first.
        item: The slice.
    """

    cost: float
    identity: str
    item: Item


@dataclass(frozen=True, slots=True)
class Nearest(Generic[Item]):
    """The nearest candidates of a query, in order.

    Attributes:
        candidates: By ascending cost; each slice once, none beyond the horizon.
        horizon: Cost up to which nothing is missing; infinite where nothing was cut off.
    """

    candidates: list[Candidate[Item]]
    horizon: float

    @property
    def is_whole(self) -> bool:
        """Whether there are no further candidates."""
        return math.isinf(self.horizon)


def merge(lists: Sequence[Sequence[Candidate[Item]]], *, limit: int) -> Nearest[Item]:
    """Merge the answers to a query's slices by minimum cost.

    Where a list was cut off, what it lacks may be cheaper there than in another list; so beyond
    the cheapest end of a list that was cut off, nothing is certain, and nothing is kept. At least
    ``limit`` candidates remain, or all there are.

    Args:
        lists: The nearest candidates of each of the query's slices, by ascending cost.
        limit: How many were asked for: a list of so many was cut off.

    Returns:
        Each slice once, with its smallest cost.
    """
    ends = [found[-1].cost for found in lists if len(found) >= limit]
    horizon = min(ends, default=math.inf)
    best: dict[str, Candidate[Item]] = {}
    for found in lists:
        for candidate in found:
            known = best.get(candidate.identity)
            if candidate.cost <= horizon and (known is None or candidate.cost < known.cost):
                best[candidate.identity] = candidate
    ordered = sorted(best.values(), key=lambda each: (each.cost, each.identity))
    return Nearest(ordered, horizon)


@dataclass(slots=True)
class Picker(Generic[Item]):
    """Walks over candidates in order and picks what an answer shows.

    Attributes:
        count: Slices to pick, or groups where each gives one.
        origin_of: Tells where a candidate comes from.
        group_by: Pick only the nearest slice of each sample or reservoir; None for no groups.
        per_sample: Most slices of one sample; None for no bound.
        most_cost: Nothing dearer is picked.
        picked: What was picked, in order.
    """

    count: int
    origin_of: Callable[[Item], Origin]
    group_by: GroupBy | None = None
    per_sample: int | None = None
    most_cost: float = math.inf
    picked: list[Candidate[Item]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _of_group: dict[Hashable, int] = field(default_factory=dict)
    _of_sample: dict[Hashable, int] = field(default_factory=dict)
    _full: dict[Hashable, Origin] = field(default_factory=dict)
    _is_past: bool = False

    def take(self, nearest: Nearest[Item]) -> None:
        """Go on with further candidates: those already seen are passed over.

        Args:
            nearest: Must hold, up to its horizon, every slice of the groups that aren't full.
        """
        for candidate in nearest.candidates:
            if self.is_enough:
                return
            if candidate.cost > self.most_cost:
                self._is_past = True
                return
            if candidate.identity not in self._seen:
                self._seen.add(candidate.identity)
                self._weigh(candidate)
        self._is_past = self._is_past or nearest.is_whole or nearest.horizon >= self.most_cost

    @property
    def is_enough(self) -> bool:
        """Whether as many were picked as were asked for."""
        return len(self.picked) >= self.count

    @property
    def is_done(self) -> bool:
        """Whether further candidates can't add anything."""
        return self.is_enough or self._is_past

    @property
    def full(self) -> list[Origin]:
        """One origin of each sample (or group) that gives no more slices."""
        return list(self._full.values())

    def _weigh(self, candidate: Candidate[Item]) -> None:
        origin = self.origin_of(candidate.item)
        sample = origin.sample_identity
        if self.per_sample is not None and self._of_sample.get(sample, 0) >= self.per_sample:
            return
        if self.group_by is not None and self._of_group.get(origin.group(self.group_by)):
            return
        self.picked.append(candidate)
        self._of_sample[sample] = self._of_sample.get(sample, 0) + 1
        if self.group_by is not None:
            self._of_group[origin.group(self.group_by)] = 1
            self._full[origin.group(self.group_by)] = origin
        elif self._of_sample[sample] == self.per_sample:
            self._full[sample] = origin


def absolute_ranks(picked: Iterable[str], everything: Iterable[str]) -> list[int | None]:
    """Rank slices among all that are indexed.

    Args:
        picked: Identities of the slices that are shown.
        everything: Identities of the nearest slices without filters, nearest first.

    Returns:
        For each, 1 and the number of slices that come before it; None where that is not known.
    """
    places = {identity: place for place, identity in enumerate(everything, 1)}
    return [places.get(identity) for identity in picked]
