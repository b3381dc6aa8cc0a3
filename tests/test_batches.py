"""Batches: which can be shared by several processes."""

from __future__ import annotations

import pytest

from trainer.batches import BatchPlan, BatchReader
from trainer.config import PairsConfig
from trainer.pair_step import Place
from trainer.training_errors import TrainingError
from training_samples import made_slices, made_split


def reader(pairs: int, processes: int) -> BatchReader:
    slices = made_slices()
    config = PairsConfig(strategy="random", pairs_per_batch=pairs)
    plan = BatchPlan(slices, made_split().train, pairs=config, seed=0)
    return BatchReader(slices, plan, place=Place(1, processes), flips=False)


def test_every_process_needs_a_drawn_pair() -> None:
    """Their images can be shared all the same: a process without a pair has no gradient to give."""
    batch = next(reader(4, 4).epoch(0))
    assert len(batch.pixels) == 2
    with pytest.raises(TrainingError, match=r"pairs\.pairs_per_batch 2: 4 processes have to share"):
        reader(2, 4)
