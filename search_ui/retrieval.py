"""Finding what an answer shows: as many rows as it takes, and no fewer hits than there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.ranking import (
    Candidate,
    GroupBy,
    Nearest,
    Picker,
    absolute_ranks,
    merge,
)
from infra.indexing.schema import MAX_LIMIT
from search_ui.filtering import all_of, without_groups
from search_ui.results import origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from encoder.similarity import SimilarityScale
    from infra.filters import Filter
    from infra.indexing.searching import Hit
    from infra.vector_index import Collection

Found = Candidate["Hit"]

_FIRST = 256
"""Rows that are asked for first where only their ranks are wanted."""

_ROWS_AT_ONCE = 2048
"""Rows that are looked through at once with all that is known of them, over what is sent."""

_RANKED_AT_ONCE = MAX_LIMIT
"""Rows that are ranked at once, over what is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """A query's vectors, and the collection that they are looked for in.

    Attributes:
        collection: What is searched.
        vectors: (Q, D), one for each of the query's slices.
        scale: Turns the collection's measure into costs.
    """

    collection: Collection
    vectors: NDArray[np.float32]
    scale: SimilarityScale

    def pick(self, picker: Picker[Hit], where: Filter | None) -> list[Found]:
        """Search, wider and wider, until enough was picked or there is no more.

        What is full (a sample with as many slices as are wanted of it, a group) is left out of
        further searches, so that no number of its slices can hide the others.

        Args:
            picker: Picks what is shown.
            where: Filter, or None.

        Returns:
            What was picked, nearest first.
        """
        is_plain = picker.group_by is None and picker.per_sample is None
        limit = picker.count if is_plain else max(4 * picker.count, 64)
        # Enough for what was picked before, so that every search finds something new.
        most = max(_ROWS_AT_ONCE // self._share, picker.count + 1)
        while not picker.is_done:
            limit = min(limit, most, MAX_LIMIT)
            full = without_groups(picker.full, picker.group_by or GroupBy.SAMPLE)
            picker.take(self._nearest(all_of(where, full), limit=limit))
            limit *= 4
        return picker.picked

    def neighbours(self, count: int, where: Filter | None) -> dict[str, float]:
        """Distances of the nearest slices that pass a filter, by row.

        Args:
            count: How many; less of a query of so many slices that each answer has to be sent.
            where: Filter, or None.
        """
        count = max(1, min(count, MAX_LIMIT // self._share))
        found = self.collection.nearest_stored(self.vectors, limit=count, where=where)
        return {identity: distance for distance, identity in found}

    def rank(self, picked: Sequence[Found], *, is_clean: bool) -> tuple[list[int | None], int]:
        """Rank slices among all that are committed.

        Args:
            picked: The slices.
            is_clean: Whether every stored row is known to be committed.

        Returns:
            Absolute ranks, None beyond what was looked through; and how many were.
        """
        identities = [each.identity for each in picked]
        limit = _FIRST
        most = max(_RANKED_AT_ONCE // self._share, limit)
        while True:
            order, is_whole = self._order(limit, is_clean=is_clean)
            ranks = absolute_ranks(identities, order)
            if None not in ranks or is_whole or limit >= most:
                return ranks, len(order)
            limit = min(16 * limit, most)

    def _order(self, limit: int, *, is_clean: bool) -> tuple[list[str], bool]:
        """Identities of the nearest rows, at most `MAX_LIMIT`; and whether those are all."""
        found = self._everything(limit) if is_clean else self._nearest(None, limit=limit)
        order = [each.identity for each in found.candidates[:MAX_LIMIT]]
        return order, found.is_whole

    def _nearest(self, where: Filter | None, *, limit: int) -> Nearest[Hit]:
        hits = self.collection.search_any(self.vectors, limit=limit, where=where)
        found = [Candidate(self.scale.cost(hit.distance), hit.row.row_id, hit) for hit in hits]
        return merge([found], limit=limit)

    def _everything(self, limit: int) -> Nearest[None]:
        hits = self.collection.nearest_stored(self.vectors, limit=limit)
        found = [Candidate(self.scale.cost(measure), identity, None) for measure, identity in hits]
        return merge([found], limit=limit)

    @property
    def _share(self) -> int:
        """Rows that are sent for each one of an answer."""
        return 1 if self.collection.merges else len(self.vectors)


def new_picker(
    count: int,
    *,
    group_by: GroupBy | None = None,
    per_sample: int | None = None,
    most_cost: float = math.inf,
) -> Picker[Hit]:
    """A picker of slices of the index: see `Picker`."""
    return Picker(
        count,
        lambda hit: origin_of(hit.row),
        group_by=group_by,
        per_sample=per_sample,
        most_cost=most_cost,
    )
