"""Copying bytes into files, bounded and hashed; a file appears only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, BinaryIO

from infra.object_store import CHUNK_BYTES
from infra.store_errors import LocalFileError, ObjectTooLargeError, StoreRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """Read a file to its end, a chunk at a time."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def same_chunks(source: BinaryIO) -> Iterator[bytes]:
    """Read a file to its end, a chunk at a time, if nobody writes it meanwhile.

    Raises:
        StoreRefusedError: It changed while it was read.
    """
    before = os.fstat(source.fileno())
    yield from chunks_of(source)
    after = os.fstat(source.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed_source(source)


def changed_source(source: object) -> StoreRefusedError:
    """Say that what is to be stored is being written."""
    name = getattr(source, "name", "content")
    return StoreRefusedError(f"{name}: changed while it was stored; wait until it is written")


def source_chunks(source: Path | bytes) -> Iterator[bytes]:
    """Read what is to be stored, a chunk at a time.

    Raises:
        StoreRefusedError: The file can't be read, or changed while it was: bytes of two contents
            are none.
    """
    if isinstance(source, bytes):
        yield source
        return
    try:
        with source.open("rb") as file:
            yield from same_chunks(file)
    except OSError as error:
        raise StoreRefusedError(
            f"{source}: can't be read ({error.strerror}); give a file that can be"
        ) from error


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[BinaryIO]:
    """Open a hidden file beside a target, which takes the target's name at the end.

    Raises:
        LocalFileError: It can't be written, or the disk is full.
    """
    hidden = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with hidden.open("xb") as file:
            yield file
        hidden.replace(target)
    except OSError as error:
        raise LocalFileError(
            f"{target}: can't be written ({error.strerror}); choose another place or make room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)


def copy_bounded(
    chunks: Iterable[bytes], target: BinaryIO | None, *, key: str, max_bytes: int
) -> tuple[int, str]:
    """Copy chunks, counted and hashed.

    Args:
        chunks: The content.
        target: Where to; None to hash only.
        key: The object's key, for messages.
        max_bytes: No more than this is written.

    Returns:
        Bytes, and their SHA-256 in hexadecimal.

    Raises:
        ObjectTooLargeError: There are more bytes.
    """
    size, digest = 0, hashlib.sha256()
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise too_large(key, size, max_bytes=max_bytes)
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return size, digest.hexdigest()


def too_large(key: str, size: int, *, max_bytes: int) -> ObjectTooLargeError:
    """Say that an object has too many bytes."""
    return ObjectTooLargeError(
        f"{key}: {size} bytes or more, at most {max_bytes} are taken; raise the limit "
        "(LITHOSCOPE_DECODE__DOWNLOAD_MIB for scans) or store a smaller file"
    )


def synced(file: BinaryIO) -> None:
    """Wait until the disk has what was written."""
    file.flush()
    os.fsync(file.fileno())
