"""What is indexed, for people to look through."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infra.model_versions import ModelRegistryError
from search_ui.catalogue import Catalogue
from search_ui.library_reading import read_overview, read_scan_page
from search_ui.library_views import (
    LibraryOverview,
    NameCount,
    SamplePoint,
    ScanPage,
    ScanSummary,
    SlicePage,
)
from search_ui.requests import NOTHING_LIVE, SearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from infra.indexing.records import ScanRecord
    from infra.site import Site
    from infra.vector_index import Collection

__all__ = [
    "Library",
    "LibraryOverview",
    "NameCount",
    "SamplePoint",
    "ScanPage",
    "ScanSummary",
    "SlicePage",
]

BELIEVED_SECONDS = 20.0
"""So long equal counts are taken for an unchanged library; then metadata is compared as well."""

REST = 5.0
"""While scans are being indexed an overview is as old as this many times what reading one takes."""

MAX_REST_SECONDS = 10.0
"""But never older than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """An overview, and what it was made of.

    Attributes:
        counts: Collection, rows and scans.
        digest: Of all scan records.
        looked: When that was looked at, by the clock.
        seconds: How long reading it took.
        overview: What was made of it.
    """

    counts: tuple[str, int, int]
    digest: str
    looked: float
    seconds: float
    overview: LibraryOverview


class Library:
    """The live collection, to look through. Any thread may ask."""

    def __init__(self, site: Site, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look through a site.

        Args:
            site: The installation.
            clock: Seconds, of no particular beginning.
        """
        self._site = site
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: _Remembered | None = None

    def overview(self, *, fresh: bool = False) -> LibraryOverview:
        """What is indexed; remembered until something else is.

        Args:
            fresh: Whether it may not be a little old while scans are being indexed.

        Raises:
            SearchError: Nothing is live.
        """
        collection = self._live()
        counts = (collection.name, collection.count_stored(), collection.count_scans())
        with self._lock:  # one thread reads, the others wait for what it finds
            known, now = self._remembered, self._clock()
            age = 0.0 if known is None else now - known.looked
            if known is not None and _is_good(known, counts, age=age, fresh=fresh):
                return known.overview
            records = list(collection.records())
            digest = _digest(records)
            if known is not None and (known.counts, known.digest) == (counts, digest):
                self._remembered = replace(known, looked=now)
                return known.overview
            overview = read_overview(
                collection, records, bundle_id=self._bundle_id(collection.name)
            )
            done = self._clock()
            self._remembered = _Remembered(
                counts=counts, digest=digest, looked=done, seconds=done - now, overview=overview
            )
            return overview

    def scan_page(self, object_key: str) -> ScanPage:
        """Everything that is known of a scan.

        Raises:
            SearchError: It is not indexed.
        """
        collection = self._live()
        record = collection.record(object_key)
        rows = [row for row, _ in collection.slices(object_key)] if record else []
        if record is None or not rows:
            raise Catalogue(collection).unknown_object(object_key)
        return read_scan_page(record, rows)

    def _live(self) -> Collection:
        name = self._site.index.live()
        if name is None:
            raise SearchError(NOTHING_LIVE)
        return self._site.index.open(name)

    def _bundle_id(self, collection: str) -> str | None:
        try:
            return self._site.models.of_collection(collection).bundle_id
        except ModelRegistryError:  # what is indexed can be looked through all the same
            return None


def _is_good(known: _Remembered, counts: tuple[str, int, int], *, age: float, fresh: bool) -> bool:
    """Whether an overview needs not be read again yet."""
    if known.counts == counts:
        return age < BELIEVED_SECONDS
    rest = min(REST * known.seconds, MAX_REST_SECONDS)
    return not fresh and known.counts[0] == counts[0] and age < rest


def _digest(records: Iterable[ScanRecord]) -> str:
    known = sorted((each.object_key, each.generation, each.metadata_hash) for each in records)
    return hashlib.sha256(repr(known).encode("utf-8", "surrogatepass")).hexdigest()
