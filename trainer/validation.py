"""How good a network is while it is trained: mAP@10 of the validation slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.measures import Case, EmbeddedSlices, Measure, mean_average_precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from encoder.inference import EncodingSession
    from encoder.metric import Metric
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

QUERIES_MAX = 1_000
"""Validation slices that ask; of more, these are spread evenly."""

DATABASE_MAX = 5_000
"""Training slices that may be found, beside the validation slices; of more, likewise."""

_K = 10


def validation_map(session: EncodingSession, slices: SliceSet, *, split: Split) -> float:
    """Measure a network on the validation slices (docs/design.md D12).

    Validation slices are searched for in training and validation slices together, the whole
    sample of the query left out. Relevant is the same reservoir (or class).

    Args:
        session: What is measured.
        slices: All slices.
        split: Which of them are which.

    Returns:
        Standard mAP@10; NaN where no validation slice has anything relevant to find.
    """
    asked = _spread(split.val, QUERIES_MAX)
    known = np.concatenate([asked, _spread(split.train, DATABASE_MAX)])
    metric = session.encoder.metric
    vectors = np.concatenate(
        [
            session.encode(slices.pixels[known[start : start + 256]])
            for start in range(0, len(known), 256)
        ]
    )
    database = _embedded(slices, known, vectors=vectors, metric=metric)
    queries = _embedded(slices, asked, vectors=vectors[: len(asked)], metric=metric)
    return mean_average_precision(
        queries, database, k=_K, case=Case.SAMPLE_OUT, measure=Measure.STANDARD_MAP
    )


def _spread(chosen: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(chosen) <= most:
        return chosen
    return chosen[np.linspace(0, len(chosen) - 1, most).round().astype(np.int64)]


def _embedded(
    slices: SliceSet,
    chosen: NDArray[np.int64],
    *,
    vectors: NDArray[np.float32],
    metric: Metric,
) -> EmbeddedSlices:
    return EmbeddedSlices(
        vectors=vectors,
        labels=slices.reservoir[chosen],
        samples=slices.sample[chosen],
        slices=chosen,
        metric=metric,
    )
