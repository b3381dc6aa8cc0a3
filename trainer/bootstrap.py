"""Intervals of figures: bootstrap over samples, since slices of one sample are not independent.

Shapes: Q slices, G samples, M sums, B resamples.

A figure is a formula of sums over slices, so a resample needs only how often each sample was drawn:
B x G counts times G x M sums. Percentile intervals (Efron & Tibshirani 1993, chapter 13); whole
samples are drawn ("cluster bootstrap", Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from trainer.rankings import MeasureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
SAMPLES_MIN = 4
"""Of fewer measured samples no interval is made: what is drawn from one or two hardly differs, so
that chance would pass for certainty."""

_DRAWS_KEPT = 1 << 22
"""Counts of one set of resamples that are held at a time (32 MiB)."""


class Formula(StrEnum):
    """How a figure follows from sums."""

    MEAN = "mean"
    """Sum / count, of (sum, count)."""
    R2 = "R²"
    """1 - residual / total squares, of (residual squares, count, sum, sum of squares)."""

    def of(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the figure.

        Args:
            sums: (..., M).

        Returns:
            (...); NaN where nothing was measured, or nothing differs.
        """
        if self is Formula.MEAN:
            total, count = np.moveaxis(sums, -1, 0)
            return _quotient(total, count, where=count > 0)
        residual, count, total, squares = np.moveaxis(sums, -1, 0)
        spread = squares - total**2 / np.maximum(count, 1.0)
        varied = spread > 1e-12 * np.maximum(squares, np.finfo(np.float64).tiny)
        return 1.0 - _quotient(residual, spread, where=varied)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure; NaN where there was nothing to measure.
        low: Lower end; NaN where fewer than ``SAMPLES_MIN`` samples were measured.
        high: Upper end; NaN as the lower one.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistic:
    """A figure as sums of each sample.

    Attributes:
        groups: (G,) samples, ascending.
        sums: (G, M).
        formula: What follows from the sums over all samples.
    """

    groups: NDArray[np.int64]
    sums: NDArray[np.float64]
    formula: Formula

    @property
    def value(self) -> float:
        """The figure over all samples."""
        return float(self.formula.of(self.sums.sum(axis=0)))

    @property
    def measured(self) -> tuple[int, int]:
        """Slices, or points, that the figure is of, and samples that they are of."""
        counts = self.sums[:, 1]  # of either formula
        return round(float(counts.sum())), int((counts > 0).sum())

    def interval(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
        """Bootstrap the figure.

        Args:
            resamples: B.
            seed: The same seed gives the same interval.
        """
        if self.measured[1] < SAMPLES_MIN:
            return _no_interval(self.value)
        return _interval(self.value, _resample(self, resamples, seed=seed))

    def difference(
        self, other: Statistic, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> Interval:
        """Bootstrap this figure less another, of the same slices: each resample draws for both.

        Samples that only one of them measured, such as where a model predicts nothing, are left
        out: a model must not seem better by being silent on hard ones.

        Args:
            other: Figure of another model.
            resamples: B.
            seed: The same seed gives the same interval.

        Raises:
            MeasureError: The two are of different samples, or by different formulas.
        """
        if not np.array_equal(self.groups, other.groups) or self.formula != other.formula:
            raise MeasureError(
                f"paired differences need the same samples and formula on both sides, found "
                f"{len(self.groups)} and {len(other.groups)} samples, {self.formula} and "
                f"{other.formula}; measure both models on the same slices"
            )
        both = (self.sums[:, 1] > 0) & (other.sums[:, 1] > 0)
        ours, theirs = self._of(both), other._of(both)
        value = ours.value - theirs.value
        if both.sum() < SAMPLES_MIN:
            return _no_interval(value)
        differences = _resample(ours, resamples, seed=seed) - _resample(
            theirs, resamples, seed=seed
        )
        return _interval(value, differences)

    def _of(self, samples: NDArray[np.bool_]) -> Statistic:
        """The figure of some samples; the others stay, as samples without anything measured."""
        return replace(self, sums=np.where(samples[:, np.newaxis], self.sums, 0.0))


def mean_statistic(values: NDArray[np.float64], samples: NDArray[np.int64]) -> Statistic:
    """Mean over slices.

    Args:
        values: (Q,), NaN where there is nothing to measure.
        samples: (Q,).
    """
    known = np.isfinite(values)
    columns = np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=1)
    return _grouped(columns, samples, formula=Formula.MEAN)


def r2_statistic(
    measured: NDArray[np.float64], predicted: NDArray[np.float64], *, samples: NDArray[np.int64]
) -> Statistic:
    """Coefficient of determination of predictions.

    Args:
        measured: (Q,), NaN where not measured.
        predicted: (Q,), NaN where not predicted.
        samples: (Q,).
    """
    known = np.isfinite(measured) & np.isfinite(predicted)
    centre = float(measured[known].mean()) if known.any() else 0.0
    # Centred, so that squares don't cancel: a shift of all slices alike changes no R².
    truth = np.where(known, measured - centre, 0.0)
    residual = np.where(known, measured - predicted, 0.0)
    columns = np.stack([residual**2, known.astype(np.float64), truth, truth**2], axis=1)
    return _grouped(columns, samples, formula=Formula.R2)


def average_runs(statistics: Sequence[Statistic]) -> Statistic:
    """Average runs of one recipe, each measured on the same slices.

    Args:
        statistics: Of each run, at least one.

    Returns:
        A statistic whose value is the mean of theirs, where all measured the same slices.

    Raises:
        MeasureError: They are of different samples, or by different formulas.
    """
    first = statistics[0]
    for other in statistics[1:]:
        if not np.array_equal(first.groups, other.groups) or first.formula != other.formula:
            raise MeasureError("runs to average were measured on different samples; measure again")
    sums = np.mean([statistic.sums for statistic in statistics], axis=0)
    return Statistic(groups=first.groups, sums=sums, formula=first.formula)


def _quotient(
    above: NDArray[np.float64], below: NDArray[np.float64], *, where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return np.asarray(above / np.where(where, below, np.nan))


def _grouped(
    columns: NDArray[np.float64], samples: NDArray[np.int64], *, formula: Formula
) -> Statistic:
    groups, rows = np.unique(samples, return_inverse=True)
    sums = np.zeros((len(groups), columns.shape[1]))
    np.add.at(sums, rows, columns)
    return Statistic(groups=groups, sums=sums, formula=formula)


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return _no_interval(value)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def _no_interval(value: float) -> Interval:
    return Interval(value=value, low=float("nan"), high=float("nan"))


def _resample(statistic: Statistic, resamples: int, *, seed: int) -> NDArray[np.float64]:
    """The figure of each resample: (B,)."""
    number = len(statistic.groups)
    if not number:
        return np.full(resamples, np.nan)
    parts = [counts @ statistic.sums for counts in _draws(number, resamples, seed=seed)]
    return statistic.formula.of(np.concatenate(parts))


def _draws(number: int, resamples: int, *, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each sample is drawn, some resamples at a time: (b, G)."""
    if number * resamples <= _DRAWS_KEPT:
        yield _few_draws(number, resamples, seed=seed)
        return
    random = np.random.default_rng(seed)
    step = max(1, _DRAWS_KEPT // number)
    for start in range(0, resamples, step):
        yield _draw(random, number, resamples=min(step, resamples - start))


@lru_cache(maxsize=2)
def _few_draws(number: int, resamples: int, *, seed: int) -> NDArray[np.float64]:
    return _draw(np.random.default_rng(seed), number, resamples=resamples)


def _draw(random: np.random.Generator, number: int, *, resamples: int) -> NDArray[np.float64]:
    drawn = random.integers(number, size=(resamples, number))
    places = drawn + number * np.arange(resamples)[:, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=number * resamples)
    return counts.reshape(resamples, number).astype(np.float64)
