from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.errors import ScanError, ScanFault
from encoder.windows import MAX_SAMPLES, Window, WindowMeter, WindowRule, quantiles

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def measure(*planes: NDArray[Any], rule: WindowRule = "percentile") -> Window:
    n_values = sum(plane.size for plane in planes)
    meter = WindowMeter("rock.tif", rule, n_values=n_values, width=planes[0].shape[1])
    for plane in planes:
        meter.add(plane)
    return meter.window()


def rock(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """A narrow histogram with a few bright grains, as micro-CT has."""
    generator = np.random.default_rng(seed)
    grey = generator.normal(100, 12, shape)
    grey[generator.random(shape) < 0.002] = 250
    return grey.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i8", "f2", "f4", "f8", "?"])
@pytest.mark.parametrize("n", [1, 2, 3, 999, 1001, 70_001])
def test_quantiles_equal_numpy(dtype: str, n: int) -> None:
    values = (np.random.default_rng(n).random(n) * 200).astype(dtype)
    expected = np.quantile(values.astype(np.float64), [0.001, 0.5, 0.999])
    assert quantiles(values.copy(), 0.001, 0.5, 0.999) == pytest.approx(expected, rel=1e-12)


def test_window_is_joint_over_planes_and_channels() -> None:
    dark, bright = rock((64, 80, 3)), rock((64, 80, 3), seed=1) // 2
    both = np.concatenate([dark.ravel(), bright.ravel()]).astype(np.float64)
    window = measure(dark, bright)
    assert (window.low, window.high) == pytest.approx(tuple(np.quantile(both, [0.001, 0.999])))


@pytest.mark.parametrize("shape", [(64, 80), (301, 299, 3), (28, 28, 3), (2200, 3900)])
def test_same_picture_in_other_types_gives_same_levels(shape: tuple[int, ...]) -> None:
    eight = rock(shape)
    levels = measure(eight).apply(eight).astype(int)
    assert len(np.unique(levels)) > 20
    twins: list[NDArray[Any]] = [
        eight.astype(np.uint16) * 257,
        (eight.astype(np.int32) * 257 - 32768).astype(np.int16),
        eight.astype(np.uint32) * 16_843_009,
        eight.astype(np.float32) / 255,
        eight.astype(np.float64) / 255,
        eight.astype(np.float64) * 1e300 / 255,
    ]
    for twin in twins:
        difference = np.abs(measure(twin).apply(twin).astype(int) - levels)
        assert difference.max() <= 1, twin.dtype


def test_large_scan_is_subsampled_evenly() -> None:
    plane = rock((3000, 4096))  # more values than are sampled; a width that strides could follow
    plane[:, ::2] += 5
    assert plane.size > MAX_SAMPLES
    window = measure(plane)
    exact = np.quantile(plane.astype(np.float64), [0.001, 0.999])
    assert (window.low, window.high) == pytest.approx(tuple(exact), abs=1.0)


def test_levels_equal_formula() -> None:
    values = np.linspace(-5, 5, 2001).reshape(3, -1)
    expected = np.round(np.clip((values + 2) / 5, 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(Window(low=-2.0, high=3.0).apply(values), expected)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_table_of_levels_equals_formula(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.arange(limits.min, limits.max + 1, dtype=dtype).reshape(16, -1)
    window = Window(low=limits.min / 2 + 3.3, high=limits.max / 2)
    assert np.array_equal(window.apply(values), window.apply(values.astype(np.float64)))


def test_binary_image_is_black_and_white() -> None:
    pores = np.random.default_rng(0).random((128, 128)) < 0.2
    levels = measure(pores).apply(pores)
    assert np.array_equal(levels, np.where(pores, 255, 0))


def test_rare_grains_on_an_even_ground_fall_back_to_extremes() -> None:
    plane = np.full((100, 100), 7, np.uint16)
    plane[50, 50] = 9
    assert measure(plane) == Window(low=7.0, high=9.0)


def test_even_ground_next_to_another_even_ground_is_a_texture() -> None:
    window = measure(np.full((8, 8), 0.1), np.full((8, 8), 0.1 + 1e-9))
    assert window.low < window.high


@pytest.mark.parametrize("value", [0, 7, 1e-320, 0.1, 1e300])
def test_constant_scan_is_refused(value: float) -> None:
    with pytest.raises(ScanError, match=r"rock\.tif: .*no texture") as caught:
        measure(np.full((50, 60), value), np.full((50, 60), value))
    assert caught.value.fault is ScanFault.CONSTANT


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_values_that_are_not_finite_are_refused(bad: float, dtype: str) -> None:
    plane = rock((40, 40)).astype(dtype)
    plane[3, 5:7] = bad
    with pytest.raises(ScanError, match="2 values of a plane are NaN or infinite") as caught:
        measure(rock((40, 40)).astype(dtype), plane)
    assert caught.value.fault is ScanFault.NOT_FINITE


@pytest.mark.parametrize(
    ("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (1e300, 1.0000001e300)]
)
def test_extreme_floats_give_all_levels(low: float, high: float) -> None:
    odd = np.arange(600).reshape(20, 30) % 2 == 1
    plane = np.array([low, high])[odd.astype(int)]
    levels = measure(plane).apply(plane)
    assert np.array_equal(levels, np.where(odd, 255, 0))


@pytest.mark.parametrize("dtype", [np.complex64, "S4", [("x", "u1")]])
def test_types_without_grey_values_are_refused(dtype: DTypeLike) -> None:
    with pytest.raises(ScanError) as caught:
        measure(np.zeros((8, 8), dtype=dtype))
    assert caught.value.fault is ScanFault.UNSUPPORTED


def test_rule_none_leaves_calibrated_data_alone() -> None:
    plane = rock((30, 40))
    window = measure(plane, rule="none")
    assert (window.low, window.high, window.rule) == (0.0, 255.0, "none")
    assert np.array_equal(window.apply(plane), plane)
    with pytest.raises(ScanError, match="no texture"):
        measure(np.full((30, 40), 7, np.uint8), rule="none")


def test_rule_none_refuses_other_types() -> None:
    with pytest.raises(ScanError, match='window "percentile"') as caught:
        measure(rock((30, 40)).astype(np.uint16), rule="none")
    assert caught.value.fault is ScanFault.UNSUPPORTED


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_values_that_only_floats_take_for_equal_are_not_called_constant(dtype: str) -> None:
    plane = np.full((8, 9), 1 << 60, dtype)
    with pytest.raises(ScanError, match="there is no texture") as told:
        measure(plane)
    assert told.value.fault is ScanFault.CONSTANT
    plane[3, 4] += 1
    with pytest.raises(ScanError, match=f"{1 << 60} to {(1 << 60) + 1}, are too close") as told:
        measure(plane)
    assert told.value.fault is ScanFault.UNSUPPORTED
    assert measure(plane - np.asarray(1 << 60, dtype)).high > 0.5  # the remedy works
