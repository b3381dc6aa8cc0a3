"""What one object is to an index: indexed as it is now, or what is to be done about it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from encoder.metadata.problems import MetadataError
from infra.generations import content_of, generation_of
from infra.quarantine import METADATA_FAULT, MODEL_FAULTS
from infra.store_errors import (
    BadKeyError,
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
)
from infra.store_keys import check_key
from infra.stored_scans import layout_of, may_be_headerless
from infra.vector_index import collection_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import ThreadPoolExecutor

    from infra.bucket_metadata import BucketMetadata
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStat, ObjectStore
    from infra.quarantine import QuarantineRecord


class State(StrEnum):
    """What an object is; the values are names of `Coverage`."""

    INDEXED = "indexed"
    MISSING = "missing"
    CHANGED = "changed"
    STALE = "stale"
    CORRECTED = "corrected"
    UNRESOLVED = "unresolved"
    QUARANTINED = "quarantined"


class Looks:
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


class Case(NamedTuple):
    """An object, with what the index and the quarantine say of it."""

    entry: ObjectEntry
    record: ScanRecord | None
    refusal: QuarantineRecord | None
    layout: str = ""

    @property
    def content(self) -> str:
        """Name of what is there."""
        return content_of(self.entry.etag, self.layout)

    @property
    def needs_layout(self) -> bool:
        """Whether its user metadata may make another content of its bytes than was met before."""
        is_known = self.record is not None or self.refusal is not None
        return is_known and may_be_headerless(self.entry.key)

    @property
    def is_refused(self) -> bool:
        """Whether the quarantine record is about the content that is there."""
        if self.refusal is None:
            return False
        if self.refusal.etag:
            return self.refusal.content == self.content
        return not self.entry.etag or is_bad_key(self.entry.key)


class Judge:
    """Tells what objects are to one collection."""

    def __init__(
        self, looks: Looks, metadata: BucketMetadata, *, fingerprint: str, collection: str
    ) -> None:
        """Judge by a store's tables, for a collection of one fingerprint."""
        self._looks = looks
        self._metadata = metadata
        self._fingerprint = fingerprint
        self._collection = collection

    def with_layouts(self, cases: Sequence[Case]) -> list[Case]:
        """Add how headerless volumes are laid out now: no listing tells it."""
        stats = self._looks.stats([case.entry.key for case in cases if case.needs_layout])
        layouts = {key: layout_of(stat) for key, stat in stats.items()}
        return [case._replace(layout=layouts.get(case.entry.key, "")) for case in cases]

    def states(self, cases: Sequence[Case]) -> list[State]:
        """Tell what each of some objects is.

        By the tables alone where those decide; only where metadata is not what a scan was indexed
        with, its object is asked for its user metadata.
        """
        found = [self._at_first_sight(case) for case in cases]
        doubtful = [case.entry.key for case, state in zip(cases, found, strict=True) if not state]
        stats = self._looks.stats(doubtful)
        return [
            state or self._looked_at(case, stats.get(case.entry.key))
            for case, state in zip(cases, found, strict=True)
        ]

    def has_lapsed(self, case: Case, state: State) -> bool:
        """Whether an object's quarantine record says nothing any more."""
        is_pending = case.is_refused and state in (State.CHANGED, State.STALE)
        if case.refusal is None or state is State.QUARANTINED or is_pending:
            return False
        is_held = state is not State.MISSING or case.refusal.fault in MODEL_FAULTS
        return not (case.is_refused and is_held and self._is_anothers(case.refusal))

    def _at_first_sight(self, case: Case) -> State | None:
        """What an object is by its listing; None where its user metadata must tell."""
        entry, record, *_ = case
        if record is None:
            return self._not_indexed(case)
        if record.etag != entry.etag:
            return State.CHANGED
        if record.generation != generation_of(case.content, self._fingerprint):
            return State.STALE
        if self._metadata.faults:
            return State.UNRESOLVED
        is_same = self._metadata.hash_by_tables(entry.key) == record.metadata_hash
        return State.INDEXED if is_same else None

    def _not_indexed(self, case: Case) -> State | None:
        refusal = case.refusal
        if refusal is None or not case.is_refused:
            return State.MISSING
        if refusal.fault in MODEL_FAULTS and self._is_anothers(refusal):
            return State.MISSING
        is_freed = refusal.fault == METADATA_FAULT and not self._metadata.faults
        return None if is_freed else State.QUARANTINED

    def _looked_at(self, case: Case, stat: ObjectStat | None) -> State:
        """What an object is whose user metadata is known, unless it is gone or changed since."""
        entry, record, *_ = case
        if stat is None or stat.etag != entry.etag:
            if record is None:
                return State.QUARANTINED if is_bad_key(entry.key) else State.MISSING
            return State.CHANGED
        found = self._hash_of(stat)
        if record is None:
            return State.QUARANTINED if found is None else State.MISSING
        if found is None:
            return State.UNRESOLVED
        return State.INDEXED if found == record.metadata_hash else State.CORRECTED

    def _hash_of(self, stat: ObjectStat) -> str | None:
        """Hash of the metadata of an object; None if it is wrong."""
        try:
            return self._metadata.resolve(stat.key, stat.user_metadata).metadata_hash()
        except MetadataError:
            return None

    def _is_anothers(self, refusal: QuarantineRecord) -> bool:
        """Whether other models refused it: `reindex` fills a collection beside the live one."""
        parts = [model.rpartition("-") for model in refusal.models]
        names = {collection_name(encoder, version) for encoder, dash, version in parts if dash}
        return bool(names) and self._collection not in names


def is_bad_key(key: str) -> bool:
    """Whether the store's calls refuse a key."""
    try:
        check_key(key)
    except BadKeyError:
        return True
    return False
