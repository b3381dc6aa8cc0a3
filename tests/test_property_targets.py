from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from encoder.property_targets import DEFAULT_TARGETS, ROCKIR_TARGETS, PropertyTarget

NAN = math.nan
POROSITY, PERMEABILITY = DEFAULT_TARGETS


def test_porosity_is_scaled_between_the_least_and_the_greatest_measured() -> None:
    target = POROSITY.fit(torch.tensor([0.3, NAN, 0.1, 0.2]))
    assert (target.low, target.high) == pytest.approx((0.1, 0.3))
    scaled = target.scaled(torch.tensor([0.1, 0.25, NAN, 0.4]))
    torch.testing.assert_close(
        scaled,
        torch.tensor([0.0, 0.75, NAN, 1.5], dtype=torch.float64),
        equal_nan=True,
        rtol=1e-5,
        atol=1e-6,
    )


def test_permeability_is_scaled_by_its_logarithm_and_none_counts_as_not_measured() -> None:
    target = PERMEABILITY.fit(torch.tensor([0.0, 1.0, 1000.0, NAN, -5.0]))
    assert (target.low, target.high) == (0.0, 3.0)
    scaled = target.scaled(torch.tensor([10.0, 0.0, 1e6, -1.0]))
    assert scaled.tolist() == pytest.approx([1 / 3, NAN, 2.0, NAN], nan_ok=True)


@pytest.mark.parametrize("target", [POROSITY, PERMEABILITY, ROCKIR_TARGETS[1]])
def test_restoring_is_the_inverse_of_scaling(target: PropertyTarget) -> None:
    values = torch.tensor([0.02, 0.11, 0.35, 0.9], dtype=torch.float64)
    sizes = torch.tensor([0.7, 2.0, 3.5, 10.0], dtype=torch.float64)
    fitted = target.fit(values, sizes)
    restored = fitted.restored(fitted.scaled(values, sizes), sizes)
    assert restored is not None
    torch.testing.assert_close(restored, values)


def test_voxel_permeability_is_that_of_the_published_code() -> None:
    """log10(k / pixel²) / 5, from RockIR's data loader."""
    scaled = ROCKIR_TARGETS[1].scaled(torch.tensor([250.0]), 2.0)
    assert scaled.item() == pytest.approx(math.log10(250.0 / 4.0) / 5.0)


def test_an_unknown_pixel_size_is_never_guessed() -> None:
    target = ROCKIR_TARGETS[1]
    assert target.restored(torch.tensor([0.1])) is None
    restored = target.restored(torch.tensor([0.1, 0.1, 0.1]), torch.tensor([NAN, 0.0, 1.0]))
    assert restored is not None
    assert restored.isnan().tolist() == [True, True, False]
    assert target.scaled(torch.tensor([5.0])).isnan().all()


def test_porosity_stays_between_zero_and_one() -> None:
    target = PropertyTarget(name="porosity", scale="linear", low=0.0, high=0.5)
    restored = target.restored(torch.tensor([-1.0, 0.5, 7.0]))
    assert restored is not None
    assert restored.tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("target", [PERMEABILITY.fit(torch.tensor([1.0, 10.0])), ROCKIR_TARGETS[1]])
def test_absurd_outputs_give_finite_permeability(target: PropertyTarget) -> None:
    restored = target.restored(torch.tensor([1e6, -1e6, 0.0]), 2.0)
    assert restored is not None
    assert restored.isfinite().all()
    assert restored[:2].tolist() == [torch.finfo(torch.float64).max, 0.0]


def test_nothing_measured_leaves_a_target_without_meaning() -> None:
    target = POROSITY.fit(torch.tensor([NAN, NAN]))
    assert not target.is_fitted
    assert target.restored(torch.tensor([0.3])) is None
    with pytest.raises(ValueError, match="porosity: scaled before its range was fitted"):
        target.scaled(torch.tensor([0.3]))


def test_a_single_measured_value_scales_to_the_middle() -> None:
    target = POROSITY.fit(torch.tensor([0.2, 0.2]))
    assert target.scaled(torch.tensor([0.2])).item() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.1, None), (0.3, 0.1), (0.2, 0.2), (0.0, math.inf)])
def test_ranges_that_are_none_are_refused(low: float, high: float | None) -> None:
    with pytest.raises(ValidationError):
        PropertyTarget(name="porosity", scale="linear", low=low, high=high)
