"""Decompression to disk, never beyond what a header promises."""

from __future__ import annotations

import bz2
import errno
import gzip
import os
import shutil
import tempfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Literal, assert_never

from encoder.errors import ScanError, ScanFault
from encoder.planes import DEFAULT_MAX_SPOOL_BYTES
from encoder.readers.faults import damaged, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

Compression = Literal["gzip", "zlib", "bzip2"]

_CHUNK_BYTES = 1 << 20
_MAX_DEFLATE_RATIO = 1032  # https://zlib.net/zlib_tech.html, "Maximum Compression Factor"
_RESERVED_BYTES, _RESERVED_PART = 1 << 30, 20  # the smaller: 1 GiB, a twentieth of the disk
_ZLIB_OR_GZIP_HEADER = zlib.MAX_WBITS | 32


def spool(
    file: IO[bytes],
    compression: Compression,
    *,
    skip: int = 0,
    expected: int,
    source: str,
    max_bytes: int = DEFAULT_MAX_SPOOL_BYTES,
) -> IO[bytes]:
    """Decompress the rest of a file into an unnamed temporary file.

    The temporary file has no name on POSIX, so that it is gone once closed, even by a crash.

    Args:
        file: Compressed file, at the first byte of its stream.
        compression: How it is compressed.
        skip: Decompressed bytes to leave out first.
        expected: Bytes that must then follow; no more are ever written.
        source: Name of the scan, for the error.
        max_bytes: Bytes that may be expected, at most.

    Returns:
        The temporary file: ``expected`` bytes.

    Raises:
        ScanError: ``TRUNCATED``, ``SIZE_MISMATCH`` (more than expected), ``TOO_LARGE``,
            ``UNREADABLE`` (damaged stream, or no room on disk).
    """
    _check_promise(file, compression, expected=expected, source=source, max_bytes=max_bytes)
    with ExitStack() as stack:
        spooled = stack.enter_context(tempfile.TemporaryFile())
        written = -skip
        for chunk in _decompressed(file, compression, source=source):
            kept = chunk[max(0, -written) :]
            written += len(chunk)
            if written > expected:
                raise _too_long(source, expected)
            _write(spooled, kept, source=source)
        if written < expected:
            raise truncated(
                source,
                f"its header promises {expected:,} bytes of voxels, {max(0, written):,} were found",
            )
        spooled.flush()
        stack.pop_all()
    return spooled


def decompressed_head(
    file: IO[bytes], compression: Compression, *, size: int, source: str
) -> bytes:
    """Decompress the first bytes of a file.

    Returns:
        ``size`` bytes, fewer if the stream has no more.

    Raises:
        ScanError: ``TRUNCATED`` or ``UNREADABLE`` (damaged stream).
    """
    head = b""
    for chunk in _decompressed(file, compression, source=source):
        head += chunk
        if len(head) >= size:
            break
    return head[:size]


def _check_promise(
    file: IO[bytes], compression: Compression, *, expected: int, source: str, max_bytes: int
) -> None:
    compressed = os.fstat(file.fileno()).st_size - file.tell()
    if compression != "bzip2" and expected > (compressed + 1) * _MAX_DEFLATE_RATIO:
        raise truncated(
            source,
            f"its header promises {expected:,} bytes, which {compressed:,} compressed bytes "
            "can't hold",
        )
    if expected > max_bytes:
        raise ScanError(
            source,
            ScanFault.TOO_LARGE,
            problem=f"it decompresses to {expected:,} bytes, at most {max_bytes:,} are spooled "
            "to disk",
            remedy="store it uncompressed or crop it, or raise the limit (max_spool_bytes) if you "
            "trust the file",
        )
    _check_room(expected, source=source)


def _check_room(needed: int, *, source: str) -> None:
    """Refuse to fill the disk to the brim: other programs, and other decoders, write there too."""
    folder = tempfile.gettempdir()
    disk = shutil.disk_usage(folder)
    free = max(0, disk.free - min(_RESERVED_BYTES, disk.total // _RESERVED_PART))
    if needed > free:
        raise _no_room(
            source,
            f"it needs {needed:,} bytes in {folder}, {free:,} are free beside what is kept free",
        )


def _write(spooled: IO[bytes], chunk: bytes, *, source: str) -> None:
    _check_room(len(chunk), source=source)
    try:
        spooled.write(chunk)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _no_room(source, f"the disk of {tempfile.gettempdir()} is full") from error


def _decompressed(file: IO[bytes], compression: Compression, *, source: str) -> Iterator[bytes]:
    try:
        match compression:
            case "gzip":
                with gzip.GzipFile(fileobj=file) as members:
                    yield from _chunks(members)
            case "bzip2":
                with bz2.BZ2File(file) as stream:
                    yield from _chunks(stream)
            case "zlib":
                yield from _inflated(file)
            case _:
                assert_never(compression)
    except EOFError as error:
        raise truncated(source, f"its {compression} stream ends before its end mark") from error
    except (OSError, zlib.error) as error:
        raise damaged(source, f"its {compression} stream is damaged ({error})") from error


def _chunks(stream: gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _inflated(file: IO[bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj(_ZLIB_OR_GZIP_HEADER)
    while not engine.eof:
        data = engine.unconsumed_tail or file.read(_CHUNK_BYTES)
        if not data:
            raise EOFError
        yield engine.decompress(data, _CHUNK_BYTES)


def _too_long(source: str, expected: int) -> ScanError:
    return ScanError(
        source,
        ScanFault.SIZE_MISMATCH,
        problem=f"it decompresses to more than the {expected:,} bytes that its header promises",
        remedy="export it again: header and voxels don't belong together",
    )


def _no_room(source: str, problem: str) -> ScanError:
    return ScanError(
        source,
        ScanFault.UNREADABLE,
        problem=f"it can't be decompressed to disk: {problem}",
        remedy="free space, set TMPDIR to a larger disk, or store it uncompressed",
    )
