"""What is indexed of what there is: the one comparison that "all indexed" is ever told from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from encoder.metadata.problems import MetadataError
from encoder.object_keys import SCANS_PREFIX
from infra.generations import generation_of
from infra.moves import find_moves
from infra.quarantine import METADATA_FAULT
from infra.store_errors import (
    BadKeyError,
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
)
from infra.store_keys import check_key
from infra.vector_index import collection_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.bucket_metadata import BucketMetadata
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStat, ObjectStore
    from infra.quarantine import Quarantine, QuarantineRecord
    from infra.vector_index import Collection

SCANS = f"{SCANS_PREFIX}/"
"""What the keys of scans begin with."""

_CALLS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a comparison found. Each object is counted once; keys are in the store's order.

    Attributes:
        objects: Objects in the store.
        indexed: Those that are committed with the content, fingerprint and metadata that they
            have now.
        slices: Slices of those.
        missing: Not indexed, and to be.
        changed: Indexed with another content.
        stale: Indexed with another slicing or preprocessing.
        corrected: Indexed, but for their metadata.
        unresolved: Indexed with the metadata that they had: what the tables and the object say now
            contradicts itself or can't be read. They stay as they are until that is corrected.
        quarantined: Refused with the content that they have now, and not indexed.
        orphaned: Indexed, and not in the store any more.
        lapsed: Not objects but quarantine records that say nothing any more: of an object that is
            gone, has other content, is indexed after all, or whose metadata was corrected. What
            another model refused, and this one has indexed, is that one's to clear.
        moved: Scans whose object is gone, with the missing object that has their content
            (`infra.moves.find_moves`): what is known of them by their key is about that one now.
    """

    objects: int
    indexed: int
    slices: int
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every object is indexed or quarantined, and nothing else is indexed."""
        return self.indexed + len(self.quarantined) == self.objects and not self.orphaned


def compare(
    objects: ObjectStore,
    collection: Collection,
    *,
    fingerprint: str,
    metadata: BucketMetadata,
    quarantine: Quarantine,
    prefix: str = SCANS,
) -> Coverage:
    """Compare the scans of a store with a collection.

    In memory are a listing's entry and a scan record for each object. Metadata is first resolved
    by the tables alone; only where that is not what a scan was indexed with, its object is asked
    for its user metadata.

    Args:
        objects: The store.
        collection: What one bundle has indexed.
        fingerprint: That bundle's preprocessing.
        metadata: The store's tables.
        quarantine: The store's quarantine records.
        prefix: What the keys begin with that are compared.

    Raises:
        StoreError: The store is away, or may not be read: nothing is taken for gone.
        VectorIndexError: The index is away, or refuses.
    """
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as calls:
        # The index answers while we list: whatever changes between the two is looked at again.
        reading = calls.submit(_records_in, collection, prefix)
        refused = {record.object_key: record for record in quarantine.records(prefix)}
        pages = []
        for page in objects.pages(prefix):
            pages.append(page)
            for entry in page:
                if not reading.done():
                    metadata.hash_by_tables(entry.key)
        comparison = _Comparison(_Looks(objects, calls), metadata, fingerprint=fingerprint)
        comparison.records, comparison.refused = reading.result(), refused
        comparison.collection = collection.name
        for page in pages:
            comparison.take(page)
        comparison.take_unlisted()
    return comparison.finished()


def _records_in(collection: Collection, prefix: str) -> dict[str, ScanRecord]:
    found = ((record.object_key, record) for record in collection.records())
    return {key: record for key, record in found if key.startswith(prefix)}


class _State(StrEnum):
    """What an object is; the values are names of `Coverage`."""

    INDEXED = "indexed"
    MISSING = "missing"
    CHANGED = "changed"
    STALE = "stale"
    CORRECTED = "corrected"
    UNRESOLVED = "unresolved"
    QUARANTINED = "quarantined"


class _Looks:
    """Looks at objects one by one, several at once."""

    def __init__(self, objects: ObjectStore, calls: ThreadPoolExecutor) -> None:
        self._objects = objects
        self._calls = calls

    def stats(self, keys: Sequence[str]) -> dict[str, ObjectStat]:
        """Those objects that can be looked at, by key."""
        found = self._calls.map(self._stat, keys)
        return {stat.key: stat for stat in found if stat is not None}

    def unlisted(self, keys: Sequence[str]) -> list[ObjectEntry]:
        """Those objects that are there although they were not listed."""
        return [entry for entry in self._calls.map(self._entry, keys) if entry is not None]

    def _stat(self, key: str) -> ObjectStat | None:
        try:
            return self._objects.stat(key)
        except (ObjectMissingError, ObjectChangedError, StoreRefusedError, BadKeyError):
            return None  # whoever ingests it finds out what it is

    def _entry(self, key: str) -> ObjectEntry | None:
        try:
            return self._objects.stat(key)
        except ObjectMissingError:
            return None
        except (ObjectChangedError, StoreRefusedError, BadKeyError):
            # Not to be read, or in a folder a link, which is no object: its listing tells.
            entries = (entry for page in self._objects.pages(key) for entry in page)
            return next((entry for entry in entries if entry.key == key), None)


class _Case(NamedTuple):
    """An object, with what the index and the quarantine say of it."""

    entry: ObjectEntry
    record: ScanRecord | None
    refusal: QuarantineRecord | None

    @property
    def is_refused(self) -> bool:
        """Whether the quarantine record is about the content that is there."""
        if self.refusal is None:
            return False
        if self.refusal.etag:
            return self.refusal.etag == self.entry.etag
        return not self.entry.etag or _is_bad_key(self.entry.key)


class _Comparison:
    """A comparison under way."""

    def __init__(self, looks: _Looks, metadata: BucketMetadata, *, fingerprint: str) -> None:
        self.records: dict[str, ScanRecord] = {}
        self.refused: dict[str, QuarantineRecord] = {}
        self.collection = ""
        self._looks = looks
        self._metadata = metadata
        self._fingerprint = fingerprint
        self._keys: dict[str, list[str]] = {str(state): [] for state in _State}
        self._lapsed: list[str] = []
        self._new: dict[str, str] = {}
        self._slices = 0

    def take(self, entries: Sequence[ObjectEntry]) -> None:
        """Sort a page of objects into what they are."""
        sorted_cases: list[tuple[_Case, _State | None]] = []
        for entry in entries:
            key = entry.key
            case = _Case(entry, self.records.pop(key, None), self.refused.pop(key, None))
            sorted_cases.append((case, self._at_first_sight(case)))
        doubtful = [case.entry.key for case, state in sorted_cases if state is None]
        stats = self._looks.stats(doubtful)
        for case, state in sorted_cases:
            self._note(case, state or self._looked_at(case, stats.get(case.entry.key)))

    def take_unlisted(self) -> None:
        """Look at what is indexed and was not listed: listings may miss what just changes."""
        self.take(self._looks.unlisted(sorted(self.records)))

    def finished(self) -> Coverage:
        """What was found."""
        keys = {name: tuple(found) for name, found in self._keys.items()}
        indexed = len(keys.pop(_State.INDEXED))
        gone = {key: refusal.etag for key, refusal in self.refused.items()}
        gone |= {key: record.etag for key, record in self.records.items()}
        return Coverage(
            objects=indexed + sum(map(len, keys.values())),
            indexed=indexed,
            slices=self._slices,
            orphaned=tuple(sorted(self.records)),
            lapsed=(*self._lapsed, *sorted(self.refused)),
            moved=find_moves(gone, self._new),
            **keys,
        )

    def _at_first_sight(self, case: _Case) -> _State | None:
        """What an object is by its listing; None where its user metadata must tell."""
        entry, record, refusal = case
        if record is None:
            if refusal is None or not case.is_refused:
                return _State.MISSING
            is_freed = refusal.fault == METADATA_FAULT and not self._metadata.faults
            return None if is_freed else _State.QUARANTINED
        if record.etag != entry.etag:
            return _State.CHANGED
        if record.generation != generation_of(entry.etag, self._fingerprint):
            return _State.STALE
        if self._metadata.faults:
            return _State.UNRESOLVED
        is_same = self._metadata.hash_by_tables(entry.key) == record.metadata_hash
        return _State.INDEXED if is_same else None

    def _looked_at(self, case: _Case, stat: ObjectStat | None) -> _State:
        """What an object is whose user metadata is known, unless it is gone or changed since."""
        entry, record, _ = case
        if stat is None or stat.etag != entry.etag:
            if record is None:
                return _State.QUARANTINED if _is_bad_key(entry.key) else _State.MISSING
            return _State.CHANGED
        found = self._hash_of(stat)
        if record is None:
            return _State.QUARANTINED if found is None else _State.MISSING
        if found is None:
            return _State.UNRESOLVED
        return _State.INDEXED if found == record.metadata_hash else _State.CORRECTED

    def _hash_of(self, stat: ObjectStat) -> str | None:
        """Hash of the metadata of an object; None if it is wrong."""
        try:
            return self._metadata.resolve(stat.key, stat.user_metadata).metadata_hash()
        except MetadataError:
            return None

    def _note(self, case: _Case, state: _State) -> None:
        self._keys[state].append(case.entry.key)
        if state is _State.MISSING:
            self._new[case.entry.key] = case.entry.etag
        if state is _State.INDEXED and case.record is not None:
            self._slices += case.record.n_slices
        is_pending = case.is_refused and state in (_State.CHANGED, _State.STALE)
        if case.refusal is None or state is _State.QUARANTINED or is_pending:
            return
        is_held = case.is_refused and state is not _State.MISSING
        if not (is_held and self._is_anothers(case.refusal)):
            self._lapsed.append(case.entry.key)

    def _is_anothers(self, refusal: QuarantineRecord) -> bool:
        """Whether another model refused it: `reindex` fills a collection beside the live one."""
        encoder, dash, version = refusal.model.rpartition("-")
        return bool(dash) and collection_name(encoder, version) != self.collection


def _is_bad_key(key: str) -> bool:
    try:
        check_key(key)
    except BadKeyError:
        return True
    return False
