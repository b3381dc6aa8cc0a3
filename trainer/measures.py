"""How good a ranking is (docs/design.md D12): mAP@k by two definitions, precision@k, k-NN accuracy.

Shapes: Q queries, N database slices. Relevant to a query is what bears its label. A query without
relevant slices in the database has no precision: its scores are NaN, and means leave it out.

What libraries offer is not this: torchmetrics divides by what was retrieved and ignores scores
<= 0, and none leaves a query's own sample out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from trainer.rankings import Case, EmbeddedSlices, MeasureError, RankedChunk, rank_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Case",
    "EmbeddedSlices",
    "Measure",
    "MeasureError",
    "QueryScores",
    "mean_average_precision",
    "score_queries",
]

EVERYTHING = None
"""The k that means the whole database."""


class Measure(StrEnum):
    """What is measured of a ranking."""

    STANDARD_MAP = "mAP (standard)"
    """AP@k = sum over the first k places of precision at each relevant one, / min(k, R), with R
    relevant slices in the database (Manning et al. 2008, section 8.4, cut off at k)."""
    ROCKIR_MAP = "mAP (RockIR)"
    """Mean precision at the first k relevant slices, wherever in the whole ranking they are: what
    the code of Shim et al. 2023 computes. It asks "how far down are k good ones", and is not
    lowered by what a page of k results lacks."""
    PRECISION = "precision"
    """Share of relevant slices among the first k."""
    KNN_ACCURACY = "k-NN accuracy"
    """Whether the label that most of the first k bear is the query's; of labels that equally many
    bear, the one that is met first; 0 where no slice bears it. Of the whole database it is the
    largest label's share."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryScores:
    """One measure of every query.

    Attributes:
        measure: Which.
        case: What the rankings leave out.
        k: How many places count; None for all.
        values: (Q,) from 0 to 1, NaN where there is nothing to measure.
    """

    measure: Measure
    case: Case
    k: int | None
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over the queries that can be measured; NaN where none can."""
        known = self.values[np.isfinite(self.values)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def unmeasured(self) -> int:
        """Queries without relevant slices, or without any slice, to find."""
        return int((~np.isfinite(self.values)).sum())


def mean_average_precision(
    queries: EmbeddedSlices,
    database: EmbeddedSlices,
    *,
    k: int | None = 10,
    case: Case = Case.SAMPLE_OUT,
    measure: Measure = Measure.STANDARD_MAP,
) -> float:
    """Mean average precision of rankings by exact distance.

    Args:
        queries: Q slices.
        database: N slices; the same set where a set is searched in itself.
        k: How many places, or relevant slices, count; None for all.
        case: What the rankings leave out.
        measure: By which definition.

    Returns:
        From 0 to 1; NaN where no query has anything relevant to find.

    Raises:
        MeasureError: Vectors don't fit together, k is below 1, or the measure is no mAP.
    """
    if measure not in {Measure.STANDARD_MAP, Measure.ROCKIR_MAP}:
        raise MeasureError(f"{measure} is no mean average precision; ask score_queries for it")
    (scores,) = score_queries(queries, database, case=case, ks=(k,), measures=(measure,))
    return scores.mean


def score_queries(
    queries: EmbeddedSlices,
    database: EmbeddedSlices,
    *,
    case: Case,
    ks: Sequence[int | None],
    measures: Sequence[Measure] = tuple(Measure),
) -> list[QueryScores]:
    """Measure every query's ranking; the database is ranked once for everything that is asked.

    Args:
        queries: Q slices.
        database: N slices.
        case: What the rankings leave out.
        ks: How many places count; None for all.
        measures: What to measure.

    Returns:
        One entry for each measure and k, in this order.

    Raises:
        MeasureError: Vectors don't fit together, or a k is below 1.
    """
    if any(k is not None and k < 1 for k in ks):
        raise MeasureError(f"k must be at least 1, or None for all, not {list(ks)}")
    values = {(measure, k): np.full(len(queries), np.nan) for measure in measures for k in ks}
    for chunk in rank_database(queries, database, case=case):
        ranked = _RankedLabels(chunk, queries=queries, database=database)
        for (measure, k), column in values.items():
            column[chunk.queries] = ranked.scores(measure, k)
    return [
        QueryScores(measure=measure, case=case, k=k, values=column)
        for (measure, k), column in values.items()
    ]


class _RankedLabels:
    """The labels of a chunk's rankings, and what is measured of them. C queries, N places."""

    def __init__(
        self, chunk: RankedChunk, *, queries: EmbeddedSlices, database: EmbeddedSlices
    ) -> None:
        self._labels = database.labels[chunk.order]
        self._wanted = queries.labels[chunk.queries]
        self._candidates = chunk.candidates
        self._relevant = (self._labels == self._wanted[:, np.newaxis]) & chunk.counts
        self._found = self._relevant.cumsum(axis=1)
        self._total = self._relevant.sum(axis=1)
        places = np.arange(1, self._relevant.shape[1] + 1)
        self._precisions = np.where(self._relevant, self._found / places, 0.0)

    def scores(self, measure: Measure, k: int | None) -> NDArray[np.float64]:
        """(C,) of one measure; NaN where there is nothing to find."""
        cut = self._relevant.shape[1] if k is None else min(k, self._relevant.shape[1])
        if measure is Measure.KNN_ACCURACY:
            return self._votes_won(cut)
        if measure is Measure.PRECISION:
            shown = np.minimum(cut if k is None else k, self._candidates)
            right, of = self._relevant[:, :cut].sum(axis=1), shown
        else:
            right = (
                self._precisions[:, :cut].sum(axis=1)
                if measure is Measure.STANDARD_MAP
                else np.where(self._found <= cut, self._precisions, 0.0).sum(axis=1)
            )
            of = np.minimum(self._total if k is None else k, self._total)
        known = self._total > 0
        return np.where(known, right / np.maximum(of, 1), np.nan)

    def _votes_won(self, cut: int) -> NDArray[np.float64]:
        won = np.full(len(self._labels), np.nan)
        for row, labels in enumerate(self._labels):
            voters = labels[: min(cut, int(self._candidates[row]))]
            if len(voters):
                won[row] = _most_frequent(voters) == self._wanted[row]
        return won


def _most_frequent(labels: NDArray[np.int64]) -> int:
    """The label that occurs most often; of several, the one that comes first."""
    found, first, counts = np.unique(labels, return_index=True, return_counts=True)
    return int(found[np.lexsort((first, -counts))[0]])
