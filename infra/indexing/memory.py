"""A store in plain Python and NumPy: the reference that other stores are compared with."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.metric import Metric
from infra.filters import check_filter, matches
from infra.indexing.errors import VectorIndexError
from infra.indexing.schema import KEY, VECTOR, TableSchema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from infra.filters import Filter
    from infra.indexing.store import Found, Row


@dataclass(slots=True)
class _Table:
    schema: TableSchema
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


class MemoryStore:
    """A `RowStore` that lasts as long as its process."""

    merges = True

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._aliases: dict[str, str] = {}
        self._lock = threading.RLock()

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold off every other thread."""
        with self._lock:
            yield True

    def create(self, table: str, schema: TableSchema) -> None:
        """Make a table, unless it is there."""
        with self._lock:
            self._tables.setdefault(table, _Table(schema))

    def schema(self, table: str) -> TableSchema | None:
        """What a table holds; None if there is no such table."""
        found = self._tables.get(table)
        return found.schema if found else None

    def tables(self) -> list[str]:
        """Names of the tables, sorted."""
        return sorted(self._tables)

    def drop(self, table: str) -> None:
        """Remove a table and its rows, if it is there."""
        with self._lock:
            self._tables.pop(table, None)

    def set_alias(self, alias: str, table: str) -> None:
        """Make an alias name a table, at once."""
        self._table(table)
        self._aliases[alias] = table

    def alias_target(self, alias: str) -> str | None:
        """Table that an alias names, or None."""
        return self._aliases.get(alias)

    def drop_alias(self, alias: str) -> None:
        """Let an alias name nothing, if it names a table."""
        self._aliases.pop(alias, None)

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows; of several with one key, the last is kept."""
        with self._lock:
            self._table(table).rows.update({row[KEY]: dict(row) for row in rows})

    def flush(self, table: str) -> None:
        """Do nothing: no row of this store survives its process."""
        self._table(table)

    def delete(self, table: str, keys: Sequence[str]) -> None:
        """Remove the rows with these keys; keys that are not there are passed over."""
        with self._lock:
            for key in keys:
                self._table(table).rows.pop(key, None)

    def select(
        self, table: str, where: Filter | None, *, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Every row that passes a filter, in no order: these columns, and the key."""
        return iter([_project(row, columns) for row in self._matching(table, where)])

    def count(self, table: str, where: Filter | None) -> int:
        """Number of rows that pass a filter."""
        return len(self._matching(table, where))

    def search(
        self,
        table: str,
        vectors: NDArray[np.float32],
        *,
        where: Filter | None,
        columns: Sequence[str],
        limit: int,
    ) -> list[Found]:
        """The rows nearest to any query that pass a filter; see `RowStore.search`."""
        rows = self._matching(table, where)
        if not rows:
            return []
        stored = np.stack([row[VECTOR] for row in rows]).astype(np.float64)
        queries = vectors.astype(np.float64)
        if self._table(table).schema.metric is Metric.L2:
            costs = [np.linalg.norm(stored - query, axis=1) for query in queries]
            measures = least = np.min(costs, axis=0)
        else:
            measures = (stored @ queries.T).max(axis=1)
            least = -measures
        order = np.lexsort(([row[KEY] for row in rows], least))[:limit]
        return [(float(measures[place]), _project(rows[place], columns)) for place in order]

    def close(self) -> None:
        """Do nothing."""

    def _table(self, table: str) -> _Table:
        if table not in self._tables:
            raise VectorIndexError(f"index: no table {table!r}; create it first")
        return self._tables[table]

    def _matching(self, table: str, where: Filter | None) -> list[dict[str, Any]]:
        found = self._table(table)
        if where is not None:
            check_filter(where, found.schema.filter_fields)
        with self._lock:
            rows = list(found.rows.values())
        return [row for row in rows if matches(where, row)]


def _project(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in (KEY, *columns)}
