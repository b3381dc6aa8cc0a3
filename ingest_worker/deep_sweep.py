"""The stack's deep sweep: rows and pictures that are missing, or that nothing vouches for.

Workers write meanwhile, and what is just being written looks like what a crash left: so only what
is not on its way is touched, each thing is looked at once more before, and pictures have to be old.
Scans that lack something are marked, and found as changed by the next sweep, which sends them.
"""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.broker import broker_calls, open_broker
from infra.coverage import SCANS
from infra.deep_pages import owed, picture_pages, row_pages
from infra.fed_collections import fed_collections
from infra.filters import And, In
from infra.indexing.records import record_id
from infra.pictures import PICTURE_PREFIXES, PictureKey
from infra.task_names import DEEP_SWEEP
from ingest_worker.feeding import Passes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from infra.deep_pages import DeepPage
    from infra.object_store import ObjectEntry
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from infra.vector_index import Collection

AGE = timedelta(hours=1)
"""Younger pictures may be of a scan that is about to be committed."""

STEP_SECONDS = 60.0
"""A step ends with the part that it looks at after so long."""

_ROWS = "rows"
_KINDS = (_ROWS, *PICTURE_PREFIXES)
"""What is looked through, one after the other."""

_LOCK = "deep"
_PLACE_KEY = "lithoscope:deep-sweep"
_AT_ONCE = 500
_LOG = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where a step was left: in what of a collection, and after which key or id."""

    collection: str
    kind: str
    after: str


def run_deep_sweep(site: Site, queue: TaskQueue) -> None:
    """Take a step of the deep sweep, and ask for the next one unless that was the last.

    Args:
        site: The site.
        queue: The stack's queues.

    Raises:
        LithoscopeError: A service is away: the next step goes on.
    """
    if not deep_step(site, queue):
        queue.request(DEEP_SWEEP)


def deep_step(site: Site, queue: TaskQueue) -> bool:
    """Count rows and pictures of what is fed for a minute, and have set right what differs.

    What is fed is the live collection, and one that is being filled: it may be live before the
    next time. Where it was left is kept in the broker, and the next step goes on there.

    Args:
        site: The site.
        queue: The stack's queues.

    Returns:
        Whether it is at its end, or another worker is at it.

    Raises:
        LithoscopeError: A service is away: the next step goes on.
    """
    with closing(open_broker(site.settings)) as client:
        lock = Passes(client)
        if not lock.hold(_LOCK):
            return True
        try:
            return _go_on(site, queue, client=client, lock=lock)
        finally:
            lock.release(_LOCK)


def _go_on(site: Site, queue: TaskQueue, *, client: Redis, lock: Passes) -> bool:
    stages = [(name, kind) for name in fed_collections(site) for kind in _KINDS]
    place = _read_place(client)
    if place is not None and (place.collection, place.kind) in stages:
        stages = stages[stages.index((place.collection, place.kind)) :]
    else:
        place = None
    deadline = time.monotonic() + STEP_SECONDS
    for name, kind in stages:
        collection = site.index.open(name)
        after = place.after if place is not None else ""
        place = None
        for page in _pages(site, collection, kind=kind, start_after=after):
            _set_right(page, site, collection=collection, queue=queue)
            if page.up_to is None:
                continue
            _write_place(client, _Place(name, kind, page.up_to))
            if not lock.hold(_LOCK) or time.monotonic() > deadline:
                return False
    _write_place(client, None)
    return True


def _pages(
    site: Site, collection: Collection, *, kind: str, start_after: str
) -> Iterator[DeepPage]:
    objects = site.objects
    if kind == _ROWS:
        return row_pages(collection, objects, prefix=SCANS, start_after=start_after)
    return picture_pages(
        collection,
        index=site.index,
        objects=objects,
        prefix=SCANS,
        kinds=(kind,),
        start_after=start_after,
    )


def _read_place(client: Redis) -> _Place | None:
    with broker_calls(_PLACE_KEY):
        found: Any = client.get(_PLACE_KEY)
    try:
        return None if found is None else _Place(*json.loads(found))
    except (ValueError, TypeError) as error:
        _LOG.warning("%s: can't be read (%s); begun anew", _PLACE_KEY, error)
        return None


def _write_place(client: Redis, place: _Place | None) -> None:
    with broker_calls(_PLACE_KEY):
        if place is None:
            client.delete(_PLACE_KEY)
        else:
            client.set(_PLACE_KEY, json.dumps(place))


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
