"""Random fields whose every bit is the same on every machine.

They draw on integers and uniform numbers and are smoothed by running means: the normal
distribution and `exp` come from the maths library, whose last bit depends on the processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_PASSES = 2
_UNIFORM_VARIANCE = 1.0 / 12.0


def smooth_noise(
    rng: np.random.Generator, shape: Sequence[int], *, sigma: float | Sequence[float]
) -> NDArray[np.float32]:
    """Smooth random field with zero mean and unit variance.

    Args:
        rng: Source of randomness.
        shape: Shape of the field.
        sigma: Correlation length in voxels, per axis or for all.

    Returns:
        Float32 array of `shape`.
    """
    sigmas = [float(sigma)] * len(shape) if isinstance(sigma, int | float) else list(sigma)
    field = rng.random(tuple(shape), dtype=np.float32)
    field -= np.float32(0.5)
    variance = _UNIFORM_VARIANCE
    for axis, length in enumerate(sigmas):
        width = _box_width(length, shape[axis])
        variance *= _kernel_energy(width)
        for _ in range(_PASSES):
            if width > 1:
                ndimage.uniform_filter1d(field, width, axis=axis, output=field, mode="wrap")
    field *= np.float32(variance**-0.5)
    return field


def grain_noise(rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Nearly Gaussian white noise of zero mean and unit variance (sum of three uniforms)."""
    total = rng.random(tuple(shape), dtype=np.float32)
    for _ in range(2):
        total += rng.random(tuple(shape), dtype=np.float32)
    total -= np.float32(1.5)
    total *= np.float32((3 * _UNIFORM_VARIANCE) ** -0.5)
    return total


def box_blur(field: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Smooth with the kernel (w, 1 - 2w, w) along every axis.

    Args:
        field: Any shape.
        weight: w, 0 (nothing happens) to 1/3.

    Returns:
        New array of the field's shape.
    """
    smoothed = field.copy()
    if weight > 0:
        kernel = [weight, 1.0 - 2.0 * weight, weight]
        for axis in range(field.ndim):
            ndimage.correlate1d(smoothed, kernel, axis=axis, output=smoothed, mode="nearest")
    return smoothed


def threshold_at(field: NDArray[np.float32], fraction: float) -> float:
    """Value that `fraction` of the field's elements lie above, found by rank.

    Args:
        field: Any shape.
        fraction: 0 to 1.

    Returns:
        An element of the field, or infinity if nothing is to lie above it.
    """
    above = round(fraction * field.size)
    if above <= 0:
        return float("inf")
    if above >= field.size:
        return float("-inf")
    rank = field.size - above - 1
    return float(np.partition(field, rank, axis=None)[rank])


def _box_width(sigma: float, extent: int) -> int:
    """Odd width of the running mean that, applied twice, spreads like `sigma`."""
    width = int((12.0 * sigma * sigma / _PASSES + 1.0) ** 0.5)
    width += 1 - width % 2
    return min(width, extent - 1 + extent % 2)


def _kernel_energy(width: int) -> float:
    """Sum of squares of the running mean's twofold kernel."""
    kernel = [1.0]
    for _ in range(_PASSES):
        grown = [0.0] * (len(kernel) + width - 1)
        for shift in range(width):
            for place, weight in enumerate(kernel):
                grown[place + shift] += weight / width
        kernel = grown
    return sum(weight * weight for weight in kernel)
