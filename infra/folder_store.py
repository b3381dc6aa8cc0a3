"""Objects in a folder: the bucket of one machine.

The files are ordinary ones, and may be put there by hand. What the store adds lies in the hidden
folder ``.lithoscope``: unfinished files, user metadata, remembered hashes and a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.folder_etags import EtagCache
from infra.folder_files import opened_file, opened_folder, refuse_link, told, told_writing
from infra.folder_listing import walk
from infra.folder_sidecars import Sidecars
from infra.local_files import appearing, chunks_of, copy_bounded, source_chunks, synced, too_large
from infra.object_store import PAGE_SIZE, SMALL_BYTES, ObjectEntry, ObjectStat
from infra.store_errors import ChecksumError, ObjectChangedError, ObjectMissingError, StoreError
from infra.store_keys import check_key, check_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO

STATE_FOLDER = ".lithoscope"
"""Hidden folder of what the store itself keeps."""

_ABANDONED_SECONDS = 24 * 3600.0
"""Unfinished files older than this are of writers that died."""

_TRIES = 3
"""Times that a file which changes while it is hashed is hashed again."""


class FolderStore:
    """`infra.object_store.ObjectStore` on a folder, for any number of threads and processes.

    Content's SHA-256 is its etag, remembered by size, time of change and inode. Links are never
    followed. A file and a folder can't have one name, as in MinIO: ``a`` and ``a/b`` exclude
    each other.

    Attributes:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        """Open a folder.

        Raises:
            StoreAwayError: There is no such folder.
            StoreRefusedError: It may not be read.
        """
        self.root = root.absolute()
        try:
            with opened_folder(self.root, ()):
                pass
        except OSError as error:
            raise told(error, str(root)) from error
        self._state = self.root / STATE_FOLDER
        with contextlib.suppress(OSError):  # a folder that is only read needs no state
            self._state.mkdir(exist_ok=True)
        self._etags = EtagCache(self._state / "etags.sqlite")
        self._sidecars = Sidecars(self._state / "metadata")
        self._remove_abandoned()

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = PAGE_SIZE
    ) -> Iterator[list[ObjectEntry]]:
        """List objects; see `infra.object_store.ObjectStore.pages`."""
        page: list[ObjectEntry] = []
        for found in walk(self.root, prefix=prefix, start_after=start_after):
            try:
                etag, status = self._etags.find(found.status), found.status
                if etag is None:
                    etag, status = self._hash(found.key)
            except ObjectMissingError:  # gone meanwhile
                continue
            except StoreError as error:
                if error.retryable and not isinstance(error, ObjectChangedError):
                    raise  # the disk is away: that is no property of this file
                etag, status = "", found.status
            page.append(
                ObjectEntry(
                    key=found.key, size=status.st_size, etag=etag, modified=_modified(status)
                )
            )
            if len(page) >= page_size:
                yield page
                page = []
        if page:
            yield page

    def stat(self, key: str) -> ObjectStat:
        """Look at one object; see `infra.object_store.ObjectStore.stat`."""
        check_key(key)
        for _ in range(_TRIES):
            status = self._status(key)
            etag = self._etags.find(status)
            if etag is None:
                etag, status = self._hash(key)
            with contextlib.suppress(ObjectChangedError):
                return self._stat(key, etag, status=status)
        raise ObjectChangedError(f"{key}: keeps changing; wait until it is written")

    def get(self, key: str, target: Path, *, max_bytes: int, etag: str | None = None) -> ObjectStat:
        """Copy an object into a file; see `infra.object_store.ObjectStore.get`."""
        with appearing(target) as file:
            return self._copy(key, file, max_bytes=max_bytes, etag=etag)

    def read(self, key: str, *, max_bytes: int = SMALL_BYTES) -> bytes:
        """Read a small object; see `infra.object_store.ObjectStore.read`."""
        content = io.BytesIO()
        self._copy(key, content, max_bytes=max_bytes, etag=None)
        return content.getvalue()

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,
    ) -> ObjectStat:
        """Store an object; see `infra.object_store.ObjectStore.put`."""
        check_key(key)
        metadata = check_metadata(user_metadata or {})
        try:
            with self._unfinished() as (path, file):
                etag = _fill(file, source, key=key)
                if is_durable:
                    synced(file)
                else:
                    file.flush()
                if sha256 is not None and etag != sha256.lower():
                    raise ChecksumError(
                        f"{key}: SHA-256 expected {sha256}, found {etag}; get the file again"
                    )
                status = os.fstat(file.fileno())
                with self._locked():
                    with self._place(key, is_durable=is_durable) as (folder, name):
                        self._sidecars.write(key, etag, metadata=metadata)
                        os.replace(path, name, dst_dir_fd=folder)
                    self._sidecars.keep_only(key, etag)
        except OSError as error:
            raise told_writing(error, key) from error
        return self._stat(key, etag, status=status, metadata=metadata)

    def delete(self, key: str) -> None:
        """Remove an object; see `infra.object_store.ObjectStore.delete`."""
        *folders, name = check_key(key).split("/")
        try:
            with self._locked():
                with (
                    contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
                    opened_folder(self.root, tuple(folders)) as folder,
                ):
                    refuse_link(folder, name)
                    os.unlink(name, dir_fd=folder)
                    os.fsync(folder)
                self._sidecars.remove(key)
                self._prune(tuple(folders))
        except OSError as error:
            raise told(error, key) from error

    def close(self) -> None:
        """Close the remembered hashes."""
        self._etags.close()

    def _stat(
        self,
        key: str,
        etag: str,
        *,
        status: os.stat_result,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectStat:
        if metadata is None:
            metadata = self._metadata(key, etag, status=status)
        return ObjectStat(
            key=key,
            size=status.st_size,
            etag=etag,
            modified=_modified(status),
            sha256=etag,
            user_metadata=metadata,
        )

    def _metadata(self, key: str, etag: str, *, status: os.stat_result) -> dict[str, str]:
        """Give the metadata of a content that was just read.

        Raises:
            ObjectChangedError: There is none, but perhaps only since another content took its
                place meanwhile.
        """
        try:
            metadata = self._sidecars.read(key, etag)
        except OSError as error:
            raise told(error, f"user metadata of {key}") from error
        if not metadata and not os.path.samestat(status, self._status(key)):
            raise ObjectChangedError(f"{key}: overwritten while it was read; try again")
        return metadata

    def _status(self, key: str) -> os.stat_result:
        with opened_file(self.root, key) as file:
            return os.fstat(file)

    def _hash(self, key: str) -> tuple[str, os.stat_result]:
        """Read a file for its hash; a file that is being written in place gives up after a while.

        Raises:
            ObjectChangedError: It changed during every try.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(ObjectChangedError):
                return self._copied(key, None, max_bytes=sys.maxsize)
        raise ObjectChangedError(f"{key}: keeps changing; wait until it is written")

    def _copied(
        self, key: str, target: BinaryIO | None, *, max_bytes: int
    ) -> tuple[str, os.stat_result]:
        with opened_file(self.root, key) as descriptor:
            before = os.fstat(descriptor)
            if before.st_size > max_bytes:
                raise too_large(key, before.st_size, max_bytes=max_bytes)
            with open(descriptor, "rb", closefd=False) as file:
                chunks = _told_chunks(file, key)
                size, digest = copy_bounded(chunks, target, key=key, max_bytes=max_bytes)
            after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (size, after.st_mtime_ns):
            raise ObjectChangedError(f"{key}: changed while it was read; try again")
        self._etags.remember(after, digest)
        return digest, after

    def _copy(self, key: str, target: BinaryIO, *, max_bytes: int, etag: str | None) -> ObjectStat:
        found, status = self._copied(check_key(key), target, max_bytes=max_bytes)
        if etag is not None and found != etag:
            raise ObjectChangedError(f"{key}: is not the version {etag[:12]} any more; look again")
        return self._stat(key, found, status=status)

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[tuple[Path, BinaryIO]]:
        with opened_folder(self.root, (STATE_FOLDER, "unfinished"), make=True):
            folder = self._state / "unfinished"
        path = folder / secrets.token_hex(8)
        try:
            with path.open("xb") as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    def _remove_abandoned(self) -> None:
        with contextlib.suppress(OSError):
            for path in (self._state / "unfinished").iterdir():
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _place(self, key: str, *, is_durable: bool) -> Iterator[tuple[int, str]]:
        """Make the folder that an object's file is renamed into: the one change that counts."""
        *folders, name = key.split("/")
        with opened_folder(self.root, tuple(folders), make=True, is_durable=is_durable) as folder:
            refuse_link(folder, name)
            yield folder, name
            if is_durable:
                os.fsync(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out, of this process and of others; for renames, never for copies."""
        with opened_folder(self.root, (STATE_FOLDER,), make=True):
            pass
        with (self._state / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _prune(self, folders: tuple[str, ...]) -> None:
        """Remove folders that a deletion left empty, as a bucket has none; not the topmost."""
        for depth in range(len(folders), 1, -1):
            try:
                with opened_folder(self.root, folders[: depth - 1]) as folder:
                    os.rmdir(folders[depth - 1], dir_fd=folder)
            except OSError:  # not empty, or gone
                return


def _fill(file: BinaryIO, source: Path | bytes, *, key: str) -> str:
    """Write a source into a file.

    Returns:
        Its SHA-256.
    """
    chunks = source_chunks(source)
    _, digest = copy_bounded(chunks, file, key=key, max_bytes=sys.maxsize)
    return digest


def _told_chunks(file: BinaryIO, key: str) -> Iterator[bytes]:
    try:
        yield from chunks_of(file)
    except OSError as error:
        raise told(error, key) from error


def _modified(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
