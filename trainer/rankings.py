"""Exact rankings of a database by closeness to each query, in chunks of queries.

Shapes: Q queries, N database slices, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from encoder.errors import LithoscopeError
from encoder.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CHUNK_VALUES = 1 << 22
"""Distances that are held at a time (32 MiB of float64)."""


class MeasureError(LithoscopeError):
    """Something that can't be measured."""


class Case(StrEnum):
    """What of the query's own a ranking may hold (docs/design.md D12)."""

    QUERY_IN = "query in"
    """Everything: a query that is in the database finds itself first."""
    QUERY_OUT = "query out"
    """Everything but the query itself."""
    SAMPLE_OUT = "sample out"
    """No slice of the query's sample: what an answer about other rocks is worth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedSlices:
    """Slices as one encoder sees them.

    Attributes:
        vectors: (N, D), finite.
        labels: (N,) what makes a slice relevant to another: its reservoir, or its class.
        samples: (N,) the rock sample that it shows.
        slices: (N,) the slice's number, the same in every set that holds it.
        metric: How vectors are compared.
    """

    vectors: NDArray[np.floating]
    labels: NDArray[np.int64]
    samples: NDArray[np.int64]
    slices: NDArray[np.int64]
    metric: Metric = Metric.L2

    def __post_init__(self) -> None:
        """Check that everything fits together.

        Raises:
            MeasureError: Lengths differ, or a vector is not finite.
        """
        number = len(self.vectors)
        lengths = {len(self.labels), len(self.samples), len(self.slices)}
        if self.vectors.ndim != 2 or lengths != {number}:
            raise MeasureError(
                f"slices to measure: expected (N, D) vectors and N labels, samples and numbers, "
                f"found {self.vectors.shape} and {sorted(lengths)}; give one of each per slice"
            )
        broken = ~np.isfinite(self.vectors).all(axis=1)
        if broken.any():
            raise MeasureError(
                f"slices to measure: {int(broken.sum())} of {number} vectors are not finite, the "
                f"first that of slice {int(self.slices[broken][0])}; check the encoder's weights"
            )

    def __len__(self) -> int:
        """N."""
        return len(self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedChunk:
    """The database in the order of closeness to some queries.

    Attributes:
        queries: (C,) row numbers of these queries.
        order: (C, N) database rows, closest first. Those that the case leaves out stand at the end.
        candidates: (C,) how many of a row's entries count: the first ones.
    """

    queries: NDArray[np.int64]
    order: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.bool_]:
        """(C, N), whether a place of the order counts."""
        places = np.arange(self.order.shape[1])
        return np.asarray(places < self.candidates[:, np.newaxis])


def rank_database(
    queries: EmbeddedSlices, database: EmbeddedSlices, *, case: Case
) -> Iterator[RankedChunk]:
    """Rank the whole database for each query, by exact distances in float64.

    Equally close slices stay in the database's order.

    Args:
        queries: Q slices.
        database: N slices, encoded by the same encoder.
        case: What is left out.

    Yields:
        Chunks of queries, in order.

    Raises:
        MeasureError: Vectors differ in dimension or metric, or there is no database.
    """
    if queries.vectors.shape[1] != database.vectors.shape[1] or queries.metric != database.metric:
        raise MeasureError(
            f"queries are {queries.vectors.shape[1]}-dimensional ({queries.metric}), the database "
            f"{database.vectors.shape[1]}-dimensional ({database.metric}); encode both alike"
        )
    if not len(database):
        raise MeasureError("the database holds no slices; give at least one")
    step = max(1, CHUNK_VALUES // len(database))
    wide = np.asarray(database.vectors, np.float64)
    squares = np.einsum("nd,nd->n", wide, wide)
    for start in range(0, len(queries), step):
        rows = np.arange(start, min(start + step, len(queries)), dtype=np.int64)
        costs = -(np.asarray(queries.vectors[rows], np.float64) @ wide.T)
        if queries.metric is Metric.L2:
            # |q - x|² less |q|², which is the same for the whole row and changes no order.
            costs = 2.0 * costs + squares
        left_out = _left_out(queries, database, rows=rows, case=case)
        costs[left_out] = np.inf
        yield RankedChunk(
            queries=rows,
            order=np.argsort(costs, axis=1, kind="stable"),
            candidates=len(database) - left_out.sum(axis=1),
        )


def _left_out(
    queries: EmbeddedSlices, database: EmbeddedSlices, *, rows: NDArray[np.int64], case: Case
) -> NDArray[np.bool_]:
    if case is Case.QUERY_IN:
        return np.zeros((len(rows), len(database)), dtype=np.bool_)
    itself = queries.slices[rows, np.newaxis] == database.slices
    if case is Case.QUERY_OUT:
        return np.asarray(itself)
    return np.asarray(itself | (queries.samples[rows, np.newaxis] == database.samples))
