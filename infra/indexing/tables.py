"""The two tables of a collection: a row for every slice, and a record for every scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.filters import In
from infra.indexing.records import RECORD_COLUMNS, record_from_row, record_id, slice_from_row
from infra.indexing.schema import KEY, VECTOR, ColumnKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from infra.indexing.records import ScanRecord, SliceRow
    from infra.indexing.schema import TableSchema
    from infra.indexing.store import RowStore

SCANS_SUFFIX = "_scans"
"""What the name of a collection's table of records ends with."""

_KEYS_AT_ONCE = 1000


class ScanTables:
    """A collection's tables in a store.

    Attributes:
        store: The store.
        slices: Name of the table of slices, which is the collection's.
        scans: Name of the table of records.
        schema: What rows of slices hold.
        numbers: Their number columns.
        columns: All their columns beside the key and the vector.
    """

    def __init__(self, store: RowStore, name: str, *, schema: TableSchema) -> None:
        self.store = store
        self.slices = name
        self.scans = name + SCANS_SUFFIX
        self.schema = schema
        self.numbers = schema.names(ColumnKind.NUMBER)
        self.columns = tuple(column.name for column in schema.columns)

    def records_of(self, keys: Sequence[str]) -> dict[str, ScanRecord]:
        """Records of those of some scans that are indexed, by object key."""
        columns = tuple(column.name for column in RECORD_COLUMNS)
        records = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            ids = tuple(map(record_id, keys[start : start + _KEYS_AT_ONCE]))
            for row in self.store.select(self.scans, In(KEY, ids), columns=columns):
                records[row["object_key"]] = record_from_row(row)
        return records

    def slices_of(
        self, records: Mapping[str, ScanRecord]
    ) -> dict[str, list[tuple[SliceRow, NDArray[np.float32]]]]:
        """Committed slices by object key, in order, with their vectors."""
        found: dict[str, list[tuple[SliceRow, NDArray[np.float32]]]] = {}
        for row in self.rows_of(list(records), columns=(*self.columns, VECTOR)):
            if row["generation"] == records[row["object_key"]].generation:
                pair = (slice_from_row(row, self.numbers), row[VECTOR])
                found.setdefault(row["object_key"], []).append(pair)
        for pairs in found.values():
            pairs.sort(key=lambda pair: pair[0].slice_index)
        return found

    def rows_of(self, keys: Sequence[str], *, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of some scans, committed or not.

        Args:
            keys: The scans.
            columns: What to read beside the row's key.
        """
        found: list[dict[str, Any]] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            where = In("object_key", tuple(keys[start : start + _KEYS_AT_ONCE]))
            found += self.store.select(self.slices, where, columns=columns)
        return found
