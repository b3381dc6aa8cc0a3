"""Learning rate and the end of training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.config import TrainConfig
    from trainer.run_log import Validation


def learning_rate(config: TrainConfig, step: int, *, steps_per_epoch: int) -> float:
    """Learning rate of a step: a linear rise, then a cosine's fall to 0 or a constant.

    Args:
        config: Settings of the run.
        step: Steps made before it, from 0.
        steps_per_epoch: Batches of an epoch.
    """
    schedule = config.schedule
    rise = schedule.warmup * steps_per_epoch
    if step < rise:
        return config.optimiser.lr * min(1.0, (step + 1) / rise)
    if schedule.decay == "constant":
        return config.optimiser.lr
    end = schedule.epochs * steps_per_epoch
    done = (step - rise) / max(1.0, end - rise)
    return config.optimiser.lr * (1 + math.cos(math.pi * min(1.0, done))) / 2


def best_validation(validations: Sequence[Validation]) -> Validation | None:
    """Return the first of the highest mAP; None where none could be measured."""
    measured = [each for each in validations if not math.isnan(each.map_at_10)]
    return max(measured, key=lambda each: each.map_at_10, default=None)


def out_of_patience(config: TrainConfig, validations: Sequence[Validation]) -> bool:
    """Whether the best mAP is so many epochs ago that training stops.

    A run whose validation slices measure nothing never stops early.
    """
    best = best_validation(validations)
    patience = config.schedule.patience
    if best is None or patience is None:
        return False
    return validations[-1].epoch - best.epoch >= patience
