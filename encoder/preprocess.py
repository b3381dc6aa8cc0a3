"""From a scan to what a network is fed (docs/design.md D9): one contract, carried in every bundle.

window of the scan → uint8 → whole slice resized to S x S, antialiased → z-scaled by mean and
standard deviation of the training set, channel by channel.
"""

from __future__ import annotations

import hashlib
import json
import operator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from PIL import Image

from encoder.errors import LithoscopeError
from encoder.slicing import Slicing
from encoder.windows import WindowRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ALGORITHM_VERSION = 1
"""Raised whenever the same settings give other pixels than before: what was indexed is stale."""

SIZE_MAX = 4096
"""Largest S, in pixels: a batch of larger squares fits into no memory."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Settings that turn a scan into batches.

    Attributes:
        size: S, side of the square that a slice is resized to, in pixels.
        mean: Mean of each channel, in units of the full range (0..1).
        std: Standard deviation of each channel, in units of the full range.
        window: How the scan's grey window is found.
        slicing: Which slices of a scan are taken.
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    window: WindowRule = "percentile"
    slicing: Slicing = field(default_factory=Slicing)

    def __post_init__(self) -> None:
        """Refuse settings that give no batch.

        Raises:
            ValueError: A setting is out of its range.
        """
        if not 1 <= self.size <= SIZE_MAX:
            raise ValueError(f"size must be from 1 to {SIZE_MAX}, not {self.size}")
        if self.window not in get_args(WindowRule):
            raise ValueError(f"window must be one of {get_args(WindowRule)}, not {self.window!r}")
        if not all(np.isfinite((*self.mean, *self.std))) or min(self.std) <= 0.0:
            raise ValueError(f"mean must be finite and std positive, not {self.mean}, {self.std}")

    def fingerprint(self) -> str:
        """Name these settings: vectors of two fingerprints must not be mixed.

        Returns:
            64 hexadecimal digits (SHA-256), the same on every machine and in every release that
            gives the same pixels.
        """
        settings = {"algorithm": ALGORITHM_VERSION, **self.to_dict()}
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON types."""
        settings = asdict(self)
        return {
            **settings,
            "size": int(self.size),  # numpy's numbers are no JSON
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """Rebuild settings from ``to_dict``.

        Args:
            settings: What ``to_dict`` returned, possibly by way of JSON.

        Raises:
            LithoscopeError: A setting is missing, unknown, of another type or out of its range.
        """
        try:
            _check_keys(settings, cls)
            _check_keys(settings["slicing"], Slicing)
            return cls(
                size=operator.index(settings["size"]),
                mean=_three_floats(settings["mean"]),
                std=_three_floats(settings["std"]),
                window=settings["window"],
                slicing=Slicing(
                    planes=operator.index(settings["slicing"]["planes"]),
                    margin=float(settings["slicing"]["margin"]),
                    tiles=operator.index(settings["slicing"]["tiles"]),
                    tile_min_side=operator.index(settings["slicing"]["tile_min_side"]),
                ),
            )
        except (TypeError, ValueError) as error:
            raise LithoscopeError(
                f"preprocessing settings: {error}; use a bundle made by this version of Lithoscope"
            ) from error


def resize_slice(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a whole slice to a square, whatever its aspect.

    The filter is Pillow's BILINEAR: a triangle as wide as the step between output pixels
    (antialiased), rounded to the nearest grey level. It agrees with torchvision's
    ``resize(..., antialias=True)`` on uint8 to within one level.

    Args:
        pixels: (H, W) or (H, W, 3).
        size: S, side of the square in pixels.

    Returns:
        (S, S, 3); a grey slice has three equal channels.
    """
    resized = _resize(pixels, width=size, height=size)
    if resized.ndim == 2:
        return np.repeat(resized[:, :, np.newaxis], 3, axis=2)
    return resized


def bound_slice(pixels: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Shrink a slice so that no side exceeds ``max_side``, keeping its aspect; never enlarge it.

    Args:
        pixels: (H, W) or (H, W, 3).
        max_side: Longest side of the result in pixels.

    Returns:
        (H', W') or (H', W', 3), by the same filter as ``resize_slice``.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= max_side:
        return pixels
    return _resize(
        pixels,
        width=max(1, round(width * max_side / longest)),
        height=max(1, round(height * max_side / longest)),
    )


def _resize(pixels: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def _check_keys(settings: Mapping[str, Any], kind: type[Preprocessing | Slicing]) -> None:
    expected = {entry.name for entry in fields(kind)}
    if set(settings) != expected:
        raise ValueError(f"expected {sorted(expected)}, found {sorted(settings)}")


def _three_floats(values: Any) -> tuple[float, float, float]:  # noqa: ANN401  JSON, checked here
    first, second, third = (float(value) for value in values)
    return first, second, third
