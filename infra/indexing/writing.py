"""How scans enter a collection and leave it, whatever another process writes meanwhile.

Where a store can hold off other writers, each change runs alone. Where it can't, several rules
together keep a record from standing over rows that are gone:

- Rows that no record vouched for before the change are left: another writer may be about to
  commit them. What a crash left is removed by `ScanWriter.sweep`.
- Who wrote a record looks afterwards whether its rows are there, and writes them again if not.
- Who deleted rows looks afterwards whether a record vouches for them, and puts them back if so.

Of a writer and a remover that meet, one looks after the other has acted: the rows are there in
the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from infra.filters import In
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.indexing.records import record_id, record_to_row, slice_to_row
from infra.indexing.rekeying import rekeyed_rows
from infra.indexing.schema import KEY, VECTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.indexing.records import IndexedScan, ScanRecord
    from infra.indexing.rekeying import Rekey
    from infra.indexing.store import Row
    from infra.indexing.tables import ScanTables

_WRITE_BATCH = 500
_TRIES = 5
_OWNER = ("object_key", "generation")


class ScanWriter:
    """Writes scans into a collection: see `infra.vector_index.Collection`."""

    def __init__(self, tables: ScanTables) -> None:
        """Write into a collection's tables."""
        self._tables = tables
        self._store = tables.store

    def commit(self, scans: Iterable[IndexedScan]) -> None:
        """Make scans what they are now: see `infra.vector_index.Collection.commit`."""
        latest = {scan.record.object_key: scan for scan in scans}
        if not latest:
            return
        rows: list[Row] = []
        for scan in latest.values():
            scan.check(self._tables.schema.dimension)
            vectors = np.asarray(scan.vectors, np.float32)
            rows += [
                slice_to_row(row, vector, numbers=self._tables.numbers)
                for row, vector in zip(scan.slices, vectors, strict=True)
            ]
        records = [record_to_row(scan.record) for scan in latest.values()]
        kept = {key: scan.record.generation for key, scan in latest.items()}
        with self._store.exclusive() as is_alone:
            former = None if is_alone else self._tables.records_of(list(kept))
            self._write_rows(rows)
            self._write_records(records)
            stored = self._make_sure(rows)
            self._delete_former(stored, kept, former=former)

    def rekey(self, rekeys: Iterable[Rekey]) -> None:
        """Change scans' metadata: see `infra.vector_index.Collection.rekey`."""
        latest = {rekey.record.object_key: rekey for rekey in rekeys}
        if not latest:
            return
        keys = list(latest)
        with self._store.exclusive():
            stored = self._tables.records_of(keys)
            slices = self._tables.slices_of(stored)
            rows: list[Row] = []
            for key, rekey in latest.items():
                found = slices.get(key, [])
                numbers = self._tables.numbers
                rows += rekeyed_rows(rekey, found, stored=stored.get(key), numbers=numbers)
            records = [record_to_row(rekey.record) for rekey in latest.values()]
            self._write_rows(rows)
            self._check_still(stored)
            self._write_records(records)
            self._make_sure(rows)

    def remove(self, object_keys: Iterable[str]) -> None:
        """Remove scans: see `infra.vector_index.Collection.remove`."""
        keys = list(dict.fromkeys(object_keys))
        if not keys:
            return
        with self._store.exclusive() as is_alone:
            former = None if is_alone else self._tables.records_of(keys)
            self._store.delete(self._tables.scans, [record_id(key) for key in keys])
            self._store.flush(self._tables.scans)
            stored = self._tables.rows_of(keys, columns=_OWNER)
            self._delete_former(stored, {}, former=former)

    def sweep(self, object_keys: Iterable[str]) -> None:
        """Delete what no record vouches for: see `infra.vector_index.Collection.sweep`."""
        keys = list(dict.fromkeys(object_keys))
        with self._store.exclusive() as is_alone:
            stored = self._tables.rows_of(keys, columns=_OWNER)
            vouched = {row[KEY] for row in self._vouched(stored)}
            stale = [row for row in stored if row[KEY] not in vouched]
            self._delete(stale, is_alone=is_alone)

    def doubt(self, object_keys: Iterable[str]) -> None:
        """Forget which content scans are of: see `infra.vector_index.Collection.doubt`."""
        with self._store.exclusive():
            records = self._tables.records_of(list(dict.fromkeys(object_keys)))
            doubted = [replace(record, etag="") for record in records.values()]
            if doubted:
                self._write_records([record_to_row(record) for record in doubted])

    def _write_rows(self, rows: Sequence[Row]) -> None:
        """Write rows so that they would survive a loss of power."""
        for start in range(0, len(rows), _WRITE_BATCH):
            self._store.upsert(self._tables.slices, rows[start : start + _WRITE_BATCH])
        self._store.flush(self._tables.slices)

    def _write_records(self, records: Sequence[Row]) -> None:
        self._store.upsert(self._tables.scans, records)
        self._store.flush(self._tables.scans)

    def _check_still(self, stored: Mapping[str, ScanRecord]) -> None:
        """Refuse to write former records over newer ones.

        Raises:
            VectorIndexError: Another generation was committed meanwhile, or the scan removed.
        """
        now = self._tables.records_of(list(stored))
        for key, record in stored.items():
            if key not in now or now[key].generation != record.generation:
                raise VectorIndexError(
                    f"{key}: not indexed as {record.generation} any more; commit it instead"
                )

    def _make_sure(self, rows: Sequence[Row]) -> list[Row]:
        """Write rows again that are gone although a record vouches for them.

        Returns:
            What is stored of their scans: key and `_OWNER` of every row.

        Raises:
            IndexUnavailableError: Another process keeps removing them.
        """
        keys = list(dict.fromkeys(row["object_key"] for row in rows))
        for _ in range(_TRIES):
            stored = self._tables.rows_of(keys, columns=_OWNER)
            there = {row[KEY] for row in stored}
            gone = self._vouched([row for row in rows if row[KEY] not in there])
            if not gone:
                return list(stored)
            self._write_rows(gone)
        raise IndexUnavailableError(
            f"{gone[0]['object_key']}: another process removes its rows while they are written; "
            "try again when that one ended"
        )

    def _vouched(self, rows: Sequence[Row]) -> list[Row]:
        """Those rows that a record vouches for now."""
        if not rows:
            return []
        records = self._tables.records_of(list(dict.fromkeys(row["object_key"] for row in rows)))
        return [
            row
            for row in rows
            if (record := records.get(row["object_key"])) is not None
            and record.generation == row["generation"]
        ]

    def _delete_former(
        self,
        stored: Sequence[Row],
        kept: Mapping[str, str],
        *,
        former: Mapping[str, ScanRecord] | None,
    ) -> None:
        """Delete the rows of other generations than those that are kept.

        Args:
            stored: Rows of the scans.
            kept: Generation by object key.
            former: Records before the change: only rows that one of them vouched for are deleted.
                None where nobody else is writing: all are.
        """
        stale = [row for row in stored if kept.get(row["object_key"]) != row["generation"]]
        if former is not None:
            stale = [
                row
                for row in stale
                if (record := former.get(row["object_key"])) is not None
                and record.generation == row["generation"]
            ]
        self._delete(stale, is_alone=former is None)

    def _delete(self, stale: Sequence[Row], *, is_alone: bool) -> None:
        ids = [row[KEY] for row in stale]
        if is_alone:
            if ids:
                self._store.delete(self._tables.slices, ids)
            return
        for start in range(0, len(ids), _WRITE_BATCH):
            self._delete_watchfully(ids[start : start + _WRITE_BATCH])

    def _delete_watchfully(self, ids: Sequence[str]) -> None:
        """Delete rows, and put those back that another writer's record vouches for by now."""
        where, name = In(KEY, tuple(ids)), self._tables.slices
        columns = (*self._tables.columns, VECTOR)
        rows = list(self._store.select(name, where, columns=columns))
        self._store.delete(name, ids)
        if vouched := self._vouched(rows):
            there = {row[KEY] for row in self._store.select(name, where, columns=())}
            self._write_rows([row for row in vouched if row[KEY] not in there])
