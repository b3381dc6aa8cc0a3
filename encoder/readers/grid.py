"""The voxels that a header promises, checked before any of them is read.

Shapes: P planes, H rows, W columns, S samples a pixel as stored (1 grey, 3 RGB, 4 RGBA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.errors import ScanError, ScanFault
from encoder.planes import ScanInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOUR_SAMPLES = (3, 4)
"""Samples a pixel that make colour: RGB and RGBA."""

_WIDEST_SAMPLE_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Shape and type of a scan's voxels, as stored.

    Attributes:
        shape: (P, H, W) in voxels.
        dtype: Stored sample type with its byte order; never bool.
        samples: S, samples a pixel.
        is_volume: Whether the planes are sections of one volume.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    samples: int
    is_volume: bool

    @property
    def plane_samples(self) -> int:
        """Samples in one plane: H * W * S."""
        _, height, width = self.shape
        return height * width * self.samples

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane."""
        return self.plane_samples * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        """Bytes of all planes."""
        return self.shape[0] * self.plane_bytes

    def describe(
        self, format_name: str, *, pixel_size_um: float | None = None, notes: Sequence[str] = ()
    ) -> ScanInfo:
        """Return the scan's facts, as readers hand them out."""
        planes, height, width = self.shape
        return ScanInfo(
            format=format_name,
            n_planes=planes,
            height=height,
            width=width,
            channels=3 if self.samples in COLOUR_SAMPLES else 1,
            dtype=self.dtype.name,
            is_volume=self.is_volume,
            pixel_size_um=pixel_size_um,
            notes=tuple(notes),
        )


def make_grid(
    source: str,
    shape: tuple[int, int, int],
    *,
    dtype: np.dtype[Any],
    samples: int = 1,
    is_volume: bool,
    max_pixels: int,
) -> Grid:
    """Check what a header promises and return it as a grid.

    Args:
        source: Name of the scan, for the error.
        shape: (P, H, W) in voxels.
        dtype: Stored sample type; bool counts as uint8.
        samples: Samples a pixel: 1, 3 or 4.
        is_volume: Whether the planes are sections of one volume.
        max_pixels: Largest H * W that is decoded.

    Raises:
        ScanError: ``ZERO_SIZE``, ``TOO_THIN``, ``TOO_LARGE`` or ``UNSUPPORTED`` (sample type).
    """
    told = " x ".join(map(str, shape if is_volume else shape[1:]))
    if min(shape) < 1:
        raise ScanError(
            source,
            ScanFault.ZERO_SIZE,
            problem=f"its header says {told} voxels, expected at least one along each axis",
            remedy="export it again",
        )
    if is_volume and min(shape) < 2:
        raise ScanError(
            source,
            ScanFault.TOO_THIN,
            problem=f"its volume is {told} voxels, expected at least 2 along each axis",
            remedy="export the whole volume, or a single plane as a 2D image",
        )
    if min(shape[1:]) < 2:
        raise ScanError(
            source,
            ScanFault.TOO_THIN,
            problem=f"its image is {told} pixels, expected at least 2 along each axis",
            remedy="export the whole image",
        )
    pixels = shape[1] * shape[2]
    if pixels > max_pixels:
        raise ScanError(
            source,
            ScanFault.TOO_LARGE,
            problem=f"its planes have {pixels:,} pixels, at most {max_pixels:,} are decoded",
            remedy="crop or downsample it, or raise the limit (--max-pixels) if you trust the file",
        )
    stored = _sample_type(source, dtype)
    return Grid(shape=shape, dtype=stored, samples=samples, is_volume=is_volume)


def array_grid(source: str, shape: Sequence[int], *, dtype: np.dtype[Any], max_pixels: int) -> Grid:
    """Read an array's shape as image or volume; a trailing axis of 3 or 4 is colour.

    Args:
        source: Name of the scan, for the error.
        shape: (H, W), (H, W, 3|4), (P, H, W) or (P, H, W, 3|4).
        dtype: Stored sample type; bool counts as uint8.
        max_pixels: Largest H * W that is decoded.

    Raises:
        ScanError: As ``make_grid``, and ``UNSUPPORTED`` for another number of axes.
    """
    axes = tuple(int(length) for length in shape)
    samples = 1
    if len(axes) > 2 and axes[-1] in COLOUR_SAMPLES:
        *rest, samples = axes
        axes = tuple(rest)
    if len(axes) not in (2, 3):
        raise ScanError(
            source,
            ScanFault.UNSUPPORTED,
            problem=f"its array has shape {tuple(map(int, shape))}, expected (rows, columns), "
            "(planes, rows, columns), or one of them with a last axis of 3 or 4 colours",
            remedy="save one image or one volume",
        )
    is_volume = len(axes) == 3
    planes, height, width = axes if is_volume else (1, *axes)
    return make_grid(
        source,
        (planes, height, width),
        dtype=dtype,
        samples=samples,
        is_volume=is_volume,
        max_pixels=max_pixels,
    )


def _sample_type(source: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b" and dtype.itemsize == 1:
        return np.dtype(np.uint8)
    if dtype.kind not in "uif" or dtype.itemsize > _WIDEST_SAMPLE_BYTES:
        raise ScanError(
            source,
            ScanFault.UNSUPPORTED,
            problem=f"its samples are of type {dtype.name}, expected integers or floats "
            "of up to 64 bits",
            remedy="convert them to one of these",
        )
    return dtype
