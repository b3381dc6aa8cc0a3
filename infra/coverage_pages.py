"""Comparing a bucket with a collection part by part, in memory that grows with neither.

The store lists objects in the order of their keys; the index has no order, but finds the records
whose keys lie between two. So the bucket is cut into parts of so many objects, and each is held
against the records between the former part's last key and its own: what is listed and has no
record is not indexed, and what has a record and is not listed is looked at, and gone. Quarantine
records are listed in the order of scans' keys, too, and are read along.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from infra.coverage_cases import Case, Judge, Looks, State
from infra.filters import Between
from infra.object_store import PAGE_SIZE
from infra.quarantine_order import Refusals
from infra.store_keys import is_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from infra.bucket_metadata import BucketMetadata
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStore
    from infra.quarantine import Quarantine, QuarantineRecord
    from infra.vector_index import Collection

PART = 16_000
"""Objects of a part at most: an index gives as many records (`MAX_LIMIT`) in one answer."""

_CALLS_AT_ONCE = 16
_UNLISTED_AT_ONCE = 1000
_LAPSED_AT_ONCE = 10_000
_LAST_CHARACTER = "\U0010ffff"


@dataclass(slots=True, kw_only=True)
class CoveragePage:
    """What was found in a part; the names are those of `infra.coverage.Coverage`.

    Attributes:
        up_to: Key to go on after, once all that is here is done; None where that was the last.
        indexed: Objects that are indexed as they are now.
        slices: Slices of those.
        keys: Keys of the other objects, by what they are.
        orphaned: Indexed, and not in the store any more.
        lapsed: Quarantine records that say nothing any more, by key.
        new: Etags of objects that are missing, by key.
        gone: Etags of scans whose object is gone, by key.
    """

    up_to: str | None
    indexed: int = 0
    slices: int = 0
    keys: dict[str, list[str]] = field(
        default_factory=lambda: {str(state): [] for state in State if state is not State.INDEXED}
    )
    orphaned: list[str] = field(default_factory=list)
    lapsed: dict[str, QuarantineRecord] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """Number of objects."""
        return self.indexed + sum(map(len, self.keys.values()))

    def note(self, case: Case, state: State, *, has_lapsed: bool) -> None:
        """Note what an object is."""
        key = case.entry.key
        if state is State.INDEXED:
            self.indexed += 1
            self.slices += 0 if case.record is None else case.record.n_slices
        else:
            self.keys[state].append(key)
        if state is State.MISSING:
            self.new[key] = case.entry.etag
        if has_lapsed and case.refusal is not None:
            self.lapsed[key] = case.refusal

    def add(self, other: CoveragePage) -> None:
        """Take over what was found in another part."""
        self.indexed += other.indexed
        self.slices += other.slices
        for name, keys in other.keys.items():
            self.keys[name] += keys
        self.orphaned += other.orphaned
        self.lapsed |= other.lapsed
        self.new |= other.new
        self.gone |= other.gone


class Part(NamedTuple):
    """Objects that follow one another, and nothing else between two keys.

    Attributes:
        entries: The objects.
        after: Key that they come after; empty for the first.
        up_to: Key of the last one that an index can hold; None where no more come.
    """

    entries: list[ObjectEntry]
    after: str
    up_to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A store's scans and a collection, to be compared.

    Attributes:
        objects: The store.
        collection: What one bundle has indexed.
        fingerprint: That bundle's preprocessing.
        metadata: The store's tables.
        quarantine: The store's quarantine records.
        prefix: What the keys begin with that are compared.
    """

    objects: ObjectStore
    collection: Collection
    fingerprint: str
    metadata: BucketMetadata
    quarantine: Quarantine
    prefix: str

    def pages(
        self, *, start_after: str = "", first: int = PART
    ) -> Generator[CoveragePage, None, None]:
        """Compare part by part.

        Args:
            start_after: Only what comes after this key: where a former comparison was left.
            first: Objects of the first part; each next one has twice as many, up to `PART`.

        Yields:
            What was found, in the order of the parts' keys; of a part with much that is gone,
            that comes first, in pages that are left out of `CoveragePage.up_to`.

        Raises:
            StoreError: The store is away, or may not be read: nothing is taken for gone.
            VectorIndexError: The index is away, or refuses.
        """
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as calls:
            looks = Looks(self.objects, calls)
            judge = Judge(
                looks,
                self.metadata,
                fingerprint=self.fingerprint,
                collection=self.collection.name,
            )
            refusals = Refusals(self.quarantine, looks, prefix=self.prefix, start_after=start_after)
            comparing = _Comparing(self, looks, judge=judge, refusals=refusals)
            parts = parts_of(self.objects, self.prefix, start_after=start_after, first=first)
            coming = calls.submit(next, parts, None)
            while (part := coming.result()) is not None:
                coming = calls.submit(next, parts, None)  # listed while the index answers
                yield from comparing.pages_of(part)


class _Comparing:
    """A comparison under way."""

    def __init__(
        self, comparison: Comparison, looks: Looks, *, judge: Judge, refusals: Refusals
    ) -> None:
        self._comparison = comparison
        self._looks = looks
        self._judge = judge
        self._refusals = refusals

    def pages_of(self, part: Part) -> Iterator[CoveragePage]:
        """Compare a part."""
        keys = [entry.key for entry in part.entries]
        refused, loose = self._refusals.of(keys, after=part.after, up_to=part.up_to)
        listed = frozenset(keys)
        records: dict[str, ScanRecord] = {}
        unlisted: dict[str, ScanRecord] = {}
        for record in self._records(part):
            (records if record.object_key in listed else unlisted)[record.object_key] = record
            if len(unlisted) >= _UNLISTED_AT_ONCE:
                page = CoveragePage(up_to=part.after)
                self._take_unlisted(unlisted, loose, page=page)
                yield page
                unlisted = {}
        page = CoveragePage(up_to=part.up_to)
        self._take(
            [Case(entry, records.get(entry.key), refused.get(entry.key)) for entry in part.entries],
            page=page,
        )
        self._take_unlisted(unlisted, loose, page=page)
        for absent in self._refusals.absent(loose, is_last=part.up_to is None):
            page.lapsed |= absent
            page.gone = {key: refusal.etag for key, refusal in absent.items()} | page.gone
            if len(page.lapsed) >= _LAPSED_AT_ONCE:
                rest = CoveragePage(up_to=page.up_to)
                page.up_to = part.after
                yield page
                page = rest
        yield page

    def _records(self, part: Part) -> Iterator[ScanRecord]:
        prefix = self._comparison.prefix
        where = Between(
            field="object_key",
            after=part.after or prefix[:-1] or None,
            up_to=last_of(prefix) if part.up_to is None else part.up_to,
        )
        found = self._comparison.collection.records(where)
        return (record for record in found if record.object_key.startswith(prefix))

    def _take(self, cases: Sequence[Case], *, page: CoveragePage) -> None:
        cases = self._judge.with_layouts(cases)
        for case, state in zip(cases, self._judge.states(cases), strict=True):
            page.note(case, state, has_lapsed=self._judge.has_lapsed(case, state))

    def _take_unlisted(
        self,
        unlisted: dict[str, ScanRecord],
        loose: dict[str, QuarantineRecord],
        *,
        page: CoveragePage,
    ) -> None:
        """Look at what is indexed and was not listed: listings may miss what just changes."""
        there = self._looks.unlisted(sorted(unlisted))
        self._take(
            [Case(entry, unlisted[entry.key], loose.pop(entry.key, None)) for entry in there],
            page=page,
        )
        gone = unlisted.keys() - {entry.key for entry in there}
        page.orphaned += sorted(gone)
        page.gone |= {key: unlisted[key].etag for key in sorted(gone)}


def parts_of(objects: ObjectStore, prefix: str, *, start_after: str, first: int) -> Iterator[Part]:
    """Cut a store's objects into parts; there is at least one.

    Args:
        objects: The store.
        prefix: What the keys begin with.
        start_after: Only what comes after this key.
        first: Objects of the first part; each next one has twice as many, up to `PART`.
    """
    entries: list[ObjectEntry] = []
    after, size = start_after, min(first, PART)
    for page in objects.pages(prefix, start_after=start_after, page_size=min(size, PAGE_SIZE)):
        if len(entries) >= size and (up_to := _last_text(entries)) is not None:
            yield Part(entries, after, up_to)
            entries, after, size = [], up_to, min(2 * size, PART)
        entries += page
    yield Part(entries, after, None)


def _last_text(entries: Sequence[ObjectEntry]) -> str | None:
    """Last key that is Unicode: no other is ever in an index, or said to one."""
    return next((entry.key for entry in reversed(entries) if is_text(entry.key)), None)


def last_of(prefix: str) -> str | None:
    """A text that comes after every key that begins with a prefix."""
    stem = prefix.rstrip(_LAST_CHARACTER)
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    is_surrogate = 0xD800 <= following <= 0xDFFF  # no text has those
    return stem[:-1] + chr(0xE000 if is_surrogate else following)
