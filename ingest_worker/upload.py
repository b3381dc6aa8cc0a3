"""Copy a library's scans into the bucket, each under its key; what is there already stays.

The library's table is stored before its scans, so that none is seen without its metadata. Objects
are put whole or not at all: a run that is broken off is taken up by the next.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from infra.folder_etags import EtagCache
from infra.store_errors import ObjectMissingError, StoreError, StoreRefusedError
from ingest_worker.library_table import (
    Library,
    owners,
    read_map,
    row_key,
    write_map,
    write_table,
)
from ingest_worker.patience import Patience
from ingest_worker.planning import Refusal, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from infra.object_store import ObjectEntry, ObjectStore
    from infra.packing import Packed
    from ingest_worker.planning import PlannedScan

COPIES_AT_ONCE = 4
"""Threads that copy, unless told: a store's answers are waited for most of the time."""

_SCANS = "scans/"


class Stored(Enum):
    """What became of a scan's file."""

    COPIED = auto()
    UNCHANGED = auto()


@dataclass(slots=True)
class Upload:
    """What an upload did.

    Attributes:
        keys: Objects that hold the scans now, copied or unchanged.
        copied: Number that were copied.
        unchanged: Number that were there already.
        moved: Former keys of scans whose reservoir or sample was corrected; their objects are
            removed.
        refused: Files that were not taken.
        notes: What is worth telling, one line each.
    """

    keys: list[str] = field(default_factory=list)
    copied: int = 0
    unchanged: int = 0
    moved: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where scans are copied to.

    Attributes:
        objects: The store.
        cache: Folder for remembered hashes and unfinished files.
        lock: Held while what libraries say is read, changed and written, never while scans are
            copied: others ingest meanwhile.
        patience: How long a store that is away is waited for; not at all unless told.
        at_once: Files that are copied at the same time.
    """

    objects: ObjectStore
    cache: Path
    lock: AbstractContextManager[object]
    patience: Patience = field(default_factory=lambda: Patience(total_seconds=0.0))
    at_once: int = COPIES_AT_ONCE


def upload(scans: Sequence[PlannedScan], bucket: Bucket, *, tick: Callable[[], None]) -> Upload:
    """Copy scans into the bucket.

    Args:
        scans: From `planning.plan_scans`.
        bucket: Where to.
        tick: Called after each scan.

    Raises:
        StoreAwayError: The store is away; what was copied stays, and the next run goes on.
        LithoscopeError: A list of the bucket's is damaged.
    """
    done = Upload()
    by_root: dict[Path, list[PlannedScan]] = {}
    for scan in scans:
        by_root.setdefault(scan.root, []).append(scan)
    for root, of_root in by_root.items():
        _upload_library(Library(root), of_root, bucket=bucket, done=done, tick=tick)
    return done


def _upload_library(
    library: Library,
    scans: Sequence[PlannedScan],
    *,
    bucket: Bucket,
    done: Upload,
    tick: Callable[[], None],
) -> None:
    copier = _Copier(bucket)
    try:
        own = read_map(bucket.objects, library)
        copier.look({*own, *(scan.key for scan in scans)})
        sources = owners(bucket.objects, besides=library)
        sources |= {key: str(library.root / file) for key, file in own.items()}
        scans = copier.without_conflicts(scans, sources, done=done)
        files = _announce(library, scans, bucket=bucket, has=copier.has)
        copied = copier.copy(scans, done=done, tick=tick)
    finally:
        copier.close()
    keys = {scan.key for scan in scans}
    left = {
        key: file
        for key, file in files.items()
        if file in copied and key not in keys and copier.has(key)
    }
    if left and (gone := _let_go(library, left, bucket=bucket, kept=keys)):
        now = next(scan.key for scan in scans if scan.inside == left[gone[0]])
        for key in gone:
            del files[key]
        done.moved += gone
        more = f", and {len(gone) - 1:,} more" if len(gone) > 1 else ""
        done.notes.append(
            f"{library.root}: its names have moved {gone[0]} to {now}{more}; other names are to be "
            "told there, not in the bucket"
        )
    _note_lost(library, files, done=done)


def _announce(
    library: Library,
    scans: Sequence[PlannedScan],
    *,
    bucket: Bucket,
    has: Callable[[str], bool],
) -> dict[str, str]:
    """Store what a library says of scans before they are copied.

    Returns:
        The library's files by object key. Those that are not in the bucket are left out, unless
        another run may just be copying them.
    """
    mine = {scan.inside for scan in scans}
    with bucket.lock:
        files = {
            key: file
            for key, file in read_map(bucket.objects, library).items()
            if has(key) or (file not in mine and os.path.lexists(library.root / file))
        }
        files |= {scan.key: scan.inside for scan in scans}
        write_map(bucket.objects, library, files=files)  # a crash leaves no object unaccounted for
        write_table(bucket.objects, library, scans={scan.key: scan.metadata for scan in scans})
    return files


def _let_go(library: Library, keys: Iterable[str], *, bucket: Bucket, kept: set[str]) -> list[str]:
    """Remove the objects of former keys, but for those that other libraries hold too.

    Args:
        library: The library.
        keys: Keys that its scans no longer have.
        bucket: Where they are.
        kept: Keys that they have.

    Returns:
        Keys of what was removed.
    """
    objects = bucket.objects
    with bucket.lock:
        elsewhere = owners(objects, besides=library)
        gone = sorted(key for key in keys if key not in elsewhere)
        if gone:
            for key in gone:
                objects.delete(key)
            write_table(objects, library, scans={}, gone={*map(row_key, gone)} - kept)
            now = read_map(objects, library)
            write_map(objects, library, files={k: now[k] for k in now.keys() - {*gone}})
    return gone


def _note_lost(library: Library, files: Mapping[str, str], *, done: Upload) -> None:
    """Tell which scans have lost their file: whether they are wanted is not for us to say."""
    lost = [key for key, file in files.items() if not os.path.lexists(library.root / file)]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        done.notes.append(
            f"{library.root}: no longer holds {files[lost[0]]}{more}, which stays indexed; remove "
            f"{lost[0]}{more} from the bucket if it is to go"
        )


class _Copier:
    """Copies scans with a few threads, and remembers the hashes of what it read."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        bucket.cache.mkdir(parents=True, exist_ok=True)
        self._hashes = EtagCache(bucket.cache / "sources.sqlite")
        self._threads = ThreadPoolExecutor(bucket.at_once, thread_name_prefix="copy")
        self._patience = replace(bucket.patience, stop=Event())
        self._there: dict[str, ObjectEntry | None] = {}

    def close(self) -> None:
        """Let those that are being copied finish; the others are not begun."""
        self._patience.stop.set()
        self._threads.shutdown(cancel_futures=True)
        self._hashes.close()

    def look(self, keys: set[str]) -> None:
        """See which objects there are, before anything is copied.

        The bucket may hold far more than a library: only their folders are listed, and of what is
        there only they are kept.
        """
        self._there |= dict.fromkeys(keys)
        for found in self._threads.map(partial(self._listed, keys=keys), _folders(keys)):
            self._there |= found

    def has(self, key: str) -> bool:
        """Whether there was such an object before anything was copied."""
        if key not in self._there:  # another run has told of it since
            self.look({key})
        return self._there[key] is not None

    def without_conflicts(
        self, scans: Sequence[PlannedScan], sources: Mapping[str, str], *, done: Upload
    ) -> list[PlannedScan]:
        """Refuse scans whose object holds another file that is still there, with other content.

        Args:
            scans: Scans to be stored.
            sources: Path that each object was copied from.
            done: Where refusals go.
        """
        taken = []
        for scan in scans:
            if owner := self._other_owner(scan, sources.get(scan.key)):
                reason = (
                    f"gets the object key {scan.key}, which holds another file, {owner}; rename "
                    "one, or correct its reservoir or sample in the metadata"
                )
                done.refused.append(Refusal(str(scan.packed.path), reason))
            else:
                taken.append(scan)
        return taken

    def copy(
        self, scans: Sequence[PlannedScan], *, done: Upload, tick: Callable[[], None]
    ) -> set[str]:
        """Store scans.

        Returns:
            Paths, inside their library, of those that are stored now.
        """
        stored = set()
        started = {self._threads.submit(self._store, scan): scan for scan in scans}
        for future in as_completed(started):
            scan, result = started.pop(future), future.result()
            if isinstance(result, Refusal):
                done.refused.append(result)
            else:
                stored.add(scan.inside)
                done.keys.append(scan.key)
                done.copied += result is Stored.COPIED
                done.unchanged += result is Stored.UNCHANGED
            tick()
        return stored

    def _listed(self, folder: str, *, keys: set[str]) -> dict[str, ObjectEntry]:
        pages = self._bucket.objects.pages(folder)
        return {entry.key: entry for page in pages for entry in page if entry.key in keys}

    def _other_owner(self, scan: PlannedScan, owner: str | None) -> str | None:
        path = scan.packed.path
        if owner is None or not self.has(scan.key) or not os.path.lexists(owner):
            return None
        if os.path.realpath(owner) == os.path.realpath(path):
            return None
        try:
            is_same, _ = self._compare(scan)
        except (OSError, StoreRefusedError):  # it is refused when it is copied
            return None
        return None if is_same else owner

    def _store(self, scan: PlannedScan) -> Stored | Refusal:
        path = str(scan.packed.path)
        try:
            return self._patience.keep_trying(lambda: self._put(scan))
        except StoreError as error:
            if error.retryable:
                raise
            return Refusal(path, str(error))
        except OSError as error:
            return Refusal(path, unreadable(error))

    def _put(self, scan: PlannedScan) -> Stored:
        packed = scan.packed
        wanted = dict(packed.user_metadata)
        if self.has(scan.key):
            is_same, kept = self._compare(scan)
            if is_same and kept.items() >= wanted.items():
                return Stored.UNCHANGED
            if is_same:
                wanted = {**kept, **wanted}
        before = packed.path.stat()
        with packed.file(self._bucket.cache) as file:
            stat = self._bucket.objects.put(scan.key, file, user_metadata=wanted)
        if packed.joined is None and stat.sha256:
            self._remember(packed.path, before, sha256=stat.sha256)
        return Stored.COPIED

    def _compare(self, scan: PlannedScan) -> tuple[bool, Mapping[str, str]]:
        """Say whether a scan's object has its content, and which user metadata."""
        sha256 = self._sha256(scan.packed)
        there = self._there[scan.key]
        if there is not None and there.etag == sha256 and not scan.packed.user_metadata:
            return True, {}
        try:
            stat = self._bucket.objects.stat(scan.key)
        except ObjectMissingError:  # gone since it was listed
            return False, {}
        return stat.sha256 == sha256, stat.user_metadata

    def _sha256(self, packed: Packed) -> str:
        if packed.joined is not None:
            return packed.sha256()
        before = packed.path.stat()
        sha256 = self._hashes.find(before)
        if sha256 is None:
            sha256 = packed.sha256()
            self._remember(packed.path, before, sha256=sha256)
        return sha256

    def _remember(self, path: Path, before: os.stat_result, *, sha256: str) -> None:
        """Remember a file's hash, if the file was the same before and after it was read."""
        after = path.stat()
        if _signs(before) == _signs(after):
            self._hashes.remember(after, sha256)


def _folders(keys: Iterable[str]) -> list[str]:
    """Folders of some scans' keys, none inside another."""
    folders: list[str] = []
    for folder in sorted({f"{key.rpartition('/')[0]}/" for key in keys if key.startswith(_SCANS)}):
        if not folders or not folder.startswith(folders[-1]):
            folders.append(folder)
    return folders


def _signs(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
