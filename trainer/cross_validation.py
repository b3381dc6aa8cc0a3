"""Cross-validation over samples: each slice is asked with by a model that never saw its sample.

For sets that are too small for one test part. A fold's model ranks the whole set, its training
slices too, as a collection is searched in which everything known is indexed; the query's own
sample is left out by the measures that say so. Vectors of two folds are never compared: what is
pooled are the scores of queries, and predictions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trainer.bootstrap import mean_statistic
from trainer.descriptions import EvaluationError
from trainer.evaluation import (
    KS,
    Asked,
    ModelResult,
    Trial,
    first_retrieved,
    property_figures,
    query_scores,
)
from trainer.groups import draw_parts, joined_groups, largest_joined
from trainer.near_duplicates import find_near_duplicates
from trainer.property_measures import PropertyValues
from trainer.splits import Split, SplitError, check_leaks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.descriptions import Description
    from trainer.slice_set import SliceSet


def draw_folds(slices: SliceSet, number: int, *, seed: int = 0) -> tuple[Split, ...]:
    """Divide samples into folds, each with its share of every reservoir.

    Nothing is put aside for validation: train for a fixed number of epochs. Samples that share
    nearly identical images stay in one fold.

    Args:
        slices: The slices.
        number: Folds, at least 2.
        seed: Of the draw.

    Returns:
        For each fold a split whose test part is the fold, and whose training part is the rest.

    Raises:
        SplitError: A fold would be empty.
    """
    found = find_near_duplicates(slices.pixels, slices.sample)
    group = joined_groups(slices.sample, found.cluster)
    total, alone = len(np.unique(slices.sample)), len(np.unique(group))
    if number < 2 or alone < number:
        largest = largest_joined(slices.sample, group)
        of_them = f" ({total}, of which near-duplicates join up to {largest})"
        raise SplitError(
            f"{number} folds of {alone} samples{of_them if alone < total else ''}: expected at "
            "least 2 folds, and no more than there are samples"
        )
    part_of = draw_parts(group, slices.reservoir, shares=[1 / number] * number, seed=seed)
    note = f"{found.n_images} images of different samples are near-duplicates: in one fold each"
    splits = []
    for fold in range(number):
        train, test = np.flatnonzero(part_of != fold), np.flatnonzero(part_of == fold)
        if not len(test):
            raise SplitError(f"{number} folds: fold {fold} would be empty; ask for fewer")
        nothing = np.empty(0, dtype=np.int64)
        splits.append(Split(train=train, val=nothing, test=test, notes=(note,)))
        check_leaks(splits[-1], slices)
    return tuple(splits)


def fold_trials(slices: SliceSet, folds: Sequence[Split]) -> tuple[Trial, ...]:
    """Return what each fold is asked: its test slices, of all slices."""
    everything = np.arange(len(slices), dtype=np.int64)
    return tuple(Trial(slices=slices, queries=fold.test, database=everything) for fold in folds)


def measure_folds(parts: Sequence[Asked], *, ks: Sequence[int | None] = KS) -> ModelResult:
    """Pool the queries of all folds, each answered by its fold's model, and measure them together.

    Args:
        parts: Each fold's vectors, with its queries.
        ks: How many places count; None for all.

    Returns:
        Figures of all queries, in ascending order of queries.

    Raises:
        EvaluationError: A description is of other slices, or two folds ask the same.
    """
    (first, trial), *_ = parts
    slices = trial.slices
    if any(part.description.slices_id != slices.fingerprint() for part in parts):
        raise EvaluationError(
            f"{first.name}: a fold was described on other slices than those that are measured"
        )
    asked = np.concatenate([part.trial.queries for part in parts])
    order = np.argsort(asked)
    queries = asked[order]
    if (np.diff(queries) == 0).any():
        raise EvaluationError(f"{first.name}: folds share queries; each is to be asked once")
    pooled = Trial(slices=slices, queries=queries, database=trial.database)
    scored = [query_scores(*part, ks=ks) for part in parts]
    statistics = {
        key: mean_statistic(
            np.concatenate([scores[key] for scores in scored])[order], pooled.samples
        )
        for key in scored[0]
    }
    retrieved = np.concatenate([first_retrieved(*part) for part in parts])[order]
    joined = _joined(parts)
    statistics |= property_figures(pooled, joined.predictions(queries), retrieved=retrieved)
    return ModelResult(
        description=joined,
        statistics=statistics,
        retrieved=retrieved,
        note=f"cross-validated over samples, {len(parts)} folds",
        folds=tuple(parts),
    )


def _joined(parts: Sequence[Asked]) -> Description:
    """Each query as its own fold's model sees it; its vectors are of several spaces."""
    asked = np.concatenate([part.trial.queries for part in parts])
    order = np.argsort(asked)
    predicted = [part.description.predictions(part.trial.queries) for part in parts]
    known = [values for values in predicted if values is not None]
    columns = [np.concatenate(column)[order] for column in zip(*known, strict=True)]
    vectors = [
        part.description.embedded(part.trial.queries, part.trial.slices).vectors for part in parts
    ]
    return replace(
        parts[0].description,
        bundle_id=None,
        rows=asked[order],
        vectors=np.concatenate(vectors)[order],
        predicted=PropertyValues(*columns) if len(known) == len(parts) else None,
    )
