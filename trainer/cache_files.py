"""Files of the slice cache: pixels of any number of scans (.npy), and whose they are (.json).

Both are only ever put in place whole, pixels first; a build that is broken off leaves nothing that
would be read. Shapes: N slices of S x S pixels.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from encoder.errors import OutputError, ScanFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class CachedScan(BaseModel):
    """What a scan gave.

    Attributes:
        content: Its content, see `training_scan.TrainingScan`.
        slices: Its slices: that many of the next rows; 0 where it was refused.
        pixel_size_um: What its file tells.
        refused: Why it gave none, or None.
        fault: Kind of fault, then.
        passing: Whether it may be accepted another time: by a machine with more memory, say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: str
    slices: NonNegativeInt
    pixel_size_um: float | None = None
    refused: str | None = None
    fault: ScanFault | None = None
    passing: bool = False


class CacheIndex(BaseModel):
    """Whose pixels the rows of a file are, scan by scan.

    Attributes:
        size: S.
        scans: In the order of their rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: PositiveInt
    scans: tuple[CachedScan, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the pixels."""
        n_slices = sum(scan.slices for scan in self.scans)
        return (n_slices, self.size, self.size, 3)


def read_cached(stem: Path) -> tuple[CacheIndex, NDArray[np.uint8]] | None:
    """Open an index with its pixels, memory-mapped; None where they are missing or damaged."""
    try:
        index = CacheIndex.model_validate_json(stem.with_suffix(".json").read_bytes())
        mode: Literal["r"] | None = "r" if index.shape[0] else None  # nothing can't be mapped
        pixels = np.load(stem.with_suffix(".npy"), mmap_mode=mode, allow_pickle=False)
    except (OSError, EOFError, ValidationError, ValueError):  # the last: a header that is wrong
        return None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        return None
    return (index, pixels) if pixels.shape == index.shape else None


class CacheWriter:
    """Appends slices to a file that takes its name when it is finished."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Begin a file: see `cache_writer`."""
        self._file = file
        self._size = size
        self._n_slices = 0
        self._write_header()

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Add slices, (n, S, S, 3)."""
        self._file.write(np.ascontiguousarray(pixels, dtype=np.uint8).data)
        self._n_slices += len(pixels)

    def finish(self) -> None:
        """Tell the header how many there are."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        """Write NumPy's header, which leaves room for the first axis to grow."""
        shape = (self._n_slices, self._size, self._size, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextlib.contextmanager
def cache_writer(stem: Path, size: int) -> Iterator[CacheWriter]:
    """Write the pixels of ``stem``; at the end they are there whole, else not at all.

    Raises:
        OutputError: They can't be written, or the disk is full.
    """
    hidden = stem.with_name(f".{secrets.token_hex(8)}.part")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("xb") as file:
            writer = CacheWriter(file, size)
            yield writer
            writer.finish()
        hidden.replace(stem.with_suffix(".npy"))
    except OSError as error:
        raise _told(stem, error) from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)


def write_index(stem: Path, index: CacheIndex) -> None:
    """Write the index of pixels that are in place.

    Raises:
        OutputError: It can't be written.
    """
    hidden = stem.with_name(f".{secrets.token_hex(8)}.part")
    try:
        hidden.write_text(index.model_dump_json(), encoding="utf-8")
        hidden.replace(stem.with_suffix(".json"))
    except OSError as error:
        raise _told(stem, error) from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)


def _told(stem: Path, error: OSError) -> OutputError:
    return OutputError(
        f"slice cache {stem.parent}: can't be written ({error.strerror or error}); make room, or "
        "choose another folder (data.cache)"
    )
