"""The release gate: whether a new model is no worse than the one that is live.

Both are measured on the same slices, and differences have paired bootstrap intervals, samples
drawn whole (`trainer.bootstrap`). A model is refused where

- its standard mAP@10, whole sample out, or an error (MAE per sample) of a property that both
  predict is surely worse: the 95 % interval of the difference lies beyond 0, and the difference is
  no trifle (a tenth of the tolerance);
- one of them is worse by more than its tolerance, even if that may be chance, as where too few
  samples were measured for an interval;
- mAP can't be measured;
- of a property it predicts nothing where the live one does.

Errors are compared on the samples that both predict; if those are fewer than the live one
predicts, that is told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from infra.model_versions import FORCED
from trainer.evaluation import HEADLINES
from trainer.figures import FigureKey
from trainer.property_measures import COMPARED, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainer.bootstrap import Interval
    from trainer.evaluation import EvaluationResult

TRIFLE = 0.1
"""Share of a tolerance up to which no model is surely worse, however narrow the interval."""

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

TOLERANCES = {"map_at_10": 0.02, "mae_porosity": 0.01, "mae_log10_permeability": 0.1}
"""By how much a figure may be worse where its interval does not tell: a share, a fraction of the
volume, decades."""

Outcome = Literal["passed", "refused", "forced", "first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says.

    Attributes:
        outcome: ``first`` where no model is live.
        current: Bundle of the live model; None if there is none.
        reasons: Why it is refused.
        notes: What else is to be known of the comparison.
        differences: New less live, by the names of `FIGURES`; None where none could be made.
    """

    outcome: Outcome
    current: str | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    differences: dict[str, Interval] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the model may be published."""
        return self.outcome != "refused"

    @property
    def compared_with(self) -> str:
        """Bundle that the model was compared with; empty where it was none."""
        return "" if self.differences is None else str(self.current)

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
            "tolerances": TOLERANCES,
            "differences": {name: interval_dict(each) for name, each in differences.items()},
        }


def judge(result: EvaluationResult, *, force: bool = False, unfair: str = "") -> Verdict:
    """Compare a new model with the live one.

    Args:
        result: Figures of the live model (its reference) and of the new one.
        force: Whether it is to be published in any case.
        unfair: Why the two can't be compared fairly, whatever the figures; empty where they can.
    """
    (new,) = result.others
    differences = {
        name: found[new.name]
        for name, key in FIGURES.items()
        if new.name in (found := result.differences(key))
    }
    reasons = (*_worse_retrieval(differences), *_worse_prediction(result, differences))
    return replace(
        verdict((unfair,) if unfair else reasons, current=result.base.name, force=force),
        notes=tuple(_fewer_predictions(result)),
        differences=differences,
    )


def verdict(reasons: tuple[str, ...], *, current: str, force: bool) -> Verdict:
    """Decide by the reasons that speak against a model.

    Args:
        reasons: Those.
        current: Bundle of the live model.
        force: Whether it is to be published in any case.
    """
    outcome: Outcome = "passed" if not reasons else FORCED if force else "refused"
    return Verdict(outcome=outcome, current=current, reasons=reasons)


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
    elif worse := _worse(found, TOLERANCES["map_at_10"], is_error=False):
        yield f"standard mAP@10 is {worse}: {signed(found)}"


def _worse_prediction(result: EvaluationResult, differences: dict[str, Interval]) -> Iterator[str]:
    (new,) = result.others
    for quantity, key in ERRORS.items():
        if key not in result.base.statistics:
            continue
        label = next(label for label, figure in FIGURES.items() if figure == key)
        if key not in new.statistics:
            yield f"{quantity} is not predicted, which the live model does"
        elif not math.isfinite((found := differences[label]).value):
            yield f"{quantity} is predicted for no sample that the live model predicts it for"
        elif worse := _worse(found, TOLERANCES[label], is_error=True):
            yield f"{quantity} is predicted {worse}: {key.measure} {signed(found)}"


def _worse(difference: Interval, tolerance: float, *, is_error: bool) -> str:
    """Say how much worse a figure is; nothing where that may be chance, and is little."""
    loss, least = (
        (difference.value, difference.low) if is_error else (-difference.value, -difference.high)
    )
    if least > 0 and loss > TRIFLE * tolerance:
        return "surely worse"
    return f"worse by more than {tolerance}" if loss > tolerance else ""


def _fewer_predictions(result: EvaluationResult) -> Iterator[str]:
    (new,) = result.others
    for quantity, key in ERRORS.items():
        if key not in new.statistics or key not in result.base.statistics:
            continue
        ours, theirs = (model.statistics[key].sums[:, 1] > 0 for model in (new, result.base))
        shared, wanted = int((ours & theirs).sum()), int(theirs.sum())
        if shared < wanted:
            yield (
                f"{quantity} is predicted for {shared} of the {wanted} samples that the live model "
                "predicts it for: compared on those"
            )
