"""One search on two models, and what moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.ranking import View
    from search_ui.requests import SearchRequest
    from search_ui.results import SearchHit, SearchResult
    from search_ui.service import SearchService


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A slice's places in the answers of two models.

    Attributes:
        object_key: The scan.
        slice_index: The slice's number.
        ours: Place in the live model's list, from 1; None where it is not in it.
        theirs: Likewise of the other model.
        hit: The slice, as the live model found it, else the other.
    """

    object_key: str
    slice_index: int
    ours: int | None
    theirs: int | None
    hit: SearchHit

    @property
    def shift(self) -> int | None:
        """Places that it is further up with the live model; None where one has it not."""
        return None if None in {self.ours, self.theirs} else (self.theirs or 0) - (self.ours or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Answers of two models to one search.

    Attributes:
        ours: The live model's.
        theirs: The other's.
        moves: Hits of either, the live model's first, in order.
        views: Likewise of each view, where they were asked for.
        notes: What makes the answers hard to compare, one line each.
    """

    ours: SearchResult
    theirs: SearchResult
    moves: tuple[Move, ...]
    views: Mapping[View, tuple[Move, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherModel:
    """A model that a search can be compared with.

    Attributes:
        bundle_id: Its name.
        init: Where its weights come from, in words.
        n_scans: Scans that its collection holds.
    """

    bundle_id: str
    init: str
    n_scans: int


class ModelComparer:
    """Compares the live model with others that have a collection. Any thread may ask."""

    def __init__(self, service: SearchService) -> None:
        self._service = service

    def others(self) -> tuple[OtherModel, ...]:
        """Models to compare with, newest first."""
        raise NotImplementedError

    def compare(self, request: SearchRequest, bundle_id: str) -> Comparison:
        """Answer a search with both.

        Raises:
            LithoscopeError: It can't be answered, or there is no such model.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End what was started."""
