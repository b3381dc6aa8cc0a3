"""What a collection has indexed of some scans, asked for together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.filters import In
from infra.indexing.records import record_id
from infra.indexing.schema import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.indexing.records import ScanRecord
    from infra.vector_index import Collection

_KEYS_AT_ONCE = 1000


def records_of(collection: Collection, object_keys: Sequence[str]) -> dict[str, ScanRecord]:
    """Find the records of scans, by object key; those that are not indexed are left out."""
    found: dict[str, ScanRecord] = {}
    for start in range(0, len(object_keys), _KEYS_AT_ONCE):
        ids = tuple(map(record_id, object_keys[start : start + _KEYS_AT_ONCE]))
        found |= {record.object_key: record for record in collection.records(In(KEY, ids))}
    return found
