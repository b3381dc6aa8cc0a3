"""Filters in words: what is understood becomes chips, what is not is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from search_ui.requests import Filters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from encoder.ranking import GroupBy
    from search_ui.requests import SearchRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What can be named.

    Attributes:
        reservoirs: Of anything that is indexed.
        samples: Likewise.
        modalities: Likewise.
        numbers: Properties that can be filtered by.
    """

    reservoirs: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


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
    """One thing that was understood.

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
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What was made of a text.

    Attributes:
        chips: What was understood, in order.
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
    raise NotImplementedError


def chips_of(request: SearchRequest) -> tuple[Chip, ...]:
    """Say in words what a request asks for, beside its queries; defaults are left out."""
    raise NotImplementedError


def words_of(request: SearchRequest) -> tuple[str, ...]:
    """Texts of `chips_of`."""
    return tuple(chip.text for chip in chips_of(request))


def without(chips: Iterable[Chip], gone: Chip) -> tuple[Chip, ...]:
    """Chips but for one that was removed."""
    return tuple(chip for chip in chips if chip != gone)
