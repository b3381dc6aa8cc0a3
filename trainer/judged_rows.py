"""Which slices a new model and the live one are measured on: those that neither has seen.

What a model learned from, or was chosen by, flatters it. Of the run's test part, what the new
model's start learned from is left out, and then what the live model did, where enough is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.bootstrap import SAMPLES_MIN
from trainer.learnt_scans import seen_before, seen_rows, untold_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from encoder.neural_encoder import NeuralEncoder
    from trainer.finished_run import FinishedRun
    from trainer.slice_set import SliceSet
    from trainer.splits import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Slices to measure on.

    Attributes:
        rows: Those slices, ascending; none where there are none that the new model never saw.
        blind: Bundles that are known not to have learned from them.
        unfair: Why figures on them are no fair comparison; empty where they are one.
        notes: What was left out, and what is not known.
    """

    rows: NDArray[np.int64]
    blind: tuple[str, ...]
    unfair: str
    notes: tuple[str, ...]


def judged_rows(
    run: FinishedRun, current: NeuralEncoder | None, *, slices: SliceSet, split: Split
) -> Judged:
    """Choose slices of a run's test part.

    Args:
        run: The run of the new model.
        current: The live model, if any.
        slices: The run's data.
        split: Its parts.
    """
    own = _without_what_its_start_saw(run, slices, split=split)
    if current is None:
        return own
    live, card = str(current.bundle_id), current.provenance
    notes = [*own.notes, *_untold(card, live)]
    found = seen_rows(card, slices, rows=own.rows, split=run.split_fingerprint())
    if found is None:
        notes.append(f"whether {live} learned from these slices, its card does not tell")
        return Judged(rows=own.rows, blind=own.blind, unfair=own.unfair, notes=tuple(notes))
    rows, share = _left(own.rows, found, slices=slices, split=split)
    unfair = own.unfair
    if len(rows) == len(own.rows):
        blind = (*own.blind, live)
    elif number_of_samples(slices, rows) >= SAMPLES_MIN:
        blind = (*own.blind, live)
        notes.append(f"{live} learned from {share}: left out")
    else:
        unfair = unfair or _too_few(slices, rows, saw=f"{live} learned from {share}")
        rows, blind = own.rows, own.blind
        notes.append(f"{live} learned from {share}, which flatters it")
    return Judged(rows=rows, blind=blind, unfair=unfair, notes=tuple(notes))


def number_of_samples(slices: SliceSet, rows: NDArray[np.int64]) -> int:
    """Count the samples that some slices are of."""
    return len(np.unique(slices.sample[rows]))


def _without_what_its_start_saw(run: FinishedRun, slices: SliceSet, *, split: Split) -> Judged:
    name, card = run.manifest.bundle_id, run.manifest.provenance
    if not len(split.test):
        told = "the run has no test part, so nothing can be measured; train with split.test above 0"
        return Judged(rows=split.test, blind=(name,), unfair=told, notes=(told,))
    notes, unfair = _untold(card, name), ""
    found = seen_before(card, slices, rows=split.test)
    rows, share = _left(split.test, found, slices=slices, split=split)
    if len(rows) < len(split.test):
        saw = f"what {name} began from learned from {share}"
        notes.append(f"{saw}: left out")
        if number_of_samples(slices, rows) < SAMPLES_MIN:
            unfair = _too_few(slices, rows, saw=saw)
    return Judged(rows=rows, blind=(name,), unfair=unfair, notes=tuple(notes))


def _left(
    rows: NDArray[np.int64], seen: NDArray[np.int64], *, slices: SliceSet, split: Split
) -> tuple[NDArray[np.int64], str]:
    """Leave out what was seen, with its samples' other slices unless the split is by image."""
    if split.by != "image":
        seen = rows[np.isin(slices.sample[rows], slices.sample[seen])]
    return np.setdiff1d(rows, seen), f"{len(seen)} of these {len(rows)} slices"


def _too_few(slices: SliceSet, rows: NDArray[np.int64], *, saw: str) -> str:
    return (
        f"no fair comparison: {saw}, which leaves {number_of_samples(slices, rows)} samples, fewer "
        f"than {SAMPLES_MIN}; train with a test part that holds more of what it never saw"
    )


def _untold(card: Mapping[str, str], name: str) -> list[str]:
    if start := untold_start(card):
        return [f"{name} began from {start}, which does not tell whether it learned from these"]
    return []
