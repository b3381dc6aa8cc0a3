"""Scans that left the bucket of a stack, so that what was told of them follows where they went.

A bucket tells of a move as of a new object and of one that is gone, and workers see to either at
once: when the sweep compares, the index has forgotten what was where. So the content of a scan is
noted before the scan is removed, and kept for a day. The sweep looks for it elsewhere: in a scan
that nothing is told of, and that was stored about when the other one left.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.broker import broker_calls
from infra.filters import In
from infra.lookup import records_of
from infra.moves import find_moves
from infra.store_errors import (
    BadKeyError,
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
)
from ingest_worker.following import follow
from ingest_worker.library_table import read_maps, read_rows, row_key, tables_of_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis import Redis

    from infra.bucket_metadata import BucketMetadata
    from infra.object_store import ObjectStat, ObjectStore
    from infra.site import Site
    from infra.vector_index import Collection

KEPT_SECONDS = 24 * 3600.0
"""What did not turn up elsewhere for so long was deleted, not moved."""

COPIED_BEFORE = timedelta(hours=1)
"""Tools copy a folder before they remove it; a copy that is older is a scan of its own."""

_KEY = "lithoscope:departed"
_AT_ONCE = 500
_LOG = logging.getLogger(__name__)


class Departure(NamedTuple):
    """What is known of a scan that is gone: its content, and when that was seen."""

    etag: str
    seen: float


class Departures:
    """Scans that left the bucket lately, kept in the broker: a hint, no more."""

    def __init__(self, client: Redis) -> None:
        """Keep them in a broker."""
        self._client = client

    def note(self, etags: Mapping[str, str]) -> None:
        """Note scans that are gone.

        Args:
            etags: What they were, by key.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        now = time.time()
        told: dict[Any, str] = {_field(key): json.dumps([etag, now]) for key, etag in etags.items()}
        if told:
            with broker_calls(_KEY):
                self._client.hset(_KEY, mapping=told)

    def read(self) -> dict[str, Departure]:
        """Those of the last day, by key; older ones are forgotten.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_KEY):
            found: Any = self._client.hgetall(_KEY)
        told = {
            name.decode("utf-8", "surrogatepass"): Departure(*json.loads(text))
            for name, text in found.items()
        }
        now = time.time()
        old = [key for key, each in told.items() if now - each.seen > KEPT_SECONDS]
        self.forget(old)
        return {key: each for key, each in told.items() if key not in set(old)}

    def forget(self, keys: Iterable[str]) -> None:
        """Forget scans.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        fields: list[Any] = list(map(_field, keys))
        if fields:
            with broker_calls(_KEY):
                self._client.hdel(_KEY, *fields)


def note_departures(
    departures: Departures, objects: ObjectStore, *, collection: Collection, keys: Sequence[str]
) -> None:
    """Note those of some scans that are indexed and gone, before they are removed.

    Args:
        departures: Where they are noted.
        objects: The bucket.
        collection: The live collection.
        keys: The scans.

    Raises:
        LithoscopeError: A service is away.
    """
    there = records_of(collection, keys)
    departures.note({key: each.etag for key, each in there.items() if _is_gone(objects, key)})


def follow_departures(
    site: Site, departures: Departures, *, collection: Collection, metadata: BucketMetadata
) -> bool:
    """Have tables and lists of ours follow scans that turned up elsewhere.

    Args:
        site: The site.
        departures: Scans that are gone.
        collection: The live collection.
        metadata: The bucket's tables.

    Returns:
        Whether tables changed.

    Raises:
        LithoscopeError: A service is away, or a list is damaged; the next sweep goes on.
    """
    left = departures.read()
    if not left:
        return False
    objects = site.objects
    told = _told(objects)
    gone = {key: each for key, each in left.items() if key in told or row_key(key) in told}
    departures.forget(left.keys() - gone.keys())  # nothing is told of them that could follow
    new = _turned_up(objects, gone, collection=collection)
    found = find_moves(
        {key: each.etag for key, each in gone.items()},
        {key: etag for key, etag in new.items() if key not in told},
    )
    moved = {key: there for key, there in found.items() if _is_gone(objects, key)}
    following = follow(objects, moved, metadata=metadata, lock=site.library_lock)
    departures.forget(found)
    if following:
        _LOG.info("%s", following.told())
    return bool(following)


def _told(objects: ObjectStore) -> set[str]:
    """Keys that lists and tables of ours name."""
    named = {key for told in read_maps(objects).values() for key in told.files}
    return named.union(*(read_rows(objects, name) for name in tables_of_ours(objects)))


def _turned_up(
    objects: ObjectStore, gone: Mapping[str, Departure], *, collection: Collection
) -> dict[str, str]:
    """Etags of indexed scans with the content of some that are gone, stored about then."""
    left = {each.etag: each.seen for each in gone.values()}
    etags = sorted(left)
    found = {}
    for start in range(0, len(etags), _AT_ONCE):
        for record in collection.records(In("etag", tuple(etags[start : start + _AT_ONCE]))):
            stat = _stat(objects, record.object_key)
            when = datetime.fromtimestamp(left[record.etag], UTC) - COPIED_BEFORE
            if stat is not None and stat.etag == record.etag and stat.modified > when:
                found[record.object_key] = record.etag
    return found


def _stat(objects: ObjectStore, key: str) -> ObjectStat | None:
    """What an object is; None where it is gone, or can't be looked at."""
    try:
        return objects.stat(key)
    except (ObjectMissingError, ObjectChangedError, StoreRefusedError, BadKeyError):
        return None


def _is_gone(objects: ObjectStore, key: str) -> bool:
    try:
        objects.stat(key)
    except ObjectMissingError:
        return True
    except (ObjectChangedError, StoreRefusedError, BadKeyError):
        pass
    return False


def _field(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
