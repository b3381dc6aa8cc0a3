"""The vector index: what each bundle has indexed, and how a scan enters it whole or not at all.

A collection is two tables: ``litho_<encoder>_<first 12 of the bundle's SHA-256>`` holds a row for
every slice, the same with ``_scans`` a record for every scan. The record is the commit: rows of
another generation than their scan's record are not seen. So writing goes

    new generation's rows → flush → scan record → flush → delete rows of other generations

and a crash between any two steps shows the scan as it was, or as it will be, never a mixture.
`infra.indexing.writing` tells how two processes may write the same scan.
The alias `ALIAS` names the live collection; it is the only truth about what is live.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from encoder.metric import Metric
from infra.indexing.errors import VectorIndexError
from infra.indexing.records import (
    RECORD_COLUMNS,
    IndexedScan,
    ScanRecord,
    SliceRow,
    record_from_row,
    slice_columns,
    slice_from_row,
)
from infra.indexing.schema import KEY, ColumnKind, TableSchema
from infra.indexing.searching import Hit, check_queries, search_live
from infra.indexing.tables import SCANS_SUFFIX, ScanTables
from infra.indexing.writing import ScanWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from infra.filters import Filter
    from infra.indexing.rekeying import Rekey
    from infra.indexing.searching import Pair
    from infra.indexing.store import RowStore

ALIAS = "lithoscope"
PREFIX = "litho_"
_RECORD_SCHEMA = TableSchema(columns=RECORD_COLUMNS, dimension=2, metric=Metric.L2)


def collection_name(encoder: str, sha256: str) -> str:
    """Name of the collection of a bundle.

    Args:
        encoder: Encoder's name; what Milvus does not take in names becomes ``_``.
        sha256: The bundle's SHA-256 in hexadecimal.
    """
    return f"{PREFIX}{re.sub('[^A-Za-z0-9]', '_', encoder)}_{sha256[:12]}"


class VectorIndex:
    """Collections in a store."""

    def __init__(self, store: RowStore) -> None:
        self.store = store

    def collections(self) -> list[str]:
        """Names of the collections, sorted."""
        tables = set(self.store.tables())
        return sorted(
            name for name in tables if name.startswith(PREFIX) and name + SCANS_SUFFIX in tables
        )

    def create(
        self, name: str, *, dimension: int, metric: Metric, properties: Sequence[str] = ()
    ) -> Collection:
        """Make a collection, unless it is there, and open it.

        Args:
            name: From `collection_name`.
            dimension: Numbers of a vector.
            metric: How vectors are compared.
            properties: Declared number columns.

        Raises:
            VectorIndexError: It is there with another dimension, metric or columns.
        """
        wanted = TableSchema(columns=slice_columns(properties), dimension=dimension, metric=metric)
        self.store.create(name, wanted)
        self.store.create(name + SCANS_SUFFIX, _RECORD_SCHEMA)
        opened = self.open(name)
        if opened.schema != wanted:
            raise VectorIndexError(
                f"collection {name}: is there with {_told(opened.schema)}, asked for "
                f"{_told(wanted)}; declare the former numbers again (LITHOSCOPE_PROPERTIES), or "
                "drop it (`lithoscope models drop MODEL --live`) and index every scan anew "
                "(`lithoscope reindex MODEL`)"
            )
        return opened

    def open(self, name: str) -> Collection:
        """Open a collection.

        Raises:
            VectorIndexError: There is none of that name.
        """
        schema = self.store.schema(name)
        if schema is None or self.store.schema(name + SCANS_SUFFIX) is None:
            there = ", ".join(self.collections()) or "none"
            raise VectorIndexError(f"collection {name!r}: not found; there are: {there}")
        return Collection(self.store, name, schema=schema)

    def live(self) -> str | None:
        """Name of the live collection, or None."""
        return self.store.alias_target(ALIAS)

    def make_live(self, name: str) -> None:
        """Make a collection the live one, at once.

        Raises:
            VectorIndexError: There is none of that name.
        """
        self.store.set_alias(ALIAS, self.open(name).name)

    def drop(self, name: str, *, even_live: bool = False) -> None:
        """Remove a collection, if it is there.

        Args:
            name: The collection.
            even_live: Also if it is the live one: then none is live.

        Raises:
            VectorIndexError: It is the live one.
        """
        if self.live() == name:
            if not even_live:
                raise VectorIndexError(f"collection {name}: is live; make another one live first")
            self.store.drop_alias(ALIAS)
        self.store.drop(name + SCANS_SUFFIX)
        self.store.drop(name)

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class Collection:
    """What one bundle has indexed.

    Attributes:
        name: Its name.
        schema: What its rows hold.
    """

    def __init__(self, store: RowStore, name: str, *, schema: TableSchema) -> None:
        self.name = name
        self.schema = schema
        self._store = store
        self._tables = ScanTables(store, name, schema=schema)
        self._writer = ScanWriter(self._tables)

    def commit(self, scans: Iterable[IndexedScan]) -> None:
        """Make scans what they are now, each whole or not at all; of one key, the last is kept.

        Several at once share the flushes, which are what takes the time.

        Raises:
            VectorIndexError: A scan that must not enter; nothing was written then.
        """
        self._writer.commit(scans)

    def rekey(self, rekeys: Iterable[Rekey]) -> None:
        """Change the metadata of scans' rows; their vectors stay. Of one key, the last is kept.

        The records are written last: after a crash they still have the former hash, and the
        change is made again. Rows of one batch change together. Vectors of all are in memory.

        Raises:
            VectorIndexError: As `infra.indexing.rekeying.rekeyed_rows`; nothing was written then.
                Or another process just committed a scan anew: that commit stands, and the records
                of the others are as they were.
        """
        self._writer.rekey(rekeys)

    def remove(self, object_keys: Iterable[str]) -> None:
        """Remove scans; those that are not there are passed over."""
        self._writer.remove(object_keys)

    def record(self, object_key: str) -> ScanRecord | None:
        """What is indexed of a scan, or None."""
        return self._tables.records_of([object_key]).get(object_key)

    def records(self, where: Filter | None = None) -> Iterator[ScanRecord]:
        """What is indexed, scan by scan, in no order.

        Args:
            where: Filter on the texts of scan records, or None.
        """
        columns = tuple(column.name for column in RECORD_COLUMNS)
        return map(record_from_row, self._store.select(self._tables.scans, where, columns=columns))

    def slices(self, object_key: str) -> list[tuple[SliceRow, NDArray[np.float32]]]:
        """The slices of a scan in order, with their vectors; none if it is not indexed."""
        return self._tables.slices_of(self._tables.records_of([object_key])).get(object_key, [])

    def rows(self, where: Filter | None = None) -> Iterator[SliceRow]:
        """Every committed slice that passes a filter, in no order."""
        live = {record.object_key: record.generation for record in self.records()}
        for row in self._store.select(self.name, where, columns=self._tables.columns):
            if live.get(row["object_key"]) == row["generation"]:
                yield slice_from_row(row, self._tables.numbers)

    def values(
        self, columns: Sequence[str], where: Filter | None = None
    ) -> Iterator[dict[str, Any]]:
        """Some columns of every committed slice that passes a filter, in no order.

        Args:
            columns: The columns; ``object_key`` and ``generation`` come in any case.
            where: Filter, or None.
        """
        live = {record.object_key: record.generation for record in self.records()}
        wanted = tuple(dict.fromkeys(("object_key", "generation", *columns)))
        for row in self._store.select(self.name, where, columns=wanted):
            if live.get(row["object_key"]) == row["generation"]:
                yield row

    def count(self, where: Filter | None = None) -> int:
        """Number of committed slices that pass a filter: exact, at the cost of reading names."""
        live = {record.object_key: record.generation for record in self.records()}
        columns = ("object_key", "generation")
        found = self._store.select(self.name, where, columns=columns)
        return sum(live.get(row["object_key"]) == row["generation"] for row in found)

    def count_stored(self, where: Filter | None = None) -> int:
        """Number of rows that pass a filter, those of scans that are just being written too."""
        return self._store.count(self.name, where)

    def count_scans(self) -> int:
        """Number of scans that are indexed."""
        return self._store.count(self._tables.scans, None)

    def committed_slices(self) -> int:
        """Number of committed slices, by their scans' records."""
        found = self._store.select(self._tables.scans, None, columns=("n_slices",))
        return sum(row["n_slices"] for row in found)

    def stored_generations(self, where: Filter | None = None) -> dict[tuple[str, str], int]:
        """Rows by (object key, generation), committed or not: what a deep check compares."""
        counts: dict[tuple[str, str], int] = {}
        for row in self._store.select(self.name, where, columns=("object_key", "generation")):
            pair = (row["object_key"], row["generation"])
            counts[pair] = counts.get(pair, 0) + 1
        return counts

    def sweep(self, object_keys: Iterable[str]) -> None:
        """Delete rows of these scans that no record vouches for: what a crash left.

        On a server, which holds off no other writer, a scan that is committed just now may be
        shown without rows for a moment.
        """
        self._writer.sweep(object_keys)

    def doubt(self, object_keys: Iterable[str]) -> None:
        """Have scans count as changed, so that they are indexed anew; they are found as before.

        On a server, which holds off no other writer, one that is committed just now may be doubted
        as it was before: it is indexed anew as well.
        """
        self._writer.doubt(object_keys)

    def search(
        self, vector: NDArray[np.float32], *, limit: int, where: Filter | None = None
    ) -> list[Hit]:
        """The nearest committed slices that pass a filter, nearest first.

        Args:
            vector: (D,) query.
            limit: Most hits, 1 to `MAX_LIMIT`.
            where: Filter, or None.

        Returns:
            Hits; fewer than ``limit`` only if there are no more.

        Raises:
            VectorIndexError: A vector of another size or not finite, or a limit out of range.
        """
        return self.search_any(vector[np.newaxis], limit=limit, where=where)

    @property
    def merges(self) -> bool:
        """Whether a search for several vectors costs hardly more than one for a single vector."""
        return self._store.merges

    def search_any(
        self, vectors: NDArray[np.float32], *, limit: int, where: Filter | None = None
    ) -> list[Hit]:
        """The committed slices nearest to any of several queries: see `search`.

        Args:
            vectors: (Q, D) queries.
            limit: Most hits, 1 to `MAX_LIMIT`.
            where: Filter, or None.

        Returns:
            Each slice once, with its distance to the nearest query; fewer than ``limit`` only if
            there are no more.

        Raises:
            VectorIndexError: As `search`.
        """
        check_queries(vectors, limit, dimension=self.schema.dimension)

        search = partial(
            self._store.search, self.name, vectors.astype(np.float32), columns=self._tables.columns
        )
        return [
            Hit(distance=distance, row=slice_from_row(row, self._tables.numbers))
            for distance, row in search_live(search, self._live_pairs, limit=limit, where=where)
        ]

    def nearest_stored(
        self, vectors: NDArray[np.float32], *, limit: int, where: Filter | None = None
    ) -> list[tuple[float, str]]:
        """Search for distances and row ids alone, of scans that are being written too: for ranks.

        Args:
            vectors: (Q, D) queries.
            limit: Most rows, 1 to `MAX_LIMIT`.
            where: Filter, or None.

        Raises:
            VectorIndexError: As `search`.
        """
        check_queries(vectors, limit, dimension=self.schema.dimension)
        queries = vectors.astype(np.float32)
        found = self._store.search(self.name, queries, where=where, columns=(), limit=limit)
        return [(distance, row[KEY]) for distance, row in found]

    def _live_pairs(self, pairs: set[Pair]) -> set[Pair]:
        records = self._tables.records_of(sorted({key for key, _ in pairs}))
        return pairs & {(key, record.generation) for key, record in records.items()}


def _told(schema: TableSchema) -> str:
    numbers = ", ".join(schema.names(ColumnKind.NUMBER))
    return f"dimension {schema.dimension}, metric {schema.metric.value}, numbers {numbers}"
