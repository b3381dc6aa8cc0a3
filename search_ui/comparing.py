"""One search on two models, and what moved."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from encoder.errors import printable
from search_ui.requests import SearchError
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from encoder.ranking import View
    from infra.model_versions import ModelVersion
    from search_ui.requests import SearchRequest
    from search_ui.results import SearchHit, SearchResult

KEPT_MODELS = 2
"""Other models that are kept loaded."""


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
        if self.ours is None or self.theirs is None:
            return None
        return self.theirs - self.ours

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "object_key": self.object_key,
            "slice_index": self.slice_index,
            "reservoir": self.hit.row.reservoir,
            "sample": self.hit.row.sample,
            "ours": self.ours,
            "theirs": self.theirs,
            "shift": self.shift,
        }


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

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types: docs/search.md tells every name."""
        return {
            "ours": self.ours.to_dict(),
            "theirs": self.theirs.to_dict(),
            "moves": [move.to_dict() for move in self.moves],
            "views": {
                str(view): [move.to_dict() for move in moves] for view, moves in self.views.items()
            },
            "notes": list(self.notes),
        }


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


@dataclass(slots=True)
class _Pinned:
    """What answers with one model, and how many searches of it are running."""

    service: SearchService
    users: int = 0


class ModelComparer:
    """Compares the live model with others that have a collection. Any thread may ask."""

    def __init__(self, service: SearchService) -> None:
        """Compare with what a service answers.

        Args:
            service: Answers with the live model; it is closed by whoever opened it.
        """
        self._service = service
        self._site = service.site
        self._lock = threading.Lock()
        self._pinned: dict[str, _Pinned] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started."""
        with self._lock:
            for pinned in self._pinned.values():
                pinned.service.close()
            self._pinned.clear()

    def others(self) -> tuple[OtherModel, ...]:
        """Models to compare with, newest first; damaged ones are left out."""
        return tuple(
            OtherModel(
                bundle_id=version.bundle_id,
                init=version.init,
                n_scans=self._site.index.open(version.collection).count_scans(),
            )
            for version in reversed(self._versions())
        )

    def compare(self, request: SearchRequest, bundle_id: str) -> Comparison:
        """Answer a search with both.

        Args:
            request: The search.
            bundle_id: The other model.

        Raises:
            LithoscopeError: It can't be answered, or there is no such model.
        """
        version = next((v for v in self._versions() if v.bundle_id == bundle_id), None)
        if version is None:
            there = ", ".join(each.bundle_id for each in self._versions()) or "none"
            raise SearchError(
                f"model {printable(bundle_id)!r}: no other model of that name has an index; "
                f"there are: {there} (`lithoscope reindex MODEL` makes one)"
            )
        ours = self._service.search(request)
        with self.answering(version) as other:
            theirs = other.search(request)
        return Comparison(
            ours=ours,
            theirs=theirs,
            moves=moves_of(ours.hits, theirs.hits),
            views={view: moves_of(hits, theirs.views[view]) for view, hits in ours.views.items()},
            notes=self._notes(ours, theirs),
        )

    def _versions(self) -> list[ModelVersion]:
        """Models that have a collection and are not live, newest last."""
        index = self._site.index
        there = {*index.collections()} - {index.live()}
        return [v for v in self._site.models.survey().versions if v.collection in there]

    @property
    def loaded(self) -> tuple[str, ...]:
        """Collections of models that are kept loaded, the longest unused first."""
        with self._lock:
            return tuple(self._pinned)

    @contextmanager
    def answering(self, version: ModelVersion) -> Iterator[SearchService]:
        """Have what answers with a model; the last few are kept, their networks loaded.

        Args:
            version: The model.
        """
        with self._lock:
            name = version.collection
            pinned = self._pinned.pop(name, None) or _Pinned(
                SearchService(self._site, collection=name, kept=self._service.kept)
            )
            self._pinned[name] = pinned
            pinned.users += 1
        try:
            yield pinned.service
        finally:
            with self._lock:
                pinned.users -= 1
                self._drop_idle()

    def _drop_idle(self) -> None:
        """Close what is one too many, the longest unused first; never what another thread uses."""
        idle = [name for name, pinned in self._pinned.items() if not pinned.users]
        for name in idle[: max(0, len(self._pinned) - KEPT_MODELS)]:
            self._pinned.pop(name).service.close()

    def _notes(self, ours: SearchResult, theirs: SearchResult) -> tuple[str, ...]:
        """What makes the answers hard to compare."""
        notes = [*ours.notes, *theirs.notes]
        n_ours, n_theirs = (
            self._site.index.open(each.model.collection).count_scans() for each in (ours, theirs)
        )
        if n_ours != n_theirs:
            notes.append(
                f"{ours.model.bundle_id} has indexed {n_ours:,} scans, {theirs.model.bundle_id} "
                f"{n_theirs:,}: what one has not indexed it can't find"
            )
        slices = [[query.n_slices for query in each.queries] for each in (ours, theirs)]
        if slices[0] != slices[1]:
            notes.append("the models cut scans into different slices: numbers of slices differ")
        return tuple(dict.fromkeys(notes))


def moves_of(ours: Sequence[SearchHit], theirs: Sequence[SearchHit]) -> tuple[Move, ...]:
    """Places of hits in two lists: those of the first in order, then those of the second alone."""
    here, there = ({_identity(hit): hit for hit in hits} for hits in (ours, theirs))
    return tuple(
        Move(
            object_key=key,
            slice_index=index,
            ours=here[key, index].rank if (key, index) in here else None,
            theirs=there[key, index].rank if (key, index) in there else None,
            hit=here.get((key, index)) or there[key, index],
        )
        for key, index in dict.fromkeys([*here, *there])
    )


def _identity(hit: SearchHit) -> tuple[str, int]:
    return hit.row.object_key, hit.row.slice_index
