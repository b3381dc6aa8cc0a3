"""The release gate: what it refuses, what it lets through, what it tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.metric import Metric
from infra.model_versions import FORCED
from slice_samples import make_slices
from trainer.bootstrap import mean_statistic
from trainer.descriptions import Description
from trainer.evaluation import EvaluationResult, Trial, measure
from trainer.property_measures import PropertyValues
from trainer.release_gate import FIGURES, RETRIEVAL, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESERVOIRS, SLICES = 3, 4
PERMEABILITY = "mae_log10_permeability"


def trial_of(samples: int, *, known: int | None = None) -> Trial:
    """Samples of each of 3 reservoirs, of which the first few are measured."""
    slices = make_slices(reservoirs=RESERVOIRS, samples=samples, slices=SLICES, size=8)
    number = slices.sample
    measured = number < (RESERVOIRS * samples if known is None else known)
    slices = replace(
        slices,
        porosity=np.where(measured, 0.1 + 0.01 * number, np.nan),
        permeability_md=np.where(measured, 10.0**number, np.nan),
    )
    every = np.arange(len(slices))
    return Trial(slices=slices, queries=every, database=every)


def described(
    trial: Trial,
    name: str,
    *,
    off: NDArray[np.float64] | float | None = 0.0,
) -> Description:
    """A model that knows reservoirs, and errs by so much in porosity.

    Permeability is predicted as it was measured. No error at all: it predicts nothing.
    """
    slices = trial.slices
    vectors = np.eye(RESERVOIRS, dtype=np.float32)[slices.reservoir]
    predicted = (
        None
        if off is None
        else PropertyValues(slices.porosity + off, slices.permeability_md.copy())
    )
    return Description(
        name=name,
        origin="made by hand",
        bundle_id=name,
        metric=Metric.L2,
        slices_id=slices.fingerprint(),
        rows=trial.rows,
        vectors=vectors,
        predicted=predicted,
    )


def compared(trial: Trial, live: Description, new: Description) -> EvaluationResult:
    return EvaluationResult(trial=trial, models=(measure(live, trial), measure(new, trial)))


@pytest.mark.parametrize(
    ("known", "before", "after", "reason"),
    [
        (3, 0.05, 0.217, "porosity is predicted worse by more than 0.01: MAE (fraction) +0.167 (t"),
        (3, 0.05, 0.059, None),
        (1, 0.05, 0.05 + 1e-6, None),
        (9, 0.05, 0.0505, None),  # on every sample, but a trifle
        (9, 0.05, 0.055, "porosity is predicted surely worse: MAE (fraction) +0.005 ["),
        (9, 0.05, 0.02, None),
    ],
)
def test_an_error_may_grow_by_little(
    known: int, before: float, after: float, reason: str | None
) -> None:
    trial = trial_of(3, known=known)
    result = compared(
        trial, described(trial, "live", off=before), described(trial, "new", off=after)
    )
    found = judge(result)
    assert found.outcome == ("passed" if reason is None else "refused")
    assert reason is None or found.reasons[0].startswith(reason)
    assert found.notes == ()


def test_an_error_that_may_be_chance_is_refused_where_it_is_large() -> None:
    trial = trial_of(3)
    number = trial.slices.sample
    off = np.where(number == 8, 0.4, 0.045)  # one sample in nine
    result = compared(trial, described(trial, "live", off=0.05), described(trial, "new", off=off))
    found = judge(result)
    assert found.differences is not None
    assert found.differences["mae_porosity"].low < 0
    assert found.reasons[0].startswith("porosity is predicted worse by more than 0.01")


@pytest.mark.parametrize(
    ("samples", "loss", "reason"),
    [
        (4, 0.001, None),  # on every sample, but a trifle
        (4, 0.005, "standard mAP@10 is surely worse: -0.005 ["),
        (1, 0.015, None),
        (1, 0.025, "standard mAP@10 is worse by more than 0.02: -0.025 (too few"),
    ],
)
def test_retrieval_may_lose_little(samples: int, loss: float, reason: str | None) -> None:
    trial = trial_of(samples)
    result = compared(trial, described(trial, "live"), described(trial, "new"))
    (new,) = result.others
    scores = mean_statistic(np.full(len(trial.queries), 0.9), trial.samples)
    models = tuple(
        replace(model, statistics={**model.statistics, RETRIEVAL: replace(scores, sums=sums)})
        for model, sums in zip(
            (result.base, new), (scores.sums, scores.sums - [loss * SLICES, 0.0]), strict=True
        )
    )
    found = judge(EvaluationResult(trial=trial, models=models))
    assert found.outcome == ("passed" if reason is None else "refused")
    assert reason is None or found.reasons[0].startswith(reason)


def test_errors_are_compared_on_samples_that_both_predict() -> None:
    """The new one is silent on the samples that the live one errs on most."""
    trial = trial_of(3)
    number = trial.slices.sample
    hard = number >= 5
    live = described(trial, "live", off=np.where(hard, 0.3, 0.02))
    new = described(trial, "new", off=np.where(hard, np.nan, 0.05))
    result = compared(trial, live, new)
    key = FIGURES["mae_porosity"]
    means = [model.statistics[key].value for model in (result.base, *result.others)]
    assert means[1] < means[0]
    found = judge(result)
    assert found.differences is not None
    assert found.differences["mae_porosity"].value == pytest.approx(0.03)
    assert found.differences[PERMEABILITY].value == 0
    assert found.reasons[0].startswith("porosity is predicted surely worse")
    (note,) = found.notes
    assert note.startswith("porosity is predicted for 5 of the 9 samples that the live model")


def test_a_property_must_not_be_lost() -> None:
    trial = trial_of(3)
    number = trial.slices.sample
    live = described(trial, "live", off=np.where(number < 4, 0.1, np.nan))
    found = judge(compared(trial, live, described(trial, "new", off=None)))
    assert [reason.split(",")[0] for reason in found.reasons] == [
        "porosity is not predicted",
        "log10 permeability is not predicted",
    ]
    new = described(trial, "new", off=np.where(number < 4, np.nan, 0.0))
    found = judge(compared(trial, live, new))
    assert found.reasons == (
        "porosity is predicted for no sample that the live model predicts it for",
    )


def test_a_comparison_that_is_not_fair_is_refused_whatever_its_figures() -> None:
    trial = trial_of(3)
    result = compared(trial, described(trial, "live", off=0.2), described(trial, "new"))
    assert judge(result).outcome == "passed"
    found = judge(result, unfair="both saw it")
    assert (found.outcome, found.reasons) == ("refused", ("both saw it",))
    assert found.differences
    assert judge(result, unfair="both saw it", force=True).outcome == FORCED
