from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slice_samples import make_slices
from trainer.slice_set import channel_statistics

SLICES = make_slices(reservoirs=2, samples=3, slices=4, size=6)


def test_a_subset_keeps_rows_together() -> None:
    chosen = np.array([20, 3, 3, 11])
    some = SLICES.subset(chosen)
    assert len(some) == 4
    for name in ("pixels", "scan", "number", "sample", "porosity", "pixel_size_um"):
        np.testing.assert_array_equal(getattr(some, name), getattr(SLICES, name)[chosen])
    assert some.sample_names == SLICES.sample_names
    assert [some.name_of(row) for row in range(4)] == [SLICES.name_of(row) for row in chosen]


def test_a_subset_of_nothing_is_empty() -> None:
    assert len(SLICES.subset([])) == 0


def test_a_range_costs_no_memory() -> None:
    assert np.shares_memory(SLICES.subset(range(4, 9)).pixels, SLICES.pixels)


def test_a_slice_is_named_by_its_file() -> None:
    assert SLICES.name_of(5) == "R0/S1/scan.tif, slice 1"


def test_the_fingerprint_tells_what_is_in_which_row() -> None:
    again = make_slices(reservoirs=2, samples=3, slices=4, size=6, seed=1)  # other pixels only
    assert SLICES.fingerprint() == again.fingerprint()
    reversed_rows = SLICES.subset(np.arange(len(SLICES))[::-1])
    others = [
        reversed_rows,
        SLICES.subset(range(8)),
        replace(SLICES, sample_names=("A", *SLICES.sample_names[1:])),
        replace(SLICES, label=SLICES.reservoir),
    ]
    assert len({SLICES.fingerprint(), *(other.fingerprint() for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pixels": SLICES.pixels[..., 0]}, "pixels must be"),
        ({"porosity": np.zeros(3)}, "porosity has 3 rows, pixels 24"),
        ({"sample_names": ("A",)}, "sample must index its 1 names"),
        ({"permeability_md": np.zeros(24)}, "permeability of 0"),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(SLICES, **changes)  # type: ignore[arg-type]  # wrong on purpose


def test_statistics_are_those_of_all_chosen_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SLICES.pixels.shape).astype(np.uint8)
    pixels[..., 2] //= 4
    slices = replace(SLICES, pixels=pixels)
    chosen = np.array([7, 1, 22])
    mean, std = channel_statistics(slices, chosen)
    values = pixels[chosen] / 255.0
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(axis=(0, 1, 2)), rtol=1e-12)


def test_the_deviation_of_one_level_is_no_zero() -> None:
    """Dividing by it must give numbers."""
    mean, std = channel_statistics(replace(SLICES, pixels=np.full_like(SLICES.pixels, 51)), [0])
    assert mean == pytest.approx((0.2, 0.2, 0.2))
    assert std == pytest.approx((1 / 255,) * 3)
    with pytest.raises(ValueError, match="at least one slice"):
        channel_statistics(SLICES, [])
