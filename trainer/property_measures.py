"""How well properties are predicted, and how alike those of retrieved slices are.

Shapes: N slices, G samples. Porosity is a fraction, permeability in millidarcy; NaN stands for not
measured, or not predicted.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trainer.bootstrap import Statistic, mean_statistic, r2_statistic
from trainer.figures import FigureKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Quantity(StrEnum):
    """A property on the scale that it is compared on."""

    POROSITY = "porosity"
    LOG_PERMEABILITY = "log10 permeability"
    PERMEABILITY = "permeability"

    @property
    def unit(self) -> str:
        """Unit of differences."""
        return {"porosity": "fraction", "permeability": "mD"}.get(self.value, "decades")


COMPARED = (Quantity.POROSITY, Quantity.LOG_PERMEABILITY)
"""What rocks are compared by: permeabilities span decades."""


class Level(StrEnum):
    """What one point of a cross plot is."""

    SLICE = "per slice"
    SAMPLE = "per sample"
    """Predictions averaged over a sample's slices, permeability as its logarithm."""


class PropertyValues(NamedTuple):
    """Properties of N slices, or G samples.

    Attributes:
        porosity: (N,).
        permeability_md: (N,); 0 and less counts as not measured.
    """

    porosity: NDArray[np.float64]
    permeability_md: NDArray[np.float64]

    def of(self, quantity: Quantity) -> NDArray[np.float64]:
        """(N,) on a quantity's scale, NaN where it is not known."""
        if quantity is Quantity.POROSITY:
            return self.porosity
        known = np.where(self.permeability_md > 0, self.permeability_md, np.nan)
        return known if quantity is Quantity.PERMEABILITY else np.asarray(np.log10(known))

    def at(self, rows: NDArray[np.int64]) -> PropertyValues:
        """Values of some rows; -1 stands for none and gives NaN."""
        there = rows >= 0
        return PropertyValues(*(np.where(there, values[rows], np.nan) for values in self))


def prediction_statistics(
    measured: PropertyValues, predicted: PropertyValues, *, samples: NDArray[np.int64]
) -> dict[FigureKey, Statistic]:
    """R² and mean absolute error of each quantity, of slices and of samples (Figs 4 and 5).

    Args:
        measured: Of N slices.
        predicted: Of the same.
        samples: (N,).

    Returns:
        Figures of what was both measured and predicted; others are left out.
    """
    numbers, by_sample = average_by_sample(predicted, samples)
    _, truth_by_sample = average_by_sample(measured, samples)
    found: dict[FigureKey, Statistic] = {}
    for level, truth, guess, groups in (
        (Level.SLICE, measured, predicted, samples),
        (Level.SAMPLE, truth_by_sample, by_sample, numbers),
    ):
        for quantity in Quantity:
            true, guessed = truth.of(quantity), guess.of(quantity)
            error = np.abs(true - guessed)
            if not np.isfinite(error).any():
                continue
            scope = f"{quantity} {level}"
            found[FigureKey("R²", scope)] = r2_statistic(true, guessed, samples=groups)
            found[FigureKey(f"MAE ({quantity.unit})", scope)] = mean_statistic(error, groups)
    return found


def retrieval_statistics(
    queries: PropertyValues,
    retrieved: Sequence[PropertyValues],
    *,
    samples: NDArray[np.int64],
) -> dict[FigureKey, Statistic]:
    """Mean perpendicular distance to the diagonal of query against retrieved (Figs 6-8).

    Args:
        queries: Of Q queries.
        retrieved: Of the slice that each query found first, second, and so on.
        samples: (Q,) of the queries.

    Returns:
        A figure for each rank and quantity that is measured on both sides anywhere.
    """
    found = {}
    for rank, values in enumerate(retrieved, start=1):
        for quantity in COMPARED:
            distances = diagonal_distance(queries.of(quantity), values.of(quantity))
            if np.isfinite(distances).any():
                key = FigureKey(
                    f"distance to the diagonal ({quantity.unit})",
                    f"{quantity}, query against retrieved",
                    f"top-{rank}",
                )
                found[key] = mean_statistic(distances, samples)
    return found


def diagonal_distance(
    ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of points from the line on which both coordinates are equal: |a - b| / √2.

    Args:
        ours: (N,) in the unit of both axes.
        theirs: (N,).

    Returns:
        (N,) in that unit; NaN where one of the two is.
    """
    return np.asarray(np.abs(ours - theirs) / math.sqrt(2.0))


def average_by_sample(
    values: PropertyValues, samples: NDArray[np.int64]
) -> tuple[NDArray[np.int64], PropertyValues]:
    """Average over each sample's slices: porosity plainly, permeability geometrically.

    Args:
        values: Of N slices.
        samples: (N,).

    Returns:
        (G,) samples, ascending, and their values; NaN where no slice has one.
    """
    groups, rows = np.unique(samples, return_inverse=True)

    def averaged(quantity: Quantity) -> NDArray[np.float64]:
        slices = values.of(quantity)
        known = np.isfinite(slices)
        total = np.bincount(rows[known], slices[known], minlength=len(groups))
        count = np.bincount(rows[known], minlength=len(groups))
        return np.asarray(total / np.where(count > 0, count, np.nan))

    log_permeability = averaged(Quantity.LOG_PERMEABILITY)
    return groups, PropertyValues(averaged(Quantity.POROSITY), 10.0**log_permeability)
