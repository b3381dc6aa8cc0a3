"""Where a scan's voxels lie: behind its header, or in a file beside it."""

from __future__ import annotations

import tempfile
import textwrap
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from encoder.errors import ScanError, ScanFault
from encoder.planes import DEFAULT_MAX_SPOOL_BYTES
from encoder.readers.faults import damaged, truncated, unsupported
from encoder.readers.flat import FlatPlanes
from encoder.readers.spool import Compression, spool

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import ScanInfo
    from encoder.readers.grid import Grid

Encoding = Literal["raw", "ascii"] | Compression

_MAX_ASCII_BYTES = 8 << 20
_MAX_DIGITS = 40
_MAX_REASON = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where a scan's voxels lie and how they are written.

    Attributes:
        path: File that holds them; it ends with them.
        offset: Byte at which they (or their compressed stream) start; None if the header
            only tells that the file ends with them.
        encoding: How they are written.
        skip: Bytes to leave out after decompression.
    """

    path: Path
    offset: int | None
    encoding: Encoding = "raw"
    skip: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What makes one file of a header and its voxels elsewhere: the header, then their bytes.

    Attributes:
        header: The header, rewritten: it says that the voxels follow.
        data: File that holds the voxels.
        offset: Byte of that file at which to begin; all to its end belongs to them.
    """

    header: bytes
    data: Path
    offset: int


def open_stored(
    storage: Storage,
    grid: Grid,
    *,
    info: ScanInfo,
    source: str,
    max_spool_bytes: int = DEFAULT_MAX_SPOOL_BYTES,
) -> FlatPlanes:
    """Open a scan's voxels; unless stored raw they are written to a temporary file first.

    Raises:
        ScanError: ``TRUNCATED`` or ``SIZE_MISMATCH`` where the bytes found are not those
            promised, ``UNREADABLE`` where they are damaged, ``TOO_LARGE`` where more than
            ``max_spool_bytes`` would have to be decompressed.
    """
    offset = _checked_offset(storage, grid, source=source)
    if storage.encoding == "raw":
        return FlatPlanes(storage.path.open("rb"), grid, info=info, offset=offset, source=source)
    with storage.path.open("rb") as file:
        file.seek(offset)
        if storage.encoding == "ascii":
            spooled = _spooled_text(file, grid, source=source)
        else:
            spooled = spool(
                file,
                storage.encoding,
                skip=storage.skip,
                expected=grid.total_bytes,
                source=source,
                max_bytes=max_spool_bytes,
            )
    return FlatPlanes(spooled, grid, info=info, offset=0, source=source)


def sibling(header: Path, name: str) -> Path:
    """Return the data file that a header names, if it lies beside the header.

    Args:
        header: Path of the header.
        name: Name as the header tells it.

    Raises:
        ScanError: ``UNSUPPORTED`` if the name leads elsewhere, ``UNREADABLE`` if there is no
            such file.
    """
    if name in {"", ".", ".."} or any(sign in name for sign in "/\\:\0"):
        raise unsupported(
            header.name,
            f"its header takes the voxels from '{name}', expected the name of a file "
            "in the same folder",
            "put both into one folder and write the bare name into the header",
        )
    path = header.parent / name
    if not path.is_file():
        raise ScanError(
            header.name,
            ScanFault.UNREADABLE,
            problem=f"its voxels are in '{name}', which is not beside it",
            remedy="put that file into the same folder, or export header and voxels as one file",
        )
    if path.resolve().parent not in {header.parent.resolve(), header.resolve().parent}:
        raise unsupported(
            header.name,
            f"its data file '{name}' is a link that leaves the folder",
            "put the file itself beside the header",
        )
    return path


def several_files(source: str, told: str, *, one: str) -> ScanError:
    """Return the fault of a header whose voxels lie in more than one file.

    Args:
        source: Name of the header's file.
        told: What it says of them.
        one: Extension of a file that holds header and voxels.
    """
    return unsupported(
        source,
        f"its voxels are spread over several files ('{textwrap.shorten(told, _MAX_REASON)}'), "
        "expected one",
        f"save it as one {one} file",
    )


def check_length(source: str, *, expected: int, found: int) -> None:
    """Compare the bytes of voxels found with those that a header promises.

    Raises:
        ScanError: ``TRUNCATED`` or ``SIZE_MISMATCH``.
    """
    problem = f"its header promises {expected:,} bytes of voxels, {found:,} were found"
    if found < expected:
        raise truncated(source, problem)
    if found > expected:
        raise ScanError(
            source,
            ScanFault.SIZE_MISMATCH,
            problem=problem,
            remedy="export it again: header and voxels don't belong together",
        )


def truncated_header(source: str, missing: str) -> ScanError:
    """Return the fault of a file that ends before its header does."""
    return truncated(source, f"it ends within its header, before {missing}")


def damaged_header(source: str, reason: object) -> ScanError:
    """Return the fault of a header that can't be understood; ``reason`` is cut short."""
    return damaged(source, f"its header is damaged: {textwrap.shorten(str(reason), _MAX_REASON)}")


def _checked_offset(storage: Storage, grid: Grid, *, source: str) -> int:
    size = storage.path.stat().st_size
    offset = storage.offset
    if offset is None:
        offset = max(0, size - grid.total_bytes)
    if storage.encoding == "raw":
        check_length(source, expected=grid.total_bytes, found=max(0, size - offset))
    elif offset >= size:
        raise truncated(source, f"its voxels start at byte {offset:,}, it ends at {size:,}")
    return offset


def _spooled_text(file: IO[bytes], grid: Grid, *, source: str) -> IO[bytes]:
    text = file.read(_MAX_ASCII_BYTES + 1)
    if len(text) > _MAX_ASCII_BYTES:
        raise unsupported(
            source,
            f"its voxels are written as text of over {_MAX_ASCII_BYTES:,} bytes",
            "export it in binary",
        )
    words = text.split()
    check_length(source, expected=grid.total_bytes, found=len(words) * grid.dtype.itemsize)
    if max(map(len, words)) > _MAX_DIGITS:  # the array of words is as wide as its longest
        raise damaged(source, f"its voxels are written with over {_MAX_DIGITS} digits")
    try:
        samples = np.array(words).astype(grid.dtype)
    except (ValueError, OverflowError) as error:
        raise damaged(
            source, f"its voxels are written as text that is not {grid.dtype.name} ({error})"
        ) from error
    with ExitStack() as stack:
        spooled = stack.enter_context(tempfile.TemporaryFile())
        spooled.write(samples.tobytes())
        spooled.flush()
        stack.pop_all()
    return spooled
