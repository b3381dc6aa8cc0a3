"""What the index and the pictures hold beside the scan records, counted row by row."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.coverage import SCANS, Coverage
from infra.indexing.records import record_id
from infra.pictures import PICTURE_PREFIXES, PictureKey, PictureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStore
    from infra.vector_index import Collection, VectorIndex

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepCoverage:
    """What a deep comparison found.

    Attributes:
        coverage: What `infra.coverage.compare` found.
        short_of_rows: Scans whose record promises another number of rows than there is.
        short_of_pictures: Scans of which thumbnails or previews are missing or empty.
        uncommitted: Keys with rows that no record vouches for: `Collection.sweep` removes them.
        orphaned_pictures: Keys of pictures that no record vouches for.
    """

    coverage: Coverage
    short_of_rows: tuple[str, ...] = ()
    short_of_pictures: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()
    orphaned_pictures: tuple[str, ...] = ()

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Scans to be ingested anew, although content, fingerprint and metadata are right."""
        return tuple(dict.fromkeys((*self.short_of_rows, *self.short_of_pictures)))

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, and nothing is there that should not be."""
        extra = (*self.incomplete, *self.uncommitted, *self.orphaned_pictures)
        return self.coverage.is_complete and not extra


def compare_deep(
    coverage: Coverage,
    collection: Collection,
    *,
    index: VectorIndex,
    objects: ObjectStore,
    prefix: str = SCANS,
) -> DeepCoverage:
    """Count the rows and pictures of a collection that was compared.

    Nothing else may be ingesting meanwhile: rows and pictures that are just being written look
    like those that a crash left.

    Args:
        coverage: What `infra.coverage.compare` found.
        collection: The collection that it was about.
        index: All collections: a picture that any of them vouches for is no orphan.
        objects: The store.
        prefix: What the keys of scans begin with that are compared. Pictures that are of no
            indexed scan are told in any case: their keys don't tell what they were of.

    Raises:
        StoreError: The store is away, or may not be read.
        VectorIndexError: The index is away, or refuses.
    """
    records = {record.object_key: record for record in collection.records()}
    inside = [record for key, record in sorted(records.items()) if key.startswith(prefix)]
    stored = collection.stored_generations()
    pictures = _Pictures()
    for record in records.values():
        pictures.owe(record)
    for name in index.collections():
        if name != collection.name:
            for record in index.open(name).records():
                pictures.owe(record)
    for entry in _entries(objects):
        pictures.take(entry)
    return DeepCoverage(
        coverage=coverage,
        short_of_rows=tuple(
            record.object_key
            for record in inside
            if stored.get((record.object_key, record.generation), 0) != record.n_slices
        ),
        short_of_pictures=tuple(
            record.object_key for record in inside if not pictures.is_whole(record)
        ),
        uncommitted=tuple(sorted(_uncommitted(stored, records, prefix=prefix))),
        orphaned_pictures=tuple(pictures.orphaned),
    )


class _Pictures:
    """Pictures that are there, held against those that scan records owe."""

    def __init__(self) -> None:
        self.orphaned: list[str] = []
        self._owed: dict[tuple[str, str], int] = {}
        self._counts: defaultdict[tuple[str, str, PictureKind], int] = defaultdict(int)

    def owe(self, record: ScanRecord) -> None:
        """Expect the pictures of an indexed scan."""
        self._owed[record_id(record.object_key), record.generation] = record.n_slices

    def take(self, entry: ObjectEntry) -> None:
        """Count one picture."""
        key = PictureKey.parse(entry.key)
        if key is None:
            _LOG.warning("%s: no picture of ours; put it elsewhere", entry.key)
        elif key.slice_index >= self._owed.get((key.scan, key.generation), 0):
            self.orphaned.append(entry.key)
        elif entry.size > 0:
            self._counts[key.scan, key.generation, key.kind] += 1

    def is_whole(self, record: ScanRecord) -> bool:
        """Whether every slice of a scan has its pictures."""
        scan = record_id(record.object_key)
        counts = (self._counts[scan, record.generation, kind] for kind in PictureKind)
        return all(count == record.n_slices for count in counts)


def _entries(objects: ObjectStore) -> Iterator[ObjectEntry]:
    for prefix in PICTURE_PREFIXES:
        for page in objects.pages(prefix):
            yield from page


def _uncommitted(
    stored: Mapping[tuple[str, str], int], records: Mapping[str, ScanRecord], *, prefix: str
) -> set[str]:
    return {
        key
        for key, generation in stored
        if key.startswith(prefix) and (key not in records or records[key].generation != generation)
    }
