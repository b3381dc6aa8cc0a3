"""From what an index measures to a similarity from 0 to 1, the larger the more alike.

====================  =====================================================================
metric                similarity
====================  =====================================================================
Euclidean distance d  1 / (1 + d): 1 at no distance, 1/2 at distance 1, towards 0 far away
inner product p       (1 + p / m) / 2 within 0 and 1, m the query's product with itself: 1 for
                      the query's own vector, 1/2 for one at right angles, 0 for its opposite
====================  =====================================================================

Both are monotone: of two slices the closer one never has the smaller similarity. Values of two
encoders, or of two metrics, are not to be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.metric import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SimilarityScale:
    """Turns measures of closeness into similarities and into costs that ascend.

    Attributes:
        metric: How vectors are compared.
        of_itself: The query's inner product with itself; of no matter for distances.
    """

    metric: Metric
    of_itself: float = 1.0

    @classmethod
    def of_query(cls, metric: Metric, vectors: NDArray[np.float32]) -> SimilarityScale:
        """Scale for a query of one or several vectors.

        Args:
            metric: How vectors are compared.
            vectors: (Q, D), the query's slices. Of several, the largest product with itself is
                the scale of all, so that one order holds for the merged answer.
        """
        wide = np.asarray(vectors, np.float64)
        products = np.einsum("qd,qd->q", wide, wide)
        return cls(metric, float(products.max(initial=0.0)) or 1.0)

    def cost(self, measure: float) -> float:
        """What hits are ordered by, ascending: the distance, or the product's negative."""
        return measure if self.metric is Metric.L2 else -measure

    def similarity(self, measure: float) -> float:
        """Similarity of a distance, or of an inner product: see the module.

        Returns:
            From 0 to 1.
        """
        if self.metric is Metric.L2:
            return 1.0 / (1.0 + measure)
        return min(1.0, max(0.0, (1.0 + measure / self.of_itself) / 2.0))

    def most_cost(self, similarity: float) -> float:
        """Cost of a similarity: what is dearer is less alike.

        Args:
            similarity: From 0 (nothing is too unlike) to 1.
        """
        if similarity <= 0.0:
            return math.inf
        if self.metric is Metric.L2:
            return 1.0 / similarity - 1.0
        return -(2.0 * similarity - 1.0) * self.of_itself

    @property
    def formula(self) -> str:
        """The formula in words, to be shown beside results."""
        if self.metric is Metric.L2:
            return "1 / (1 + distance)"
        return "(1 + inner product / the query's product with itself) / 2"
