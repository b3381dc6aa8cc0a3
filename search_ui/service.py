"""Search: one service for the command line and pages, free of both.

    find what is looked for → filtered search, wider until there is enough → absolute ranks →
    counts

Every answer is about the collection that the alias names at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from encoder.ranking import View, view_of
from encoder.similarity import SimilarityScale
from infra.filters import NotIn
from infra.indexing.schema import KEY
from search_ui.encoding import PICTURE_SIDE, FilePart, QueryEncoder
from search_ui.fetched_files import FetchedFiles
from search_ui.file_identity import Identifier
from search_ui.filtering import (
    all_of,
    of_other_reservoirs,
    of_reservoirs,
    of_samples,
    steps_of,
    without_samples,
)
from search_ui.kept_queries import KeptQueries
from search_ui.library import Library
from search_ui.live import LiveCollection
from search_ui.looking_for import Lookup, Sought, of_upload
from search_ui.requests import FileQuery, SearchRequest, UploadQuery
from search_ui.results import (
    Funnel,
    FunnelStep,
    ModelFacts,
    SearchHit,
    SearchResult,
    origin_of,
)
from search_ui.retrieval import Found, Retrieval, new_picker
from search_ui.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.ranking import Origin
    from infra.filters import Filter
    from infra.site import Site
    from search_ui.live import Live
    from search_ui.query_pictures import QueryPicture


NEIGHBOURS = 200
"""Slices whose distances are told, beside those that are shown."""


@dataclass(slots=True, kw_only=True)
class _Search:
    """One search on its way."""

    request: SearchRequest
    live: Live
    sought: list[Sought]
    retrieval: Retrieval
    watch: Stopwatch
    stored: int
    is_clean: bool
    where: Filter | None
    notes: list[str] = field(default_factory=list)

    @property
    def origins(self) -> list[Origin]:
        """The samples that are the query's own."""
        return list(dict.fromkeys(each for one in self.sought for each in one.origins))

    @property
    def not_itself(self) -> Filter | None:
        """Leaves the slices out that are looked for."""
        own = sorted(frozenset[str]().union(*(each.row_ids for each in self.sought)))
        return NotIn(KEY, tuple(own)) if own else None

    @property
    def hidden(self) -> Filter | None:
        """Leaves the query's own samples out, unless they are wanted."""
        return None if self.request.include_own_sample else without_samples(self.origins)

    @property
    def left_out(self) -> Filter | None:
        """Leaves out what is shown nowhere: with the three rows, the first is of its sample."""
        return self.not_itself if self.request.three_rows else self.hidden


class SearchService:
    """Answers searches as long as it is open. Any thread may ask.

    Attributes:
        site: The installation.
        kept: Files that were uploaded to be looked for.
        library: What is indexed.
    """

    def __init__(
        self, site: Site, *, collection: str | None = None, kept: KeptQueries | None = None
    ) -> None:
        """Answer searches of a site.

        Args:
            site: The installation.
            collection: The collection to search; None for whichever is live.
            kept: Uploaded files of another service, which closes them; None for an own one.
        """
        self.site = site
        self._owns_kept = kept is None
        self.kept = kept or KeptQueries(site)
        self.library = Library(site)
        self._fetched = FetchedFiles()
        self._encoder = QueryEncoder(site)
        self._live = LiveCollection(site, collection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what the service started; the site stays open."""
        self._encoder.close()
        if self._owns_kept:
            self.kept.close()
        self._fetched.close()

    def open(self) -> None:
        """Open the live collection ahead of the first search, and count what is in it.

        Raises:
            SearchError: No collection is live.
        """
        catalogue = self._live.current().catalogue
        catalogue.is_clean(catalogue.collection.count_stored())

    def load(self) -> None:
        """Load the live model ahead of the first image.

        Raises:
            LithoscopeError: It is missing or damaged.
        """
        version = self._live.current().model.version
        if version is not None:
            self._encoder.load(version)

    def warm_up(self) -> None:
        """Have all at hand that the first search, or the first look at a page, would wait for.

        Raises:
            LithoscopeError: Nothing is live, or the model is missing or damaged.
        """
        self.open()
        self.library.overview()
        version = self._live.current().model.version
        if version is not None:
            self._encoder.warm_up(version)

    def search(self, request: SearchRequest) -> SearchResult:
        """Answer a search.

        Raises:
            LithoscopeError: It can't be answered; the text says what to do.
        """
        watch = Stopwatch()
        with watch.stage("query"):
            search = self._prepared(request, watch)
        with watch.stage("search"):
            picked = self._pick(search, all_of(search.where, search.hidden))
            views = self._views(search) if request.three_rows else {}
            near = search.retrieval.neighbours(NEIGHBOURS, all_of(search.where, search.left_out))
        with watch.stage("rank"):
            shown = {each.identity: each for found in (picked, *views.values()) for each in found}
            ranks, ranked = self._ranks(search, list(shown.values()))
        with watch.stage("count"):
            lists = views.values() if request.three_rows else [picked]
            shown_ids = {each.identity for found in lists for each in found}
            funnel = _funnel(search, shown=len(shown_ids))

        def told(found: list[Found]) -> tuple[SearchHit, ...]:
            return _hits(found, search=search, ranks=ranks)

        if not funnel.steps[0].slices:
            search.notes.append("the index is empty: index scans first (`lithoscope ingest PATH`)")
        return SearchResult(
            queries=tuple(each.facts for each in search.sought),
            hits=told(picked),
            views={view: told(found) for view, found in views.items()},
            funnel=funnel,
            exact=True,
            ranked=ranked,
            model=_model_facts(search),
            notes=tuple(dict.fromkeys([*search.notes, *_notes(search)])),
            timings_ms=watch.read(),
            neighbours=near,
        )

    def draw(self, query: FileQuery | UploadQuery, *, max_side: int = PICTURE_SIDE) -> QueryPicture:
        """Draw a slice of a file that is looked for, for people to look at.

        Args:
            query: The file; its slice and its region, or the middle slice of a volume, or the
                whole of a 2D image.
            max_side: Longest side of the picture, in pixels.

        Raises:
            LithoscopeError: The file can't be used, or the model is missing.
        """
        if isinstance(query, UploadQuery):
            with self.kept.open(query.token) as file:
                return self.draw(of_upload(query, file), max_side=max_side)
        live = self._live.current()
        part = FilePart(read=query.read, slice_index=query.slice_index, region=query.region)
        drawn = self._encoder.draw(query.path, live.model.required(), part=part, max_side=max_side)
        identifier = Identifier(site=self.site, catalogue=live.catalogue)
        told = identifier.pixel_size_um(query, identifier.identify(query))
        return drawn if told is None else replace(drawn, pixel_size_um=told)

    def _prepared(self, request: SearchRequest, watch: Stopwatch) -> _Search:
        live = self._live.current()
        catalogue = live.catalogue
        collection = catalogue.collection
        catalogue.check(request.filters)
        lookup = Lookup(
            site=self.site,
            catalogue=catalogue,
            encoder=self._encoder,
            kept=self.kept,
            fetched=self._fetched,
            live=live.model,
            watch=watch,
        )
        sought = [lookup.find(query) for query in request.queries]
        vectors = np.concatenate([each.vectors for each in sought])
        scale = SimilarityScale.of_query(collection.schema.metric, vectors)
        stored = collection.count_stored()
        return _Search(
            request=request,
            live=live,
            sought=sought,
            retrieval=Retrieval(collection=collection, vectors=vectors, scale=scale),
            watch=watch,
            stored=stored,
            is_clean=catalogue.is_clean(stored),
            where=all_of(*(step.where for step in steps_of(request.filters))),
        )

    def _pick(self, search: _Search, where: Filter | None) -> list[Found]:
        request = search.request
        picker = new_picker(
            request.k,
            group_by=request.group_by,
            per_sample=request.per_sample,
            most_cost=search.retrieval.scale.most_cost(request.min_similarity),
        )
        return search.retrieval.pick(picker, where)

    def _views(self, search: _Search) -> dict[View, list[Found]]:
        """The paper's three views; the query's own slices are in none."""
        origins = search.origins
        not_own = without_samples(origins)
        filters = {
            View.SAME_SAMPLE: all_of(same_sample, search.not_itself)
            if (same_sample := of_samples(origins)) is not None
            else None,
            View.SAME_RESERVOIR: all_of(same, not_own)
            if (same := of_reservoirs(origins)) is not None
            else None,
            View.OTHER_RESERVOIRS: all_of(of_other_reservoirs(origins), not_own),
        }
        return {
            view: []  # nothing is known that it could be told by
            if where is None
            else self._pick(search, all_of(search.where, where))
            for view, where in filters.items()
        }

    def _ranks(self, search: _Search, shown: list[Found]) -> tuple[Mapping[str, int | None], int]:
        ranks, ranked = search.retrieval.rank(shown, is_clean=search.is_clean)
        if search.is_clean and search.retrieval.collection.count_stored() != search.stored:
            # Scans were written meanwhile: count those that are committed only.
            ranks, ranked = search.retrieval.rank(shown, is_clean=False)
        return {each.identity: rank for each, rank in zip(shown, ranks, strict=True)}, ranked


def _hits(
    found: list[Found], *, search: _Search, ranks: Mapping[str, int | None]
) -> tuple[SearchHit, ...]:
    origins, scale = search.origins, search.retrieval.scale
    return tuple(
        SearchHit(
            rank=rank,
            absolute_rank=ranks[each.identity],
            similarity=scale.similarity(each.item.distance),
            distance=each.item.distance,
            view=view_of(origin_of(each.item.row), origins),
            row=each.item.row,
        )
        for rank, each in enumerate(found, 1)
    )


def _funnel(search: _Search, *, shown: int) -> Funnel:
    collection = search.retrieval.collection
    steps = [FunnelStep(step="indexed", slices=search.stored)]
    so_far: Filter | None = None
    has_rows, hidden = search.request.three_rows, 0
    if search.left_out is not None:
        so_far = search.left_out
        left = collection.count_stored(so_far)
        hidden = 0 if has_rows else max(search.stored - left, 0)
        name = "not the query itself" if has_rows else "not the query's own sample"
        steps.append(FunnelStep(step=name, slices=left))
    for step in steps_of(search.request.filters):
        so_far = all_of(so_far, step.where)
        steps.append(FunnelStep(step=step.name, slices=collection.count_stored(so_far)))
    steps.append(FunnelStep(step="shown", slices=shown))
    return Funnel(steps=tuple(steps), hidden_own=hidden, exact=search.is_clean)


def _model_facts(search: _Search) -> ModelFacts:
    version, collection = search.live.model.version, search.retrieval.collection
    return ModelFacts(
        bundle_id=None if version is None else version.bundle_id,
        init=None if version is None else version.init,
        collection=collection.name,
        metric=str(collection.schema.metric),
        similarity=search.retrieval.scale.formula,
    )


def _notes(search: _Search) -> list[str]:
    notes = [note for each in search.sought for note in each.notes]
    if search.live.model.version is None:
        notes.append(search.live.model.problem)
    if not search.is_clean:
        notes.append("scans are being written: counts include what is not committed yet")
    if search.request.three_rows and not any(each.reservoir for each in search.origins):
        notes.append(
            "the query's reservoir is not known: the third row shows every reservoir, perhaps "
            "its own"
        )
    return notes
