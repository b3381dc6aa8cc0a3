"""Watching scans become searchable, by looking at the index alone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from infra.object_store import ObjectStore
    from infra.site import Site
    from infra.vector_index import Collection

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of some scans.

    Attributes:
        seconds: From each one's upload until it was searchable.
        missing: How many never were.
    """

    seconds: list[float]
    missing: int

    def told(self) -> str:
        """The same, in a line."""
        lost = f"; {self.missing} MISSING" if self.missing else "; none missing"
        if not self.seconds:
            return f"none searchable{lost}"
        p50, p95, longest = np.quantile(self.seconds, [0.5, 0.95, 1.0])
        return (
            f"{len(self.seconds)} searchable: p50 {p50:.2f} s, p95 {p95:.2f} s, longest "
            f"{longest:.2f} s{lost}"
        )


class Watch:
    """Notes when each of some scans is committed, from a thread of its own. A context manager."""

    def __init__(self, collection: Collection, keys: Iterable[str]) -> None:
        """Prepare it.

        Args:
            collection: Where they are looked for.
            keys: The scans.
        """
        self._collection = collection
        self._keys = set(keys)
        self._found: dict[str, float] = {}
        self._began = time.time()
        self._done = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    @property
    def seconds(self) -> float:
        """From the beginning until the last one was found."""
        return max(self._found.values(), default=self._began) - self._began

    def wait(self, seconds: float) -> bool:
        """Wait until all are found; gives whether they were in time."""
        return self._done.wait(seconds)

    def seen(self, objects: ObjectStore) -> Seen:
        """Tell how long each took from its time in the store."""
        stored = {
            entry.key: entry.modified.timestamp()
            for page in objects.pages("scans/")
            for entry in page
        }
        return self._told({key: stored[key] for key in self._keys})

    def backlog(self) -> Seen:
        """Tell how long each took from the beginning."""
        return self._told(dict.fromkeys(self._keys, self._began))

    def __enter__(self) -> Self:
        self._began = time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _told(self, since: dict[str, float]) -> Seen:
        seconds = [moment - since[key] for key, moment in self._found.items()]
        return Seen(seconds, missing=len(self._keys) - len(seconds))

    def _run(self) -> None:
        while not self._stop.is_set() and len(self._found) < len(self._keys):
            there = {record.object_key for record in self._collection.records()}
            now = time.time()
            for key in (there & self._keys) - self._found.keys():
                self._found[key] = now
            if len(self._found) < len(self._keys):
                self._stop.wait(_POLL_SECONDS)
        self._done.set()


def rows_are_exact(site: Site, collection: Collection) -> str | None:
    """Say what is wrong with a collection, if anything is: every object once, with all its rows."""
    stored = {entry.key: entry.etag for page in site.objects.pages("scans/") for entry in page}
    records = list(collection.records())
    if (found := sorted(record.object_key for record in records)) != sorted(stored):
        return f"WRONG: {len(found)} records of {len(stored)} objects"
    if stale := [each.object_key for each in records if each.etag != stored[each.object_key]]:
        return f"WRONG: {len(stale)} of another content, {stale[0]} first"
    wanted = {(each.object_key, each.generation): each.n_slices for each in records}
    if (rows := collection.stored_generations()) != wanted:
        wrong = dict(rows.items() ^ wanted.items())
        return f"WRONG: rows of {len(wrong)} generations, {min(wrong)} first"
    return None
