"""Rock properties as a network predicts them: scaled to about 0..1, and back (docs/design.md D5).

Shapes: N images, P properties. NaN stands for "not measured" inside tensors of this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator
from torch import Tensor

PropertyName = Literal["porosity", "permeability_md"]
PropertyScale = Literal["linear", "log10", "log10-per-pixel-area"]
_LARGEST = torch.finfo(torch.float64).max

PixelSize = float | Tensor
"""In micrometres: one for all images, or (N,) with NaN where it is not known."""


class PropertyTarget(BaseModel):
    """One output of the regression head, and how it maps to a property.

    output = (t(property) - low) / (high - low), where t is the identity (``linear``), log10
    (``log10``) or log10(property / pixel size²) (``log10-per-pixel-area``).

    Attributes:
        name: Property: porosity as a fraction, permeability in millidarcy.
        scale: Which t.
        low: t that maps to 0; None as long as no training set was seen.
        high: t that maps to 1; None likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: PropertyName
    scale: PropertyScale
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high are set together")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}")
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether outputs mean anything: an unfitted head was never trained."""
        return self.low is not None

    @property
    def needs_pixel_size(self) -> bool:
        """Whether a prediction is impossible without the pixel size."""
        return self.scale == "log10-per-pixel-area"

    def fit(self, values: Tensor, pixel_size_um: PixelSize | None = None) -> PropertyTarget:
        """Scale to the range of a training set.

        Args:
            values: (N,) of the property, NaN where it was not measured.
            pixel_size_um: Needed by ``log10-per-pixel-area`` only.

        Returns:
            A copy whose low and high are the smallest and largest t (0.5 apart from it where all
            are equal), or are unset where nothing was measured.
        """
        transformed = self._transform(values, pixel_size_um)
        measured = transformed[torch.isfinite(transformed)]
        if not len(measured):
            return self.model_copy(update={"low": None, "high": None})
        low, high = float(measured.min()), float(measured.max())
        if low == high:
            low, high = low - 0.5, high + 0.5
        return self.model_copy(update={"low": low, "high": high})

    def scaled(self, values: Tensor, pixel_size_um: PixelSize | None = None) -> Tensor:
        """Map measured values to what the network should put out.

        Args:
            values: (N,) of the property, NaN where it was not measured.
            pixel_size_um: Needed by ``log10-per-pixel-area`` only.

        Returns:
            (N,), float64; NaN where not measured. A logarithm takes values <= 0 as not measured.

        Raises:
            ValueError: The target was not fitted.
        """
        low, high = self._range()
        return (self._transform(values, pixel_size_um) - low) / (high - low)

    def restored(self, outputs: Tensor, pixel_size_um: PixelSize | None = None) -> Tensor | None:
        """Map outputs of the network back to the property; the inverse of ``scaled``.

        Args:
            outputs: (N,).
            pixel_size_um: Needed by ``log10-per-pixel-area`` only.

        Returns:
            (N,), float64, in the property's unit, porosity cut off at 0 and 1, permeability at the
            largest number there is (a power of an absurd output has no end); NaN where the pixel
            size is. None where the target was never fitted or lacks its pixel size.
        """
        if not self.is_fitted or (self.needs_pixel_size and pixel_size_um is None):
            return None
        low, high = self._range()
        transformed = outputs.double() * (high - low) + low
        if self.scale == "linear":
            return transformed.clamp(0.0, 1.0) if self.name == "porosity" else transformed
        values = torch.pow(10.0, transformed)
        if self.needs_pixel_size:
            values = values.clamp(max=_LARGEST) * _area(pixel_size_um, values)
        return values.clamp(max=_LARGEST)

    def _range(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name}: scaled before its range was fitted to a training set")
        return self.low, self.high

    def _transform(self, values: Tensor, pixel_size_um: PixelSize | None) -> Tensor:
        values = values.double()
        if self.scale == "linear":
            return values
        if self.needs_pixel_size:
            values = values / _area(pixel_size_um, values)
        return torch.where(values > 0, values, torch.nan).log10()


DEFAULT_TARGETS = (
    PropertyTarget(name="porosity", scale="linear"),
    PropertyTarget(name="permeability_md", scale="log10"),
)
"""What our networks predict; ranges are set when training begins."""

ROCKIR_TARGETS = (
    PropertyTarget(name="porosity", scale="linear", low=0.0, high=1.0),
    PropertyTarget(name="permeability_md", scale="log10-per-pixel-area", low=0.0, high=5.0),
)
"""What RockIR's published weights predict: porosity and log10(k / pixel size²) / 5."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropertyPredictions:
    """Predicted properties of N images; None where the network can't tell.

    Attributes:
        porosity: (N,), float64, a fraction.
        permeability_md: (N,), float64, in millidarcy; NaN where a pixel size was needed and is NaN.
    """

    porosity: Tensor | None = None
    permeability_md: Tensor | None = None


def restore_all(
    targets: tuple[PropertyTarget, ...], outputs: Tensor, *, pixel_size_um: PixelSize | None
) -> PropertyPredictions:
    """Map all outputs of a regression head back.

    Args:
        targets: P targets.
        outputs: (N, P).
        pixel_size_um: Where it is known.
    """
    values = {
        target.name: target.restored(outputs[:, number], pixel_size_um)
        for number, target in enumerate(targets)
    }
    return PropertyPredictions(**values)


def _area(pixel_size_um: PixelSize | None, like: Tensor) -> Tensor:
    """Square of the pixel size in µm², NaN where it is not known or not positive."""
    size = torch.nan if pixel_size_um is None else pixel_size_um
    size = torch.as_tensor(size, dtype=like.dtype, device=like.device)
    return torch.where(size > 0, size, torch.nan).square()
