"""One answer from what Milvus answers to each of several queries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from encoder.metric import Metric
from infra.indexing.schema import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Merger:
    """Keeps, of every row that was found, its smallest distance to any query.

    What is among the n nearest to any query is among the n nearest to one of them, so n rows of
    each query's answer are enough for n rows of all.
    """

    def __init__(self, metric: Metric) -> None:
        self._is_squared = metric is Metric.L2
        self._best: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def take(self, hits: Iterable[Mapping[str, Any]]) -> None:
        """Take the answer to one query: hits as Milvus's client gives them."""
        for hit in hits:
            cost = hit["distance"] if self._is_squared else -hit["distance"]
            row = hit["entity"]
            known = self._best.get(row[KEY])
            if known is None or cost < known[0]:
                self._best[row[KEY]] = cost, row

    def nearest(self, limit: int) -> list[tuple[float, Mapping[str, Any]]]:
        """The nearest rows, nearest first; of equal distances, the smaller key first.

        Args:
            limit: How many of them, at most.

        Returns:
            Distances (Euclidean, not squared, or inner products) and rows.
        """
        order = sorted(self._best, key=lambda key: (self._best[key][0], key))[:limit]
        return [(self._measure(self._best[key][0]), self._best[key][1]) for key in order]

    def _measure(self, cost: float) -> float:
        return math.sqrt(max(cost, 0.0)) if self._is_squared else -cost
