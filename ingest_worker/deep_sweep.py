"""The stack's deep sweep: rows and pictures that are missing, or that nothing vouches for.

Workers write meanwhile, and what is just being written looks like what a crash left: so only what
is not on its way is touched, each thing is looked at once more before, and pictures have to be old.
Scans that lack something are marked, and found as changed by the next sweep, which sends them.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from infra.coverage import SCANS
from infra.deep_pages import owed, picture_pages, row_pages
from infra.fed_collections import fed_collections
from infra.filters import And, In
from infra.indexing.records import record_id
from infra.pictures import PICTURE_PREFIXES, PictureKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from infra.deep_pages import DeepPage
    from infra.object_store import ObjectEntry
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from infra.vector_index import Collection

AGE = timedelta(hours=1)
"""Younger pictures may be of a scan that is about to be committed."""

_AT_ONCE = 500
_LOG = logging.getLogger(__name__)


def run_deep_sweep(site: Site, queue: TaskQueue) -> None:
    """Count every row and picture of what is fed, and have set right what differs.

    That is the live collection, and one that is being filled: it may be live before the next time.

    Args:
        site: The site.
        queue: The stack's queues.

    Raises:
        LithoscopeError: A service is away: what is left is found by the next one.
    """
    for name in fed_collections(site):
        collection = site.index.open(name)
        rows = row_pages(collection, site.objects, prefix=SCANS)
        pictures = picture_pages(collection, index=site.index, objects=site.objects, prefix=SCANS)
        for page in chain(rows, pictures):
            _set_right(page, site, collection=collection, queue=queue)


def _set_right(page: DeepPage, site: Site, *, collection: Collection, queue: TaskQueue) -> None:
    for keys in _batches((*page.short_of_rows, *page.short_of_pictures)):
        flying = queue.are_in_flight(keys, collection=collection.name)
        short = [
            key for key in keys if key not in flying and _is_short(key, site, collection=collection)
        ]
        collection.doubt(short)
        if short:
            _LOG.warning("%d scans lack rows or pictures, such as %s", len(short), short[0])
    for keys in _batches(page.uncommitted):
        flying = queue.are_in_flight(keys, collection=collection.name)
        collection.sweep(key for key in keys if key not in flying)
    for start in range(0, len(page.orphaned), _AT_ONCE):
        _remove_orphans(page.orphaned[start : start + _AT_ONCE], site, queue=queue)


def _is_short(key: str, site: Site, *, collection: Collection) -> bool:
    """Whether a scan lacks rows or pictures now, and was not committed anew meanwhile."""
    record = collection.record(key)
    if record is None:
        return False
    where = And((In("object_key", (key,)), In("generation", (record.generation,))))
    counts = [collection.count_stored(where)]
    for kind in PICTURE_PREFIXES:
        pages = site.objects.pages(f"{kind}{record_id(key)}/{record.generation}/")
        entries = (entry for page in pages for entry in page if entry.size > 0)
        counts.append(sum(_index(entry.key) < record.n_slices for entry in entries))
    is_short = any(count != record.n_slices for count in counts)
    return is_short and collection.record(key) == record


def _index(key: str) -> float:
    picture = PictureKey.parse(key)
    return math.inf if picture is None else picture.slice_index


def _remove_orphans(entries: Sequence[ObjectEntry], site: Site, *, queue: TaskQueue) -> None:
    """Remove old pictures that no record of any collection vouches for, on its way or there."""
    before = datetime.now(UTC) - AGE
    old = {
        entry.key: key
        for entry in entries
        if entry.modified < before and (key := PictureKey.parse(entry.key)) is not None
    }
    if not old:
        return
    flying = {record_id(key) for name in site.index.collections() for key in queue.in_flight(name)}
    vouched = owed(site.index, {key.scan for key in old.values()})
    for name, key in old.items():
        is_owed = key.slice_index < vouched.get((key.scan, key.generation), 0)
        if not is_owed and key.scan not in flying:
            site.objects.delete(name)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _AT_ONCE):
        yield unique[start : start + _AT_ONCE]
