"""Which queries of an evaluation a model learned from, which flatters its figures.

Of a run its split tells, of a published model its card; a bundle that was copied out of its run
tells only where the data is as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from encoder.neural_encoder import NeuralEncoder
from trainer.learnt_scans import seen_before, seen_rows, untold_start
from trainer.splits import SplitError, read_split, stored_samples
from trainer.training import BUNDLE_NAME, SPLIT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.encoders import Encoder
    from trainer.contestants import Contestant
    from trainer.evaluation import EvaluationResult, ModelResult
    from trainer.slice_set import SliceSet


def tell_learnt(
    result: EvaluationResult,
    contestants: Sequence[Contestant],
    *,
    encoders: Mapping[str, Encoder],
    slices_of: Callable[[Encoder], SliceSet],
) -> EvaluationResult:
    """Add to an evaluation how many queries each model learned from, or was chosen by.

    Args:
        result: The evaluation.
        contestants: Its models, in the same order.
        encoders: Those, by name.
        slices_of: Gives the trial's slices at an encoder's own size.

    Returns:
        The same figures; models and trial say what flatters.
    """
    rows = result.trial.queries
    found: dict[str, NDArray[np.int64] | None] = {
        one.name: _learnt(one.folder, encoder, rows=rows, slices=slices_of(encoder))
        for one in contestants
        if one.folder is not None and isinstance(encoder := encoders[one.name], NeuralEncoder)
    }
    found |= {one.name: None for one in contestants if one.past_is_unknown}
    notes = [
        f"{name}: {_note(None if seen is None else len(seen), len(rows))}"
        for name, seen in found.items()
        if seen is None or len(seen)
    ]
    notes += [
        f"{one.name}: {note}"
        for one in contestants
        if isinstance(encoder := encoders[one.name], NeuralEncoder)
        and (note := _note_on_start(encoder))
    ]
    return replace(
        result,
        models=tuple(_told(model, found, queries=len(rows)) for model in result.models),
        trial=replace(result.trial, notes=(*result.trial.notes, *notes)),
    )


def _told(
    model: ModelResult, found: Mapping[str, NDArray[np.int64] | None], *, queries: int
) -> ModelResult:
    seen = found.get(model.name, np.empty(0, np.int64))
    if seen is None:
        return replace(model, learnt=None, note=_note(None, queries))
    note = _note(len(seen), queries) if len(seen) else ""
    return replace(model, learnt=len(seen), note=note)


def _note(seen: int | None, queries: int) -> str:
    if seen is None:
        return "its bundle does not tell whether it learned from the queries"
    return f"learned from {seen} of the {queries} queries, which flatters it"


def _learnt(
    bundle: Path, encoder: NeuralEncoder, *, rows: NDArray[np.int64], slices: SliceSet
) -> NDArray[np.int64] | None:
    """The queries that a model learned from; None where that can't be known."""
    bundle = bundle.resolve()
    if bundle.name == BUNDLE_NAME and (split := bundle.parent / SPLIT_NAME).is_file():
        own = _by_its_split(split, slices, rows=rows)
        before = seen_before(encoder.provenance, slices, rows=rows)
        return None if own is None else np.union1d(own, before)
    return seen_rows(encoder.provenance, slices, rows=rows)


def _note_on_start(encoder: NeuralEncoder) -> str:
    if start := untold_start(encoder.provenance):
        return f"began from {start}, which does not tell whether it learned from the queries"
    return ""


def _by_its_split(
    path: Path, slices: SliceSet, *, rows: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """By a run's split: by its slices, or by its samples' names where it is of other slices."""
    try:
        split = read_split(path, slices)
    except SplitError:
        try:
            samples = stored_samples(path, slices, parts=("train", "val"))
        except SplitError:
            return None
        return np.asarray(rows[np.isin(slices.sample[rows], samples)])
    return np.asarray(np.intersect1d(rows, np.concatenate([split.train, split.val])))
