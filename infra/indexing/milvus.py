"""A store on Milvus: Lite behind its own server, standalone or distributed, told by an address.

Only what holds on Milvus Lite 3.2, on servers of 2.3 and of 3.x alike is used: upserts by a text
key, no NULL, no JSON in filters, no server-side templates or grouping, strong consistency.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from pymilvus import MilvusClient, MilvusException

from encoder.metric import Metric
from infra.filters import MEASURED_ABOVE, UNMEASURED, In, render
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.indexing.merging import Merger
from infra.indexing.milvus_errors import is_away, reason, refused
from infra.indexing.milvus_schema import milvus_schema, our_schema
from infra.indexing.schema import (
    KEY,
    MAX_LIMIT,
    NEAREST_TO_ANY,
    VECTOR,
    ColumnKind,
    TableSchema,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from infra.filters import Filter
    from infra.indexing.store import Found, Row

Answer = TypeVar("Answer")

_WRITE_BATCH = 500
_KEYS_AT_ONCE = 1000
_ROUNDS = 8
_VECTOR_PAGE = 1000
"""Rows with vectors that are read at once: a server's message has a largest size."""

_STRONG = {"consistency_level": "Strong"}
_QUICK: dict[str, Any] = {"retry_times": 5}
"""An address that does not answer is told within a second: the caller knows how long to wait."""

# Faults are raised, and told once, by us; the client's own copies of them are tracebacks.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class MilvusStore:
    """A `RowStore` on a Milvus server.

    Attributes:
        find_address: Gives the server's address; asked again when the server stopped answering,
            since an embedded one may have come back elsewhere.
        lock: Held around every mutation: Milvus Lite silently loses rows of concurrent writers.
            Its holder may take it again. Servers need none.
    """

    def __init__(
        self,
        find_address: Callable[[], str],
        lock: AbstractContextManager[object] | None = None,
        *,
        token: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Connect.

        Args:
            find_address: See the class.
            lock: See the class.
            token: ``user:password``, where the server wants one.
            folder: Where an embedded server writes: told where its disk is full.

        Raises:
            IndexUnavailableError: Nothing answers at the address.
        """
        self.find_address = find_address
        self.lock = lock if lock is not None else contextlib.nullcontext()
        self._is_locked = lock is not None
        self._token = token or ""
        self._folder = folder
        self._connecting = threading.Lock()
        self._schemas: dict[str, TableSchema] = {}
        self._client = self._connect()

    @property
    def merges(self) -> bool:
        """Whether the server merges the answers to several queries: ours for Milvus Lite does."""
        return self._is_lite

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the lock, if there is one; gives whether there is."""
        with self.lock:
            yield self._is_locked

    def create(self, table: str, schema: TableSchema) -> None:
        """Make a table, unless it is there; one left without its index is completed."""
        index = MilvusClient.prepare_index_params()
        index.add_index(VECTOR, index_type="FLAT", metric_type=schema.metric.value)

        def make(client: MilvusClient) -> None:
            if not client.has_collection(table, **_QUICK):
                client.create_collection(table, schema=milvus_schema(schema), **_STRONG, **_QUICK)
            if not client.list_indexes(table, **_QUICK):
                client.create_index(table, index, **_QUICK)

        self._mutate(make)
        self._known(table)

    def schema(self, table: str) -> TableSchema | None:
        """What a table holds; None if there is no such table."""
        found = self._schemas.get(table)
        return found if found is not None else self._load(table)

    def tables(self) -> list[str]:
        """Names of the tables, sorted."""
        return sorted(self._ask(lambda client: client.list_collections(**_QUICK)))

    def drop(self, table: str) -> None:
        """Remove a table and its rows, if it is there."""
        self._schemas.pop(table, None)
        self._mutate(lambda client: client.drop_collection(table, **_QUICK))

    def set_alias(self, alias: str, table: str) -> None:
        """Make an alias name a table, at once."""
        self._known(table)
        if self.alias_target(alias) is None:
            self._mutate(lambda client: client.create_alias(table, alias, **_QUICK))
        else:
            self._mutate(lambda client: client.alter_alias(table, alias, **_QUICK))

    def alias_target(self, alias: str) -> str | None:
        """Table that an alias names, or None."""

        def find(client: MilvusClient) -> str | None:
            if alias not in client.list_aliases(**_QUICK)["aliases"]:
                return None
            return str(client.describe_alias(alias, **_QUICK)["collection_name"])

        return self._ask(find)

    def drop_alias(self, alias: str) -> None:
        """Let an alias name nothing, if it names a table."""
        if self.alias_target(alias) is not None:
            self._mutate(lambda client: client.drop_alias(alias, **_QUICK))

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows; of several with one key, the last is kept."""
        numbers = self._known(table).names(ColumnKind.NUMBER)
        stored = list({row[KEY]: _stored(row, numbers) for row in rows}.values())
        for start in range(0, len(stored), _WRITE_BATCH):
            batch = stored[start : start + _WRITE_BATCH]
            self._mutate(partial(_upsert, table=table, rows=batch))

    def flush(self, table: str) -> None:
        """Return when what was written would survive a loss of power.

        What a server acknowledged is in its log already: there, a flush would only seal a small
        segment, in seconds, which its maintainers advise against.
        """
        if self._is_lite:
            self._mutate(lambda client: client.flush(table, **_QUICK))

    def delete(self, table: str, keys: Sequence[str]) -> None:
        """Remove the rows with these keys; keys that are not there are passed over."""
        fields = self._known(table).filter_fields
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            where = render(In(KEY, tuple(keys[start : start + _KEYS_AT_ONCE])), fields)
            self._mutate(partial(_delete, table=table, where=where))

    def select(
        self, table: str, where: Filter | None, *, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Every row that passes a filter, in no order: these columns, and the key."""
        schema = self._known(table)
        expression = render(where, schema.filter_fields)
        numbers = schema.names(ColumnKind.NUMBER)
        page = _VECTOR_PAGE if VECTOR in columns else MAX_LIMIT
        asked: dict[str, Any] = {
            "filter": expression,
            "output_fields": [KEY, *columns],
            **_STRONG,
            **_QUICK,
        }
        first = self._ask(lambda client: client.query(table, limit=page, **asked))
        if len(first) < page:
            yield from (_read(row, columns, numbers=numbers) for row in first)
            return
        pages = self._ask(lambda client: client.query_iterator(table, batch_size=page, **asked))
        try:
            while rows := self._ask(lambda _: pages.next()):
                yield from (_read(row, columns, numbers=numbers) for row in rows)
        finally:
            pages.close()

    def count(self, table: str, where: Filter | None) -> int:
        """Number of rows that pass a filter."""
        expression = render(where, self._known(table).filter_fields)
        answer = self._ask(
            lambda client: client.query(
                table, filter=expression, output_fields=["count(*)"], **_STRONG, **_QUICK
            )
        )
        return int(answer[0]["count(*)"])

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
        nearest = partial(self._nearest, table, vectors, where=where, limit=limit)
        if self.merges or len(vectors) == 1 or not columns:
            return nearest(columns=columns)
        for _ in range(_ROUNDS):  # a row may go before it is read
            found = nearest(columns=())
            rows = self._rows(table, [row[KEY] for _, row in found], columns=columns)
            if len(rows) == len(found):
                break
        return [(measure, rows[row[KEY]]) for measure, row in found if row[KEY] in rows]

    def _nearest(
        self,
        table: str,
        vectors: NDArray[np.float32],
        *,
        where: Filter | None,
        columns: Sequence[str],
        limit: int,
    ) -> list[Found]:
        schema = self._known(table)
        numbers = schema.names(ColumnKind.NUMBER)
        asked: dict[str, Any] = {
            "filter": render(where, schema.filter_fields),
            "limit": limit,
            "output_fields": [KEY, *columns],
            "search_params": {
                "metric_type": schema.metric.value,
                "params": {NEAREST_TO_ANY: True} if self.merges and len(vectors) > 1 else {},
            },
            **_STRONG,
            **_QUICK,
        }
        at_once = len(vectors) if self.merges else max(1, MAX_LIMIT // limit)
        merger = Merger(schema.metric)
        for start in range(0, len(vectors), at_once):
            batch = vectors[start : start + at_once].tolist()
            for hits in self._ask(partial(_search, table=table, data=batch, asked=asked)):
                merger.take(hits)
        return [
            (measure, _read(row, columns, numbers=numbers))
            for measure, row in merger.nearest(limit)
        ]

    def _rows(
        self, table: str, keys: Sequence[str], *, columns: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Rows by key; those that are not there are left out."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            where = In(KEY, tuple(keys[start : start + _KEYS_AT_ONCE]))
            found |= {row[KEY]: row for row in self.select(table, where, columns=columns)}
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _known(self, table: str) -> TableSchema:
        schema = self.schema(table)
        if schema is None:
            raise VectorIndexError(f"index: no table {table!r}; create it first")
        return schema

    def _load(self, table: str) -> TableSchema | None:
        """Read a table's schema, and load it: a server that came back has it unloaded."""

        def describe(client: MilvusClient) -> TableSchema | None:
            if not client.has_collection(table, **_QUICK):
                return None
            fields = client.describe_collection(table, **_QUICK)["fields"]
            metric = client.describe_index(table, VECTOR, **_QUICK)["metric_type"]
            client.load_collection(table, **_QUICK)
            return our_schema(fields, Metric(metric))

        found = self._mutate(describe)
        if found is not None:
            self._schemas[table] = found
        return found

    def _connect(self) -> MilvusClient:
        address = self.find_address()
        try:
            # Its own connection, closed with it: the embedded server ends when none is left.
            client = MilvusClient(address, token=self._token, dedicated=True)
            self._is_lite = str(client.get_server_version()).startswith("milvus_lite")
            for table in self._schemas:
                client.load_collection(table, **_QUICK)
        except (MilvusException, grpc.RpcError) as error:
            raise IndexUnavailableError(
                f"index at {address}: does not answer ({reason(error)}); start it, or wait for it"
            ) from error
        return client

    def _reconnect(self, broken: MilvusClient) -> None:
        with self.lock, self._connecting:
            if self._client is broken:  # else another thread has done it
                self._client = self._connect()

    def _mutate(self, call: Callable[[MilvusClient], Answer]) -> Answer:
        with self.lock:
            return self._ask(call)

    def _ask(self, call: Callable[[MilvusClient], Answer]) -> Answer:
        """Ask the server; if it went away, once more at its new address: calls are idempotent.

        To connect anew also has it load what it has not loaded yet.
        """
        client = self._client
        try:
            return call(client)
        except (MilvusException, grpc.RpcError) as error:
            if not is_away(error):
                raise VectorIndexError(refused(error, self._folder)) from error
        self._reconnect(client)
        try:
            return call(self._client)
        except (MilvusException, grpc.RpcError) as error:
            kind = IndexUnavailableError if is_away(error) else VectorIndexError
            raise kind(f"index: failed ({reason(error)}); try again") from error


def _upsert(client: MilvusClient, *, table: str, rows: list[dict[str, Any]]) -> None:
    client.upsert(table, rows, **_QUICK)


def _delete(client: MilvusClient, *, table: str, where: str) -> None:
    client.delete(table, filter=where, **_QUICK)


def _search(
    client: MilvusClient, *, table: str, data: list[list[float]], asked: dict[str, Any]
) -> list[list[dict[str, Any]]]:
    return list(client.search(table, data=data, **asked))


def _stored(row: Row, numbers: Sequence[str]) -> dict[str, Any]:
    unmeasured = {name: UNMEASURED for name in numbers if row[name] is None}
    return {**row, **unmeasured}


def _read(
    row: Mapping[str, Any], columns: Sequence[str], *, numbers: Sequence[str]
) -> dict[str, Any]:
    found = {name: row[name] for name in (KEY, *columns)}
    for name in numbers:
        if name in found and found[name] <= MEASURED_ABOVE:
            found[name] = None
    if VECTOR in found:
        found[VECTOR] = np.asarray(found[VECTOR], np.float32)
    return found
