"""Cross-validation: folds that share nothing, and pooled figures against plain recomputations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import r2_score

from encoder.metric import Metric
from encoder.ranking import View
from evaluation_samples import SIZE
from slice_samples import make_slices
from trainer.cross_validation import draw_folds, fold_trials, measure_folds
from trainer.descriptions import Description, EvaluationError
from trainer.evaluation import Asked, Trial, measure
from trainer.figures import FigureKey
from trainer.measures import Case, Measure
from trainer.property_measures import PropertyValues
from trainer.report_sheets import find_views
from trainer.splits import SplitError

if TYPE_CHECKING:
    from trainer.slice_set import SliceSet

FOLDS = 3


def made() -> SliceSet:
    return make_slices(reservoirs=3, samples=6, slices=3, size=SIZE)


def described(slices: SliceSet, seed: int) -> Description:
    """Vectors and predictions of a model of its own."""
    generator = np.random.default_rng(seed)
    count = len(slices)
    return Description(
        name="made",
        origin="made by hand",
        bundle_id=f"made-{seed}",
        metric=Metric.L2,
        slices_id=slices.fingerprint(),
        rows=np.arange(count),
        vectors=generator.normal(size=(count, 4)).astype(np.float32),
        predicted=PropertyValues(
            generator.uniform(0.05, 0.4, count), 10 ** generator.uniform(0, 4, count)
        ),
    )


def test_folds_share_no_sample_and_hold_everything_once() -> None:
    slices = made()
    folds = draw_folds(slices, FOLDS)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(slices)))
    for fold in folds:
        assert not np.isin(slices.sample[fold.train], slices.sample[fold.test]).any()
        assert len(fold.train) + len(fold.test) == len(slices)
        assert set(slices.reservoir[fold.test]) == {0, 1, 2}
    again = draw_folds(slices, FOLDS)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(folds, again, strict=True))
    other = draw_folds(slices, FOLDS, seed=1)
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(folds, other, strict=True))


def test_samples_with_the_same_image_stay_in_one_fold() -> None:
    slices = made()
    pixels = slices.pixels.copy()
    firsts = np.flatnonzero(slices.number == 0)[:4]  # of four samples of one reservoir
    pixels[firsts] = pixels[firsts[0]]
    folds = draw_folds(replace(slices, pixels=pixels), FOLDS)
    holding = [fold for fold in folds if np.isin(firsts, fold.test).any()]
    assert len(holding) == 1
    assert np.isin(firsts, holding[0].test).all()
    assert "4 images of different samples are near-duplicates" in holding[0].notes[0]


def test_samples_joined_by_near_duplicates_are_told_where_folds_lack() -> None:
    slices = made()
    texture = np.random.default_rng(3).integers(0, 256, slices.pixels[0].shape[:2])
    copied = slices.number == 0
    slices.pixels[copied] = texture[..., np.newaxis]
    told = r"of 1 samples \(18, of which near-duplicates join up to 18\)"
    with pytest.raises(SplitError, match=told):
        draw_folds(slices, FOLDS)
    slices.pixels[copied] = 0
    assert len(draw_folds(slices, FOLDS)) == FOLDS


@pytest.mark.parametrize("number", [1, 19])
def test_too_few_or_too_many_folds_are_refused(number: int) -> None:
    with pytest.raises(SplitError, match=f"{number} folds of 18 samples"):
        draw_folds(made(), number)


def test_each_query_is_answered_by_its_own_fold() -> None:
    slices = made()
    trials = fold_trials(slices, draw_folds(slices, FOLDS))
    parts = [Asked(described(slices, fold), trial) for fold, trial in enumerate(trials)]
    result = measure_folds(parts, ks=(1, 8))
    hits, guessed = [], np.full(len(slices), np.nan)
    for description, trial in parts:
        for query in trial.queries:
            apart = np.linalg.norm(description.vectors - description.vectors[query], axis=1)
            apart[slices.sample == slices.sample[query]] = np.inf
            hits.append(slices.reservoir[apart.argmin()] == slices.reservoir[query])
            assert result.retrieved[query][0] == apart.argmin()
        assert description.predicted is not None
        guessed[trial.queries] = description.predicted.porosity[trial.queries]
    key = FigureKey(Measure.PRECISION, Case.SAMPLE_OUT, "1")
    assert result.statistics[key].value == pytest.approx(np.mean(hits))
    known = np.isfinite(slices.porosity)
    r2 = r2_score(slices.porosity[known], guessed[known])
    assert result.statistics[FigureKey("R²", "porosity per slice")].value == pytest.approx(r2)
    assert FigureKey(Measure.PRECISION, Case.SAMPLE_OUT, "8") in result.statistics


def test_one_model_in_every_fold_is_that_model() -> None:
    slices = made()
    description = described(slices, 7)
    trials = fold_trials(slices, draw_folds(slices, FOLDS))
    pooled = measure_folds([Asked(description, trial) for trial in trials])
    every = np.arange(len(slices))
    alone = measure(description, Trial(slices=slices, queries=every, database=every))
    assert pooled.statistics.keys() == alone.statistics.keys()
    for key, statistic in alone.statistics.items():
        assert pooled.statistics[key].interval() == statistic.interval()
    assert np.array_equal(pooled.retrieved, alone.retrieved)


def test_pictures_are_of_the_fold_that_answers() -> None:
    slices = made()
    trials = fold_trials(slices, draw_folds(slices, FOLDS))
    parts = [Asked(described(slices, fold), trial) for fold, trial in enumerate(trials)]
    result = measure_folds(parts)
    every = np.arange(len(slices))
    whole = Trial(slices=slices, queries=every, database=every)
    description, trial = parts[2]
    query = int(trial.queries[0])
    apart = np.linalg.norm(description.vectors - description.vectors[query], axis=1)
    apart[slices.reservoir == slices.reservoir[query]] = np.inf
    views = find_views(whole, result, query=query)
    assert views[View.OTHER_RESERVOIRS][0].row == apart.argmin()


def test_folds_that_do_not_fit_are_refused() -> None:
    slices = made()
    trials = fold_trials(slices, draw_folds(slices, FOLDS))
    description = described(slices, 0)
    with pytest.raises(EvaluationError, match="folds share queries"):
        measure_folds([Asked(description, trials[0]), Asked(description, trials[0])])
    with pytest.raises(EvaluationError, match="described on other slices"):
        measure_folds([Asked(replace(description, slices_id="0"), trials[0])])
