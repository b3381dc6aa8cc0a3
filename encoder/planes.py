"""What every reader hands out: a scan's facts and its planes, one at a time.

Shapes: P planes, H rows, W columns; a plane is (H, W) or, in colour, (H, W, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_MAX_PIXELS = 250_000_000
"""Largest plane that is decoded, in pixels: beyond it a file is a decompression bomb."""


DEFAULT_MAX_SPOOL_BYTES = 32 << 30
"""Largest volume that is decompressed to disk: one of 2,000 planes of 2,000 x 2,000 floats fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLayout:
    """How the bytes of a headerless volume are laid out.

    Attributes:
        shape: (P, H, W) in voxels, slowest axis first.
        dtype: numpy type name with byte order, such as ``"<u2"``.
        header_bytes: Bytes to skip before the first voxel.
        pixel_size_um: Voxel size in micrometres, where known.
    """

    shape: tuple[int, int, int]
    dtype: str
    header_bytes: int = 0
    pixel_size_um: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a reader needs to be told.

    Attributes:
        raw: Layout of a headerless volume; else taken from its side-car or its name.
        dataset: Path of the dataset inside an HDF5 file; else its only 3D one.
        max_pixels: Largest plane that is decoded, in pixels.
        max_spool_bytes: Largest volume that is decompressed to a temporary file, where its
            format doesn't let planes be decompressed one at a time.
    """

    raw: RawLayout | None = None
    dataset: str | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    max_spool_bytes: int = DEFAULT_MAX_SPOOL_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanInfo:
    """The facts of a scan, known before its planes are decoded.

    Attributes:
        format: Format that the content is in, such as ``"PNG"`` or ``"BigTIFF"``.
        n_planes: P; 1 for a 2D image.
        height: H in pixels.
        width: W in pixels.
        channels: 1 (grey) or 3 (RGB; alpha is dropped, palettes are expanded).
        dtype: numpy name of the stored sample type, such as ``"uint16"``.
        is_volume: Whether the planes are sections of one volume (then P >= 2).
        pixel_size_um: Size of a pixel within the plane in micrometres, or None.
        notes: Oddities worth telling, such as an extension that belies the content.
    """

    format: str
    n_planes: int
    height: int
    width: int
    channels: int
    dtype: str
    is_volume: bool
    pixel_size_um: float | None = None
    notes: tuple[str, ...] = field(default=())


class PlaneSource(Protocol):
    """An open scan whose planes are decoded one at a time."""

    @property
    def info(self) -> ScanInfo:
        """Facts of the scan."""

    def plane(self, index: int) -> NDArray[Any]:
        """Decode plane ``index``: (H, W) or (H, W, 3), native byte order, stored sample type."""

    def close(self) -> None:
        """Release the file and whatever was spooled."""
