"""The slices that networks are trained and measured on: pixels, names and properties, row by row.

Shapes: N slices of S x S pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceSet:
    """N slices, decoded and resized. Row i of every array is about slice i.

    Attributes:
        pixels: (N, S, S, 3), uint8; often memory-mapped, so that a batch costs what it holds.
        scan: (N,), int64, index into ``scan_names``.
        number: (N,), int64, number of the slice within its scan.
        sample: (N,), int64, index into ``sample_names``.
        reservoir: (N,), int64, index into ``reservoir_names``.
        label: (N,), int64, index into ``label_names``: two slices of one label are "similar".
        scan_names: Path of each scan in its library, or its object key.
        sample_names: Samples, ``<reservoir>/<sample>``: a sample's name counts in its reservoir.
            A scan of an unknown sample is a sample of its own, named by the scan.
        reservoir_names: Reservoirs, or classes. A sample of an unknown reservoir is a reservoir
            of its own, named by the sample.
        label_names: The samples, or the reservoirs.
        porosity: (N,), float64, a fraction; NaN where it was not measured.
        permeability_md: (N,), float64, in millidarcy, above 0; NaN where it was not measured.
        pixel_size_um: (N,), float64, of the scan before resizing; NaN where it is not known.
        scan_sha256: SHA-256 of each scan as one stored object, in hexadecimal digits, empty where
            it is not known; nothing where none is.
        content: Names pixels and order, where that is known: equal where the same content was cut
            in the same way. Empty where it is not.
    """

    pixels: NDArray[np.uint8]
    scan: NDArray[np.int64]
    number: NDArray[np.int64]
    sample: NDArray[np.int64]
    reservoir: NDArray[np.int64]
    label: NDArray[np.int64]
    scan_names: tuple[str, ...]
    sample_names: tuple[str, ...]
    reservoir_names: tuple[str, ...]
    label_names: tuple[str, ...]
    porosity: NDArray[np.float64]
    permeability_md: NDArray[np.float64]
    pixel_size_um: NDArray[np.float64]
    scan_sha256: tuple[str, ...] = ()
    content: str = ""

    def __post_init__(self) -> None:
        """Refuse arrays that don't fit each other.

        Raises:
            ValueError: A shape, an index or a permeability is wrong.
        """
        if self.pixels.ndim != 4 or self.pixels.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"pixels must be (N, S, S, 3), not {self.pixels.shape}")
        for entry in fields(self):
            values = getattr(self, entry.name)
            if isinstance(values, np.ndarray) and len(values) != len(self):
                raise ValueError(f"{entry.name} has {len(values)} rows, pixels {len(self)}")
        for name in ("scan", "sample", "reservoir", "label"):
            values, names = getattr(self, name), getattr(self, f"{name}_names")
            if len(self) and not 0 <= values.min() <= values.max() < len(names):
                raise ValueError(f"{name} must index its {len(names)} names")
        if self.scan_sha256 and len(self.scan_sha256) != len(self.scan_names):
            raise ValueError("scan_sha256 must tell of every scan, or of none")
        if (self.permeability_md <= 0).any():
            raise ValueError("permeability of 0 or less must be NaN: its logarithm is needed")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """S in pixels."""
        return int(self.pixels.shape[1])

    def subset(self, indices: NDArray[np.int64] | Sequence[int]) -> SliceSet:
        """Return some slices, in that order; names keep their numbers.

        The pixels of a range are a view; those of scattered slices are copied into memory.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        arrays = {
            entry.name: getattr(self, entry.name)[chosen]
            for entry in fields(self)
            if entry.name != "pixels" and isinstance(getattr(self, entry.name), np.ndarray)
        }
        return replace(
            self, pixels=self._pixels_of(chosen), content=self._content_of(chosen), **arrays
        )

    def _pixels_of(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        is_range = len(chosen) > 0 and bool((np.diff(chosen) == 1).all())
        return self.pixels[chosen[0] : chosen[-1] + 1] if is_range else self.pixels[chosen]

    def _content_of(self, chosen: NDArray[np.int64]) -> str:
        return self.content and hashlib.sha256(self.content.encode() + chosen.tobytes()).hexdigest()

    def name_of(self, index: int) -> str:
        """Name a slice so that its file is found: ``E1/S1/a.tif, slice 3``."""
        return f"{self.scan_names[self.scan[index]]}, slice {self.number[index]}"

    def fingerprint(self) -> str:
        """Name what is in which row, pixels left out: indices mean the same where it is equal.

        Returns:
            64 hexadecimal digits (SHA-256).
        """
        digest = hashlib.sha256()
        for names in (self.scan_names, self.sample_names, self.reservoir_names, self.label_names):
            digest.update("\0".join(names).encode("utf-8", "surrogateescape") + b"\1")
        for array in (self.scan, self.number, self.sample, self.reservoir, self.label):
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return digest.hexdigest()


def channel_statistics(
    slices: SliceSet, indices: NDArray[np.int64] | Sequence[int]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each channel over some slices, for z-scaling (D9).

    Args:
        slices: The slices.
        indices: Those to measure, at least one: the training set's.

    Returns:
        Means and standard deviations in units of the full range (0..1), computed exactly from
        histograms of the 256 levels. The deviation is at least one level.
    """
    chosen = np.sort(np.asarray(indices, dtype=np.int64))
    if not len(chosen):
        raise ValueError("statistics need at least one slice")
    histogram = np.zeros((3, 256), dtype=np.int64)
    step = max(1, _CHUNK_BYTES // (slices.size * slices.size * 3))
    for start in range(0, len(chosen), step):
        pixels = slices.pixels[chosen[start : start + step]]
        for channel in range(3):
            histogram[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=256)
    levels = np.arange(256) / 255.0
    total = histogram.sum(axis=1)
    mean = histogram @ levels / total
    variance = (histogram * (levels - mean[:, np.newaxis]) ** 2).sum(axis=1) / total
    std = np.maximum(np.sqrt(variance), 1 / 255)
    return (
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(std[0]), float(std[1]), float(std[2])),
    )
