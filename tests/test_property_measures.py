"""Property figures, against scikit-learn, plain loops and values made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from trainer.figures import FigureKey
from trainer.property_measures import (
    PropertyValues,
    average_by_sample,
    prediction_statistics,
    retrieval_statistics,
)

NAN = math.nan


def test_slices_are_scored_as_scikit_learn_does_on_each_scale() -> None:
    rng = np.random.default_rng(0)
    measured = PropertyValues(rng.uniform(0.05, 0.35, 60), 10.0 ** rng.normal(2, 1, 60))
    predicted = PropertyValues(
        measured.porosity + rng.normal(scale=0.02, size=60),
        measured.permeability_md * 10.0 ** rng.normal(scale=0.3, size=60),
    )
    found = prediction_statistics(measured, predicted, samples=np.arange(60) // 4)
    pairs = {
        "porosity": (measured.porosity, predicted.porosity, "fraction"),
        "permeability": (measured.permeability_md, predicted.permeability_md, "mD"),
        "log10 permeability": (
            np.log10(measured.permeability_md),
            np.log10(predicted.permeability_md),
            "decades",
        ),
    }
    for name, (true, guessed, unit) in pairs.items():
        scope = f"{name} per slice"
        assert found[FigureKey("R²", scope)].value == pytest.approx(r2_score(true, guessed))
        error = found[FigureKey(f"MAE ({unit})", scope)].value
        assert error == pytest.approx(mean_absolute_error(true, guessed))


def test_a_samples_predictions_are_averaged_before_they_are_scored() -> None:
    """Errors of two slices cancel: 10 and 1000 mD are 100 mD on average, as logarithms go."""
    measured = PropertyValues(np.array([0.2, 0.2, 0.3, 0.3]), np.array([100.0, 100.0, 1.0, 1.0]))
    predicted = PropertyValues(
        np.array([0.1, 0.3, 0.25, 0.35]), np.array([10.0, 1000.0, 0.1, 10.0])
    )
    found = prediction_statistics(measured, predicted, samples=np.array([7, 7, 3, 3]))
    for quantity, unit in (
        ("porosity", "fraction"),
        ("permeability", "mD"),
        ("log10 permeability", "decades"),
    ):
        assert found[FigureKey("R²", f"{quantity} per sample")].value == pytest.approx(1.0)
        error = found[FigureKey(f"MAE ({unit})", f"{quantity} per sample")].value
        assert error == pytest.approx(0.0, abs=1e-12)
        assert found[FigureKey("R²", f"{quantity} per slice")].value < 1.0


def test_what_is_not_measured_or_not_positive_counts_for_nothing() -> None:
    measured = PropertyValues(np.array([0.1, NAN, 0.3, 0.2]), np.array([0.0, 10.0, NAN, 1000.0]))
    predicted = PropertyValues(np.array([0.2, 9.0, 0.3, 0.2]), np.array([5.0, 10.0, 5.0, 100.0]))
    found = prediction_statistics(measured, predicted, samples=np.arange(4))
    assert found[FigureKey("MAE (fraction)", "porosity per slice")].value == pytest.approx(0.1 / 3)
    assert found[FigureKey("MAE (mD)", "permeability per slice")].value == pytest.approx(450.0)
    logs = found[FigureKey("MAE (decades)", "log10 permeability per slice")].value
    assert logs == pytest.approx(0.5)
    nothing = PropertyValues(np.full(4, NAN), np.full(4, NAN))
    assert prediction_statistics(measured, nothing, samples=np.arange(4)) == {}


def test_samples_without_values_have_no_average() -> None:
    values = PropertyValues(np.array([NAN, 0.1, 0.3]), np.array([NAN, NAN, 4.0]))
    groups, averages = average_by_sample(values, np.array([5, 2, 2]))
    assert groups.tolist() == [2, 5]
    np.testing.assert_allclose(averages.porosity, [0.2, NAN])
    np.testing.assert_allclose(averages.permeability_md, [4.0, NAN])


def test_distance_to_the_diagonal_is_that_to_the_nearest_point_on_it() -> None:
    query = PropertyValues(np.array([0.1, 0.3]), np.array([10.0, 100.0]))
    rows = PropertyValues(np.array([0.2, 0.3, 0.4]), np.array([1000.0, NAN, 1.0]))
    first, second = rows.at(np.array([0, 2])), rows.at(np.array([1, -1]))
    found = retrieval_statistics(query, [first, second], samples=np.arange(2))
    line = np.linspace(-5, 5, 1_000_001)

    def nearest(x: float, y: float) -> float:
        return float(np.hypot(line - x, line - y).min())

    def figure(quantity: str, unit: str, rank: int) -> float:
        scope = f"{quantity}, query against retrieved"
        key = FigureKey(f"distance to the diagonal ({unit})", scope, f"top-{rank}")
        return found[key].value

    expected = (nearest(0.1, 0.2) + nearest(0.3, 0.4)) / 2
    assert figure("porosity", "fraction", 1) == pytest.approx(expected, abs=1e-5)
    expected = (nearest(1, 3) + nearest(2, 0)) / 2
    assert figure("log10 permeability", "decades", 1) == pytest.approx(expected, abs=1e-5)
    assert figure("porosity", "fraction", 2) == pytest.approx(nearest(0.1, 0.3), abs=1e-5)
    assert len(found) == 3  # no permeability in second place
