"""What the index and the pictures hold beside the scan records, counted row by row."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.coverage import SCANS, Coverage, compare
from infra.indexing.records import record_id
from infra.pictures import PICTURE_PREFIXES, PictureKey, PictureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.bucket_metadata import BucketMetadata
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStore
    from infra.quarantine import Quarantine
    from infra.vector_index import Collection

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
    objects: ObjectStore,
    collection: Collection,
    *,
    fingerprint: str,
    metadata: BucketMetadata,
    quarantine: Quarantine,
    prefix: str = SCANS,
) -> DeepCoverage:
    """Compare as `infra.coverage.compare` does, and count every row and picture.

    Nothing else may be ingesting meanwhile: rows and pictures that are just being written look
    like those that a crash left.

    Args:
        objects: The store.
        collection: What one bundle has indexed.
        fingerprint: That bundle's preprocessing.
        metadata: The store's tables.
        quarantine: The store's quarantine records.
        prefix: What the keys begin with that are compared. Pictures that are of no indexed scan
            are told whatever it is: their keys don't tell what they were of.

    Raises:
        StoreError: The store is away, or may not be read.
        VectorIndexError: The index is away, or refuses.
    """
    coverage = compare(
        objects,
        collection,
        fingerprint=fingerprint,
        metadata=metadata,
        quarantine=quarantine,
        prefix=prefix,
    )
    records = {record.object_key: record for record in collection.records()}
    inside = [record for key, record in sorted(records.items()) if key.startswith(prefix)]
    stored = collection.stored_generations()
    pictures = _Pictures(records)
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
    """Pictures that are there, held against the scan records."""

    def __init__(self, records: Mapping[str, ScanRecord]) -> None:
        self.orphaned: list[str] = []
        self._owners = {record_id(key): record for key, record in records.items()}
        self._counts: defaultdict[tuple[str, PictureKind], int] = defaultdict(int)

    def take(self, entry: ObjectEntry) -> None:
        """Count one picture."""
        key = PictureKey.parse(entry.key)
        if key is None:
            _LOG.warning("%s: no picture of ours; put it elsewhere", entry.key)
            return
        owner = self._owners.get(key.scan)
        if owner is None or owner.generation != key.generation or key.slice_index >= owner.n_slices:
            self.orphaned.append(entry.key)
        elif entry.size > 0:
            self._counts[owner.object_key, key.kind] += 1

    def is_whole(self, record: ScanRecord) -> bool:
        """Whether every slice of a scan has its pictures."""
        return all(self._counts[record.object_key, kind] == record.n_slices for kind in PictureKind)


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
