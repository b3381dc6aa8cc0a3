"""What a search answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from encoder.ranking import Origin, View
from infra.pictures import preview_key, thumbnail_key
from search_ui.rock_properties import RockProperties

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.indexing.records import SliceRow

_PLAIN = ("object_key", "slice_index", "reservoir", "sample", "modality")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A slice of an answer.

    Attributes:
        rank: Place in its list, from 1.
        absolute_rank: Place among all indexed slices without filters, from 1; None where it is
            beyond `SearchResult.ranked`.
        similarity: From 0 to 1, monotone in ``distance``: see `encoder.similarity`.
        distance: Euclidean distance (not squared), or the inner product itself (the larger, the
            closer).
        view: Where it comes from, seen from the query; None where that is not known.
        row: The slice.
    """

    rank: int
    absolute_rank: int | None
    similarity: float
    distance: float
    view: View | None
    row: SliceRow

    @property
    def origin(self) -> Origin:
        """The rock that it shows."""
        return origin_of(self.row)

    @property
    def preview_key(self) -> str:
        """Key of its large picture."""
        row = self.row
        return preview_key(row.object_key, row.generation, slice_index=row.slice_index)

    @property
    def thumbnail_key(self) -> str:
        """Key of its small picture."""
        row = self.row
        return thumbnail_key(row.object_key, row.generation, slice_index=row.slice_index)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types; what is not known is None."""
        return {
            "rank": self.rank,
            "absolute_rank": self.absolute_rank,
            **{name: getattr(self.row, name) for name in _PLAIN},
            "similarity": self.similarity,
            "distance": self.distance,
            **self.row.numbers,
            "view": None if self.view is None else str(self.view),
            "position": dict(self.row.position),
            "extra": dict(self.row.extra),
            "preview_key": self.preview_key,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFacts:
    """What is known of one of the things that were looked for.

    Attributes:
        name: The file, or the key.
        n_slices: Slices that were looked for.
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        object_keys: Indexed scans that it is, or that hold the same content.
        properties: What is measured and predicted of it.
        picture_key: Key of a large picture of it, for an indexed one.
        picture_width_um: Width that the picture shows, where that is known.
    """

    name: str
    n_slices: int
    reservoir: str | None
    sample: str | None
    object_keys: tuple[str, ...] = ()
    properties: RockProperties = field(default_factory=RockProperties)
    picture_key: str | None = None
    picture_width_um: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        names = ("name", "n_slices", "reservoir", "sample")
        return {name: getattr(self, name) for name in names} | {
            "object_keys": list(self.object_keys),
            **self.properties.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """How many slices are left after a step.

    Attributes:
        step: What the step asks for.
        slices: Slices that are left.
    """

    step: str
    slices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """From all that is indexed to what is shown.

    Attributes:
        steps: Each with what it and all before it leave, in order.
        hidden_own: Slices of the query's own samples that were hidden; none where the three rows
            were asked for, since the first is theirs.
        exact: Whether the counts are; else they include scans that are being written.
    """

    steps: tuple[FunnelStep, ...]
    hidden_own: int
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "steps": [{"step": each.step, "slices": each.slices} for each in self.steps],
            "hidden_own_sample": self.hidden_own,
            "exact": self.exact,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the vectors were made by.

    Attributes:
        bundle_id: The bundle; None where its model is not published (any more).
        init: Where its weights come from, in words; None likewise.
        collection: The collection that was searched.
        metric: How vectors are compared.
        similarity: The formula of the similarity, in words.
    """

    bundle_id: str | None
    init: str | None
    collection: str
    metric: str
    similarity: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        names = ("bundle_id", "init", "collection", "metric", "similarity")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """An answer.

    Attributes:
        queries: What was looked for.
        hits: The nearest slices that may be shown, nearest first.
        views: The paper's three views, where they were asked for.
        funnel: From all that is indexed to what is shown.
        exact: Whether the hits are those of an exact search.
        ranked: Absolute ranks are known up to this one at least.
        model: What the vectors were made by.
        notes: What the asker should know, one line each.
        neighbours: Distances of the nearest slices that pass the filters, hits or not, by
            `SliceRow.row_id`; those of scans that are just being written too.
        timings_ms: Milliseconds of each stage, and in all.
    """

    queries: tuple[QueryFacts, ...]
    hits: tuple[SearchHit, ...]
    views: Mapping[View, tuple[SearchHit, ...]]
    funnel: Funnel
    exact: bool
    ranked: int
    model: ModelFacts
    notes: tuple[str, ...]
    timings_ms: Mapping[str, float]
    neighbours: Mapping[str, float] = field(default_factory=dict)

    @property
    def lists(self) -> Mapping[View | None, tuple[SearchHit, ...]]:
        """What people are shown: the three views where they were asked for, else the hits alone."""
        shown: dict[View | None, tuple[SearchHit, ...]] = dict(self.views.items())
        return shown or {None: self.hits}

    @property
    def shown(self) -> tuple[SearchHit, ...]:
        """Every slice of `lists`, once."""
        hits = (hit for each in self.lists.values() for hit in each)
        return tuple({hit.row.row_id: hit for hit in hits}.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types: docs/search.md tells every name."""
        return {
            "query": [each.to_dict() for each in self.queries],
            "hits": [hit.to_dict() for hit in self.hits],
            "views": {
                str(view): [hit.to_dict() for hit in hits] for view, hits in self.views.items()
            },
            "funnel": self.funnel.to_dict(),
            "exact": self.exact,
            "ranked": self.ranked,
            "model": self.model.to_dict(),
            "notes": list(self.notes),
            "timings_ms": dict(self.timings_ms),
        }


def origin_of(row: SliceRow) -> Origin:
    """The rock that a slice shows."""
    return Origin(row.reservoir, row.sample, row.object_key)
