"""Keep a collection up with its bucket: what comes, changes and goes is indexed as it happens.

A folder is looked at every few seconds, and a file is taken up once it is the same at two looks.
An S3 bucket tells nobody here: it is compared as a whole, at an interval.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from infra.bucket_metadata import METADATA_PREFIX, BucketMetadata
from infra.folder_watch import WATCHED_PREFIXES, FolderChanges, FolderWatch
from infra.indexing.errors import IndexUnavailableError
from infra.quarantine import QUARANTINE_PREFIX
from infra.store_errors import StoreAwayError
from ingest_worker.following import follow
from ingest_worker.pipeline import ingest_objects

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.coverage import Coverage
    from ingest_worker.context import IngestContext
    from ingest_worker.models import Target
    from ingest_worker.outcomes import Outcome

LOOK_SECONDS = 2.0
"""Shortest wait between two looks at a folder."""

_SHARE = 20
"""Times as long as a look takes that is waited before the next: 5 % of a core."""

_FEW = 256
"""Scans that are looked at one by one; of more, a comparison tells sooner what is to be done."""

_SCANS = "scans/"
_RECORD_SUFFIX = ".json"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be looked at.

    Attributes:
        keys: Scans that came or changed; None for all, as where some went: they may have been
            moved, which only a comparison tells.
        is_settled: Says of a scan that is not indexed yet whether it was written to its end.
    """

    keys: tuple[str, ...] | None
    is_settled: Callable[[str], bool]


class Source(Protocol):
    """Says what happened in a bucket."""

    def look(self) -> Batch:
        """Look once.

        Raises:
            StoreAwayError: The bucket is away.
        """

    def wait_seconds(self) -> float:
        """How long to wait before the next look."""


class FolderSource:
    """A bucket in a folder."""

    def __init__(self, folder: Path, *, seconds: float = LOOK_SECONDS) -> None:
        """Look at a folder, at least so many seconds apart."""
        self._watch = FolderWatch(folder, (*WATCHED_PREFIXES, QUARANTINE_PREFIX))
        self._seconds = seconds
        self._cost = 0.0
        self._settled: set[str] = set()

    def look(self) -> Batch:
        """Look once; see `Source.look`."""
        began = time.monotonic()
        changes = self._watch.look()
        self._cost = time.monotonic() - began
        self._settled.update(changes.settled)
        self._settled.difference_update(changes.removed)
        freed = filter(self._settled.__contains__, _let_out(changes))
        scans = [key for key in changes.settled if key.startswith(_SCANS)]
        is_for_all = _has_tables(changes) or _has_lost_scans(changes)
        keys = None if is_for_all else tuple(dict.fromkeys((*scans, *freed)))
        return Batch(keys=keys, is_settled=self._settled.__contains__)

    def wait_seconds(self) -> float:
        """How long to wait; see `Source.wait_seconds`."""
        return max(self._seconds, _SHARE * self._cost)


@dataclass(slots=True)
class IntervalSource:
    """A bucket that is compared as a whole, again and again.

    Attributes:
        seconds: Time between two comparisons.
    """

    seconds: float

    def look(self) -> Batch:
        """Ask for everything; objects of S3 appear when they are whole."""
        return Batch(keys=None, is_settled=lambda _: True)

    def wait_seconds(self) -> float:
        """How long to wait; see `Source.wait_seconds`."""
        return self.seconds


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Watches a bucket for one collection.

    Attributes:
        target: What is kept up.
        context: What ingest needs.
        source: Says what happened.
        stop: Ends the watch when it is set.
        on_compared: Called with a comparison once all that one found is done.
        on_followed: Called with a line that says which tables follow scans that were moved.
    """

    target: Target
    context: IngestContext
    source: Source
    stop: threading.Event
    on_compared: Callable[[Coverage], None]
    on_followed: Callable[[str], None]
    _is_behind: bool = field(default=True)

    def outcomes(self, *, follow: bool) -> Iterator[Outcome]:
        """Watch until told to stop.

        Args:
            follow: End as well when another collection becomes the live one.

        Yields:
            What became of each object, as it happens; what is there already comes first.

        Raises:
            StoreRefusedError: The bucket may not be read.
            LithoscopeError: What ingest can't go on with.
        """
        while not self.stop.is_set():
            try:
                if follow and self.target.site.index.live() != self.target.collection.name:
                    return
                yield from self._handle(self.source.look())
            except (StoreAwayError, IndexUnavailableError) as error:
                self._is_behind = True  # what the look told is not told again
                _LOG.warning("%s; looking again", error)
            self.stop.wait(self.source.wait_seconds())

    def _handle(self, batch: Batch) -> Iterator[Outcome]:
        keys = batch.keys
        if keys is not None and not self._is_behind and len(keys) <= _FEW:
            if keys:
                self._read_tables()
                yield from ingest_objects(keys, self.context)
            return
        self._read_tables()
        found = self.target.compare(self.context.metadata)
        self._follow(found)
        work = _work(found, batch.is_settled)
        if work:
            yield from ingest_objects(work, self.context)
        is_first, self._is_behind = self._is_behind, False
        if (work or is_first) and all(map(batch.is_settled, (*found.missing, *found.changed))):
            self.on_compared(self.target.compare(self.context.metadata) if work else found)

    def _follow(self, found: Coverage) -> None:
        """Have tables follow scans that were moved, before the index forgets where those were."""
        site, metadata = self.target.site, self.context.metadata
        if following := follow(
            site.objects, found.moved, metadata=metadata, lock=site.library_lock
        ):
            self.on_followed(following.told())
            self._read_tables()

    def _read_tables(self) -> None:
        """Read the tables again: a row may be about a scan that just came."""
        metadata = BucketMetadata.read(self.target.site.objects)
        self.context = replace(self.context, metadata=metadata)


def _work(coverage: Coverage, is_settled: Callable[[str], bool]) -> list[str]:
    """What is to be done, but for files that may not be written to their end yet."""
    fresh = filter(is_settled, (*coverage.missing, *coverage.changed))
    return [*fresh, *coverage.stale, *coverage.corrected, *coverage.orphaned]


def _has_tables(changes: FolderChanges) -> bool:
    return any(key.startswith(METADATA_PREFIX) for key in (*changes.settled, *changes.removed))


def _has_lost_scans(changes: FolderChanges) -> bool:
    return any(key.startswith(_SCANS) for key in changes.removed)


def _let_out(changes: FolderChanges) -> Iterator[str]:
    """Scans that are not in quarantine any more."""
    for key in changes.removed:
        if key.startswith(f"{QUARANTINE_PREFIX}{_SCANS}"):
            yield key.removeprefix(QUARANTINE_PREFIX).removesuffix(_RECORD_SUFFIX)
