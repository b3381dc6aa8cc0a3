"""The release gate: whether a new model is no worse than the one that is live.

Both are measured on the same slices, and differences have paired bootstrap intervals, samples
drawn whole (`trainer.bootstrap`). A model is refused where

- its standard mAP@10, whole sample out, is surely worse (the 95 % interval of the difference lies
  below 0), or worse by more than 0.02 even if that may be chance, or can't be measured;
- an error (MAE per sample) of a property that both predict is surely greater;
- it does not predict a property that the live one predicts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trainer.evaluation import HEADLINES
from trainer.figures import FigureKey
from trainer.property_measures import COMPARED, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.bootstrap import Interval
    from trainer.evaluation import EvaluationResult

TOLERANCE = 0.02
"""By how much standard mAP@10 may be less where the interval does not tell."""

RETRIEVAL = HEADLINES[0]
"""The figure that tells how well a model finds."""

ERRORS = {
    quantity: FigureKey(f"MAE ({quantity.unit})", f"{quantity} {Level.SAMPLE}")
    for quantity in COMPARED
}
"""The figures that tell how well it predicts."""

FIGURES = {
    "map_at_10": RETRIEVAL,
    **{
        f"{name}_{str(quantity).replace(' ', '_')}": key
        for quantity, error in ERRORS.items()
        for name, key in (("r2", FigureKey("R²", error.scope)), ("mae", error))
    },
}
"""Figures of a model's card, by their names there (after ``test_``)."""

Outcome = Literal["passed", "refused", "forced", "first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says.

    Attributes:
        outcome: ``first`` where no model is live.
        current: Bundle of the live model; None if there is none.
        reasons: Why it is refused.
        differences: New less live, by the names of `FIGURES`.
    """

    outcome: Outcome
    current: str | None = None
    reasons: tuple[str, ...] = ()
    differences: dict[str, Interval] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the model may be published."""
        return self.outcome != "refused"

    def text(self) -> str:
        """Say it in a line."""
        if self.outcome == "first":
            return "gate: passed: no model is live to compare with"
        told = f"gate: {self.outcome}, against {self.current}"
        return f"{told}: {'; '.join(self.reasons)}" if self.reasons else told

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        differences = self.differences or {}
        return {
            "outcome": self.outcome,
            "current": self.current,
            "reasons": list(self.reasons),
            "tolerance": TOLERANCE,
            "differences": {name: interval_dict(each) for name, each in differences.items()},
        }


def judge(result: EvaluationResult, *, force: bool = False) -> Verdict:
    """Compare a new model with the live one.

    Args:
        result: Figures of the live model (its reference) and of the new one.
        force: Whether it is to be published in any case.
    """
    (new,) = result.others
    differences = {
        name: found[new.name]
        for name, key in FIGURES.items()
        if new.name in (found := result.differences(key))
    }
    reasons = (*_worse_retrieval(differences), *_worse_prediction(result))
    return verdict(reasons, current=result.base.name, force=force, differences=differences)


def verdict(
    reasons: tuple[str, ...],
    *,
    current: str,
    force: bool,
    differences: dict[str, Interval] | None = None,
) -> Verdict:
    """Decide by the reasons that speak against a model.

    Args:
        reasons: Those.
        current: Bundle of the live model.
        force: Whether it is to be published in any case.
        differences: New less live.
    """
    outcome: Outcome = "passed" if not reasons else "forced" if force else "refused"
    return Verdict(outcome=outcome, current=current, reasons=reasons, differences=differences)


def interval_dict(interval: Interval) -> dict[str, float | None]:
    """Give an interval as plain JSON types: null where there is nothing."""
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def signed(interval: Interval) -> str:
    """Write a difference: ``-0.031 [-0.052, -0.010]``; without an interval, it says why."""
    if math.isfinite(interval.low):
        return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"{interval.value:+.3f} (too few samples for an interval)"


def _worse_retrieval(differences: dict[str, Interval]) -> Iterator[str]:
    found = differences.get("map_at_10")
    if found is None or not math.isfinite(found.value):
        yield (
            "standard mAP@10 can't be measured: no slice of the test part has another sample of "
            "its reservoir there; train with a larger split.test"
        )
    elif found.high < 0:
        yield f"standard mAP@10 is surely worse: {signed(found)}"
    elif found.value < -TOLERANCE:
        yield f"standard mAP@10 is worse by more than {TOLERANCE}: {signed(found)}"


def _worse_prediction(result: EvaluationResult) -> Iterator[str]:
    (new,) = result.others
    for quantity, key in ERRORS.items():
        if key not in result.base.statistics:
            continue
        found = result.differences(key).get(new.name)
        if found is None:
            yield f"{quantity} is not predicted, which the live model does"
        elif found.low > 0:
            yield f"{quantity} is predicted surely worse: {key.measure} {signed(found)}"
