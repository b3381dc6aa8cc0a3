"""What a bucket's ``metadata/`` tables say of its scans.

A table that is broken might have spoken for any scan. So as long as there is one, no scan is
resolved: new scans wait, those that are indexed keep the metadata that they have, and the table's
problems are told. Nothing is ever indexed without metadata that it should have had.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError, MetadataProblem
from encoder.metadata.tables import TABLE_SUFFIXES, read_table
from encoder.object_keys import SCANS_PREFIX, ObjectKey, ObjectKeyError
from infra.store_errors import ObjectChangedError, ObjectMissingError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from encoder.metadata.records import ScanMetadata
    from encoder.metadata.tables import MetadataTable
    from infra.object_store import ObjectStore

METADATA_PREFIX = "metadata/"
"""Where a bucket's tables are."""

MAX_TABLE_BYTES = 256 << 20
"""Largest table that is read."""

_REMEMBERED = 100_000
"""Scans whose metadata is remembered: some 20 MB."""

_READS = 10
"""Times that a table is read which others write again and again."""

_NO_METADATA: Mapping[str, str] = {}


@dataclass(frozen=True)
class BucketMetadata:
    """The tables of a bucket, as they were when they were read.

    Attributes:
        index: Those that are right.
        faults: What is wrong with the others; no scan is resolved while there is any.
        etags: Etag by key of every object in ``metadata/``: another set of them means that the
            tables are to be read again.
        others: Objects in ``metadata/`` that are no tables, and say nothing.
    """

    index: MetadataIndex
    faults: tuple[MetadataProblem, ...]
    etags: Mapping[str, str]
    others: tuple[str, ...] = ()
    _hashes: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def read(cls, objects: ObjectStore) -> BucketMetadata:
        """Read the tables of a store.

        Raises:
            StoreError: The store is away, or may not be read.
        """
        etags = table_etags(objects)
        tables: list[tuple[MetadataTable, str]] = []
        faults: list[MetadataProblem] = []
        keys = [key for key in etags if key.casefold().endswith(TABLE_SUFFIXES)]
        with tempfile.TemporaryDirectory(prefix="lithoscope-") as folder:
            for key in keys:
                try:
                    table = _read(objects, key, folder=Path(folder))
                except ObjectMissingError:  # removed since it was listed
                    continue
                except MetadataError as error:
                    faults += error.problems
                else:
                    tables.append((table, SCANS_PREFIX))
        return cls(
            index=MetadataIndex(tables, _Scans(objects)),
            faults=tuple(faults),
            etags=etags,
            others=tuple(key for key in etags if key not in set(keys)),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the tables, a line each."""
        return tuple(map(str, self.faults))

    def resolve(self, key: str, user_metadata: Mapping[str, str] = _NO_METADATA) -> ScanMetadata:
        """Gather what is known of a scan.

        Args:
            key: Its object key.
            user_metadata: User metadata of the stored object.

        Raises:
            MetadataError: A table is broken, rows contradict each other, or user metadata is
                wrong.
        """
        if self.faults:
            raise MetadataError(self.faults)
        return self.index.resolve(key, user_metadata)

    def hash_by_tables(self, key: str) -> str | None:
        """Hash of a scan's metadata without its user metadata, remembered; None if it is wrong."""
        if key not in self._hashes:
            if len(self._hashes) >= _REMEMBERED:  # of a bucket beyond that, memory is bounded
                self._hashes.clear()
            try:
                self._hashes[key] = self.resolve(key).metadata_hash()
            except MetadataError:
                self._hashes[key] = None
        return self._hashes[key]


def table_etags(objects: ObjectStore) -> dict[str, str]:
    """Etag by key of every object in ``metadata/``."""
    return {entry.key: entry.etag for page in objects.pages(METADATA_PREFIX) for entry in page}


class _Scans:
    """Keys of a store's scans, listed when a row names a scan by less than its key."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def __iter__(self) -> Iterator[str]:
        for page in self._objects.pages(f"{SCANS_PREFIX}/"):
            for entry in page:
                try:
                    ObjectKey.parse(entry.key)
                except ObjectKeyError:  # refused when it is ingested: no row can be about it
                    continue
                yield entry.key


def _read(objects: ObjectStore, key: str, *, folder: Path) -> MetadataTable:
    path = folder / f"table{Path(key).suffix}"
    try:
        _fetch(objects, key, path=path)
    except ObjectMissingError:
        raise
    except StoreError as error:
        if error.retryable:
            raise
        raise MetadataError([_unreadable(key, error)]) from error
    try:
        return read_table(path, name=key)
    finally:
        path.unlink(missing_ok=True)


def _fetch(objects: ObjectStore, key: str, *, path: Path) -> None:
    """Copy a table, whichever version; one that is just being replaced is copied again.

    Raises:
        StoreError: It can't be read, or changes whenever it is.
    """
    for _ in range(_READS - 1):
        with contextlib.suppress(ObjectChangedError):
            objects.get(key, path, max_bytes=MAX_TABLE_BYTES)
            return
    objects.get(key, path, max_bytes=MAX_TABLE_BYTES)


def _unreadable(key: str, error: StoreError) -> MetadataProblem:
    return MetadataProblem(
        source=key,
        found=str(error),
        expected="a table that can be read",
        remedy="store it again, or remove it",
    )
