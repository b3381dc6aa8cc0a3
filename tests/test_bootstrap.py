"""Bootstrap intervals, against scipy, scikit-learn and resampling one sample at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]  # ships no types
from sklearn.metrics import r2_score

from trainer import bootstrap
from trainer.bootstrap import average_runs, mean_statistic, r2_statistic
from trainer.measures import MeasureError
from trainer.report_tables import bounds, short_bounds


def test_interval_of_a_mean_is_that_of_scipy_where_every_slice_is_a_sample() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=80)
    ours = mean_statistic(values, np.arange(80)).interval(resamples=20000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_whole_samples_are_drawn() -> None:
    """Slices that all say the same of their sample must not make the interval narrower."""
    values = np.random.default_rng(2).normal(size=30)
    single = mean_statistic(values, np.arange(30)).interval()
    repeated = mean_statistic(np.repeat(values, 50), np.repeat(np.arange(30), 50)).interval()
    assert repeated.low == pytest.approx(single.low)
    assert repeated.high == pytest.approx(single.high)


def test_r2_and_its_interval_are_those_of_drawing_slices_again() -> None:
    rng = np.random.default_rng(3)
    samples = rng.integers(12, size=100)
    measured = 100.0 + rng.normal(size=12)[samples]  # far from 0: squares must not cancel
    predicted = measured + rng.normal(scale=0.3, size=100)
    measured[:5] = np.nan
    statistic = r2_statistic(measured, predicted, samples=samples)
    assert statistic.value == pytest.approx(r2_score(measured[5:], predicted[5:]))
    drawn = []
    for _ in range(3000):
        rows = np.concatenate([np.flatnonzero(samples == s) for s in rng.choice(12, size=12)])
        rows = rows[np.isfinite(measured[rows])]
        drawn.append(r2_score(measured[rows], predicted[rows]))
    interval = statistic.interval(resamples=3000)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval.low == pytest.approx(low, abs=0.02)
    assert interval.high == pytest.approx(high, abs=0.02)


def test_paired_differences_see_what_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(4)
    samples = np.repeat(np.arange(40), 3)
    base = rng.normal(size=40)[samples] + 0.05 * rng.normal(size=120)
    one, other = mean_statistic(base + 0.1, samples), mean_statistic(base, samples)
    assert one.interval().low < other.interval().high
    paired = one.difference(other)
    assert paired.value == pytest.approx(0.1)
    assert paired.low == pytest.approx(0.1, abs=1e-9)
    with pytest.raises(MeasureError, match="same samples"):
        one.difference(mean_statistic(base[:60], samples[:60]))


def test_differences_are_of_samples_that_both_measure() -> None:
    rng = np.random.default_rng(8)
    samples = np.arange(12)
    errors = rng.random(12)
    errors[6:] += 5.0  # hard ones, of which the other says nothing
    easy = np.where(samples < 6, errors + 0.1, np.nan)
    one, other = mean_statistic(easy, samples), mean_statistic(errors, samples)
    assert one.value < other.value
    for found, sign in ((one.difference(other), 1), (other.difference(one), -1)):
        ends = (found.value, found.low, found.high)
        assert [sign * end for end in ends] == pytest.approx([0.1] * 3)
    neither = np.where(samples < 6, np.nan, errors)
    assert math.isnan(one.difference(mean_statistic(neither, samples)).value)


def test_runs_average_to_the_mean_of_their_figures() -> None:
    rng = np.random.default_rng(5)
    samples, measured = np.arange(30) // 3, rng.normal(size=30)
    runs = [
        r2_statistic(measured, measured + rng.normal(size=30), samples=samples) for _ in range(3)
    ]
    assert average_runs(runs).value == pytest.approx(np.mean([run.value for run in runs]))
    with pytest.raises(MeasureError, match="different samples"):
        average_runs([runs[0], r2_statistic(measured[:9], measured[:9], samples=samples[:9])])


def test_nothing_measured_gives_no_figure() -> None:
    empty = mean_statistic(np.full(4, np.nan), np.arange(4))
    assert math.isnan(empty.value)
    assert math.isnan(empty.interval().low)
    flat = r2_statistic(np.full(4, 0.2), np.full(4, 0.2), samples=np.arange(4))
    assert math.isnan(flat.value)
    assert math.isnan(mean_statistic(np.empty(0), np.empty(0, np.int64)).interval().high)


def test_the_same_seed_gives_the_same_interval() -> None:
    statistic = mean_statistic(np.random.default_rng(6).normal(size=50), np.arange(50) // 2)
    assert statistic.interval(seed=1) == statistic.interval(seed=1)
    assert statistic.interval(seed=1) != statistic.interval(seed=2)


def test_many_samples_are_drawn_in_parts_and_give_the_same_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statistic = mean_statistic(np.random.default_rng(7).normal(size=300), np.arange(300))
    whole = statistic.interval(resamples=500)
    monkeypatch.setattr(bootstrap, "_DRAWS_KEPT", 300 * 7)
    parts = statistic.interval(resamples=500)
    assert parts.value == whole.value
    assert parts.low == pytest.approx(whole.low, abs=0.02)
    assert parts.high == pytest.approx(whole.high, abs=0.02)


def test_few_measured_samples_give_a_figure_without_an_interval() -> None:
    samples = np.arange(12) // 2
    for known in (1, 3, 4):
        errors = np.where(samples < known, 0.05, np.nan)
        better, worse = mean_statistic(errors, samples), mean_statistic(errors + 1e-4, samples)
        found = worse.difference(better)
        assert found.value == pytest.approx(1e-4)
        assert math.isnan(better.interval().low) == math.isnan(found.low) == (known < 4)
        assert (found.low > 0) == (known == 4)
        assert ("too few samples" in bounds(found)) == (known < 4)
        assert ("few samples" in short_bounds(found)) == (known < 4)
