"""The grey window of a scan: which stored values become black and white (docs/design.md D9).

One window is measured for all slices of a scan together (and for all channels of a colour image,
so that hues keep their meaning): slices stay comparable and tiles have no seams. A window is
measured from order statistics at positions that depend on the scan's shape alone, so that the same
picture stored as 8-bit, as 16-bit (times 257) and as float (divided by 255) gets the same window,
scaled, and thus the same 8-bit slices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from encoder.errors import ScanError, ScanFault

if TYPE_CHECKING:
    from numpy.typing import NDArray

WindowRule: TypeAlias = Literal["percentile", "none"]
"""How a window is found: from percentiles, or not at all (calibrated 8-bit data)."""

LOW_QUANTILE = 0.001
HIGH_QUANTILE = 0.999

MAX_SAMPLES = 1 << 23
"""Values that a window is measured from: all of a scan's, or a regular subsample of this size."""

_CHUNK = 1 << 20  # values converted to float64 at a time, so that temporaries stay at 8 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The stored values that are shown as black and white.

    Attributes:
        low: Stored value that becomes 0; what lies below becomes 0 too.
        high: Stored value that becomes 255; what lies above becomes 255 too.
        rule: How the window was found.
    """

    low: float
    high: float
    rule: WindowRule = "percentile"

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Map stored values to grey levels, rounded to the nearest level.

        Args:
            pixels: Finite values of any real type, of any shape.

        Returns:
            Grey levels of the same shape: 255·(x - low)/(high - low), clipped to 0..255.
        """
        if self.rule == "none":
            return pixels.astype(np.uint8)  # a copy: pixels may be mapped from a file
        if pixels.dtype.kind == "b":
            pixels = pixels.view(np.uint8)
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
            index = pixels.view(f"u{pixels.dtype.itemsize}")
            return np.take(_levels_of_all_values(self, pixels.dtype.newbyteorder("=").str), index)
        levels = np.empty(pixels.shape, np.uint8)
        flat, flat_levels = pixels.reshape(-1), levels.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            flat_levels[chunk] = _levels(self, flat[chunk])
        return levels


class WindowMeter:
    """Measures the window of a scan from its planes, which are shown to it one by one."""

    def __init__(self, source: str, rule: WindowRule, *, n_values: int, width: int) -> None:
        """Start measuring.

        Args:
            source: Name of the scan, for errors.
            rule: How the window is found.
            n_values: Values (pixels times channels) in all planes that will be added.
            width: Width of a plane in pixels, which the subsample must not run parallel to.
        """
        self._source = source
        self._rule = rule
        self._step = _sampling_step(n_values, width)
        self._samples: list[NDArray[Any]] = []
        self._low: float = math.inf  # or a whole number, of any size
        self._high: float = -math.inf

    def add(self, plane: NDArray[Any]) -> None:
        """Take a plane into account.

        Args:
            plane: Stored values, (H, W) or (H, W, 3).

        Raises:
            ScanError: The type isn't a real number (UNSUPPORTED), isn't 8-bit though the rule is
                "none" (UNSUPPORTED), or a value is NaN or infinite (NOT_FINITE).
        """
        self._check_type(plane)
        with np.errstate(invalid="ignore"):  # NaN is what is being looked for
            low, high = plane.min().item(), plane.max().item()  # in full: float64 has 53 bits
        if not (math.isfinite(low) and math.isfinite(high)):
            n_bad = plane.size - int(np.count_nonzero(np.isfinite(plane)))
            raise ScanError(
                self._source,
                ScanFault.NOT_FINITE,
                problem=f"{max(n_bad, 1)} values of a plane are NaN or infinite",
                remedy="replace them by finite values before storing the scan",
            )
        self._low, self._high = min(self._low, low), max(self._high, high)
        if self._rule == "percentile":
            pixels = plane.reshape(plane.shape[0] * plane.shape[1], -1)
            self._samples.append(pixels[:: self._step].reshape(-1).copy())

    def window(self) -> Window:
        """Return the joint window of all planes added.

        Returns:
            The 0.1 % and 99.9 % quantiles; where these are equal (a few bright grains on an even
            ground), the smallest and largest value; 0 to 255 for the rule "none".

        Raises:
            ScanError: All values are equal (CONSTANT), or are equal once they are floats
                (UNSUPPORTED).
        """
        if self._low == self._high:
            raise ScanError(
                self._source,
                ScanFault.CONSTANT,
                problem=f"every pixel has the value {self._low:g}: there is no texture",
                remedy="check that the scan was exported whole, or remove it",
            )
        if self._rule == "none":
            return Window(low=0.0, high=255.0, rule="none")
        samples = np.concatenate(self._samples)
        self._samples.clear()
        low, high = quantiles(samples, LOW_QUANTILE, HIGH_QUANTILE)
        if low == high:
            low, high = float(self._low), float(self._high)
        if low == high:
            raise ScanError(
                self._source,
                ScanFault.UNSUPPORTED,
                problem=f"its values, {self._low} to {self._high}, are too close together for "
                "their size to tell apart in 64-bit floats",
                remedy="subtract the smallest value from all, or export it as 16-bit",
            )
        return Window(low=low, high=high)

    def _check_type(self, plane: NDArray[Any]) -> None:
        if plane.dtype.kind not in "buif":
            raise ScanError(
                self._source,
                ScanFault.UNSUPPORTED,
                problem=f"pixels are of type {plane.dtype}, expected integers or floats",
                remedy="export the scan as 8-bit, 16-bit or 32-bit float",
            )
        if self._rule == "none" and plane.dtype != np.uint8:
            raise ScanError(
                self._source,
                ScanFault.UNSUPPORTED,
                problem=f'pixels are of type {plane.dtype}, but window "none" takes uint8 only',
                remedy='store the scan as calibrated 8-bit data or use the window "percentile"',
            )


def quantiles(samples: NDArray[Any], *fractions: float) -> tuple[float, ...]:
    """Quantiles by linear interpolation between order statistics, in float64.

    Equal to ``numpy.quantile(samples.astype(float), fractions)``, but quick for integers and
    exactly equal to the samples where the neighbouring order statistics are tied.

    Args:
        samples: (N,) finite real values, N >= 1; may be reordered in place.
        fractions: Fractions of the samples below each quantile, 0..1.

    Returns:
        One value per fraction.
    """
    places = [fraction * (samples.size - 1) for fraction in fractions]
    ranks = sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})
    values = dict(zip(ranks, _order_statistics(samples, ranks), strict=True))
    return tuple(
        _between(
            values[math.floor(place)], values[math.ceil(place)], weight=place - math.floor(place)
        )
        for place in places
    )


def _between(below: float, above: float, *, weight: float) -> float:
    if below == above:
        return below  # the weighted sum of a tie can be one rounding error off
    return below * (1.0 - weight) + above * weight


def _order_statistics(samples: NDArray[Any], ranks: list[int]) -> list[float]:
    if samples.dtype.kind == "u" and samples.dtype.itemsize <= 2 and samples.size > 1 << 16:
        counts = np.cumsum(np.bincount(samples))
        return [float(value) for value in np.searchsorted(counts, ranks, side="right")]
    samples.partition(ranks)
    return [float(samples[rank]) for rank in ranks]


def _sampling_step(n_values: int, width: int) -> int:
    """Pixels from one sample to the next: never in step with the rows."""
    step = max(1, math.ceil(n_values / MAX_SAMPLES))
    while step > 1 and math.gcd(step, width) > 1:
        step += 1
    return step


@lru_cache(maxsize=4)
def _levels_of_all_values(window: Window, dtype: str) -> NDArray[np.uint8]:
    size = np.dtype(dtype).itemsize
    return _levels(window, np.arange(256**size, dtype=f"u{size}").view(dtype))


def _levels(window: Window, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels of some values, in float64."""
    # Halved where the width of the window itself is beyond float64.
    scale = 1.0 if math.isfinite(window.high - window.low) else 0.5
    low, high = window.low * scale, window.high * scale
    shown = np.clip(values.astype(np.float64) * scale, low, high)
    return np.rint((shown - low) / (high - low) * 255.0).astype(np.uint8)
