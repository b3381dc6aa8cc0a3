"""Searching rows of which only those of committed scans may be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from infra.filters import And, NotIn, Or
from infra.indexing.errors import VectorIndexError
from infra.indexing.records import SliceRow, is_finite
from infra.indexing.schema import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from infra.filters import Filter
    from infra.indexing.store import Found, Row

Pair = tuple[str, str]
"""A scan's key and one of its generations."""

_ROUNDS = 8


class SearchRows(Protocol):
    """A search of which only the filter and the limit are not settled yet."""

    def __call__(self, *, where: Filter | None, limit: int) -> list[Found]:
        """The nearest rows that pass a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A slice that was found.

    Attributes:
        distance: Euclidean distance, or for `Metric.INNER_PRODUCT` the inner product itself (the
            larger, the closer).
        row: The slice.
    """

    distance: float
    row: SliceRow


def check_queries(vectors: NDArray[np.float32], limit: int, *, dimension: int) -> None:
    """Refuse what can't be searched for.

    Raises:
        VectorIndexError: Vectors of another size or not finite, or a limit out of range.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension or not is_finite(vectors):
        raise VectorIndexError(
            f"query of shape {vectors.shape[1:]}: expected {dimension} finite numbers; "
            "use the collection's own encoder"
        )
    if not 1 <= limit <= MAX_LIMIT:
        raise VectorIndexError(f"limit {limit}: expected 1 to {MAX_LIMIT}")


def search_live(
    search: SearchRows,
    live_of: Callable[[set[Pair]], set[Pair]],
    *,
    limit: int,
    where: Filter | None,
) -> list[Found]:
    """Search until everything that was found may be seen.

    What may not takes places of the answer: it is searched again without it, and wider. And a
    scan may be replaced while we search: then what was refused a moment ago is what is shown now.

    Args:
        search: Finds the nearest rows that pass a filter.
        live_of: Tells which generations of scans are committed.
        limit: Most rows.
        where: Filter, or None.

    Returns:
        The rows; fewer than ``limit`` only if there are no more.
    """
    refused: set[Pair] = set()
    fetch = limit
    for _ in range(_ROUNDS):
        found = search(where=_without(where, refused), limit=fetch)
        pairs = {_pair_of(row) for _, row in found}
        live = live_of(pairs | refused)
        if pairs <= live and not refused & live:
            break
        refused = (pairs | refused) - live
        fetch = min(4 * fetch, MAX_LIMIT)
    return [hit for hit in found if _pair_of(hit[1]) in live][:limit]


def _pair_of(row: Row) -> Pair:
    return row["object_key"], row["generation"]


def _without(where: Filter | None, refused: set[Pair]) -> Filter | None:
    """Leave generations of scans out of a search."""
    if not refused:
        return where
    others = [
        Or((NotIn("object_key", (key,)), NotIn("generation", (generation,))))
        for key, generation in sorted(refused)
    ]
    return And((*([] if where is None else [where]), *others))
