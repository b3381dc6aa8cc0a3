"""Milvus Lite's reading, without what nobody asked for.

Milvus Lite 3.2 turns every row of an answer into Python objects, number by number of its vector
too, and then drops what was not asked for; a filtered ``count(*)`` does so with every row that it
counts. Here rows hand out only the columns that are looked at, and rows are counted by the mask
that tells which of them pass. On 35,000 rows of 512-d: every key in 0.2 s instead of 1.2, the
nearest 16,384 in 0.3 s instead of 0.8, a filtered count in 0.05 s instead of seconds.

Euclidean distances of several queries it takes by a difference for each of them to each row, all
at once in memory: 6 GB for 90 slices of a volume, and half a minute. Here they are taken block by
block. And who asks for what is nearest to any of several queries gets that, not a list for each
query: of 90 slices and 3,600 rows in 0.1 s instead of 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.exceptions import MilvusLiteError
from milvus_lite.index.brute_force import BruteForceIndex
from milvus_lite.search import distance
from milvus_lite.search.assembler import assemble_candidates
from milvus_lite.search.bitmap import build_valid_mask
from milvus_lite.storage.segment import Segment
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from infra.indexing.schema import NEAREST_TO_ANY

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

_COUNT = "count(*)"

_SEARCH = BruteForceIndex.search

_BLOCK = 512
"""Rows that are measured at once: 2 MB of 512-d, which caches hold."""

_QUERIES = 16
"""Queries that are measured at once where only the nearest counts."""

_CANCELS = 1e-8
"""Below this part of its terms, a difference of float64 has less than 8 digits."""


class LazyRow(dict[str, Any]):
    """A row of a segment that is read column by column, when a column is asked for."""

    __slots__ = ("_place", "_table")

    def __init__(self, table: pa.Table, place: int) -> None:
        super().__init__()
        self._table = table
        self._place = place

    def __contains__(self, name: object) -> bool:
        return name != "_seq" and self._table.schema.get_field_index(name) >= 0

    def __missing__(self, name: str) -> Any:  # noqa: ANN401  a cell of any column
        return self._table.column(name)[self._place].as_py()

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  likewise
        """A cell, or the default where there is no such column."""
        if name not in self:
            return default
        return self[name]


class QuickServicer(MilvusServicer):  # type: ignore[misc]  # a package without types
    """Milvus Lite's calls; rows are counted, not read."""

    def Query(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802  gRPC's names, untyped
        """Answer a query; a filtered count without reading the rows."""
        if list(request.output_fields) != [_COUNT] or not request.expr:
            return super().Query(request, context)
        try:
            collection = self._get_collection(request, context)
            counted = _count(collection, request.expr)
        except MilvusLiteError:
            return super().Query(request, context)  # which tells it as its other faults
        column = schema_pb2.FieldData(field_name=_COUNT, type=schema_pb2.DataType.Int64)
        column.scalars.long_data.data.append(counted)
        return milvus_pb2.QueryResults(
            status=common_pb2.Status(),
            fields_data=[column],
            collection_name=collection.name,
            output_fields=[_COUNT],
        )


def read_lazily() -> None:
    """Make Milvus Lite, in this process, read lazily and measure block by block."""
    Segment.row_to_dict = lambda segment, place: LazyRow(segment.table, place)
    distance.l2_distance = l2_distance
    BruteForceIndex.search = _search


def l2_distance(query: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances, as exact as their float32.

    |x − q|² is |x|² + |q|² − 2 x·q in float64; where that cancels, for vectors that are nearly
    the same, the difference itself is squared.

    Args:
        query: (D,), or (Q, D).
        candidates: (N, D).

    Returns:
        (N,), or (Q, N).
    """
    queries = np.atleast_2d(query).astype(np.float64)
    found = np.empty((len(queries), len(candidates)), np.float32)
    norms = np.einsum("qd,qd->q", queries, queries)[:, np.newaxis]
    for start in range(0, len(candidates), _BLOCK):
        block = np.asarray(candidates[start : start + _BLOCK], np.float64)
        sums = norms + np.einsum("nd,nd->n", block, block)
        squares = sums - 2.0 * (queries @ block.T)
        for place, near in enumerate(squares < _CANCELS * sums):
            if near.any():
                squares[place, near] = ((block[near] - queries[place]) ** 2).sum(axis=1)
        found[:, start : start + len(block)] = np.sqrt(squares)
    return found[0] if np.ndim(query) == 1 else found


def _search(
    self: Any,  # noqa: ANN401  a package without types
    queries: NDArray[np.float32],
    top_k: int,
    *,
    valid_mask: NDArray[np.bool_] | None = None,
    params: Mapping[str, Any] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A segment's search, which answers what is nearest to any query, too: the first one's list.

    What is as near as its last goes on in the others' lists.
    """
    if not (params or {}).get(NEAREST_TO_ANY):
        found: tuple[NDArray[np.int64], NDArray[np.float32]]
        found = _SEARCH(self, queries, top_k, valid_mask=valid_mask, params=params)
        return found
    places = np.full((len(queries), top_k), -1, np.int64)
    measures = np.full((len(queries), top_k), np.inf, np.float32)
    vectors = self._vectors
    passing = np.arange(len(vectors)) if valid_mask is None else np.flatnonzero(valid_mask)
    if len(passing):
        least = _least(queries, vectors[passing], metric=self.metric)
        last = np.partition(least, min(top_k, len(least)) - 1)[min(top_k, len(least)) - 1]
        near = np.flatnonzero(least <= last)  # who asks tells by keys which of equals are first
        order = near[np.argsort(least[near], kind="stable")][: places.size]
        places.flat[: len(order)] = passing[order]
        measures.flat[: len(order)] = least[order]
    return places, measures


def _least(
    queries: NDArray[np.float32], rows: NDArray[np.float32], *, metric: str
) -> NDArray[np.float32]:
    """(N,) smallest distance of each row to any query."""
    least = np.full(len(rows), np.inf, np.float32)
    for start in range(0, len(queries), _QUERIES):
        some = distance.compute_distances(queries[start : start + _QUERIES], rows, metric)
        np.minimum(least, some.min(axis=0), out=least)
    return least


def _count(collection: Any, expression: str) -> int:  # noqa: ANN401  a package without types
    """Rows that pass a filter: what Milvus Lite's own query does, up to reading them."""
    collection._require_loaded()  # noqa: SLF001  its engine offers no count
    compiled = collection._compile_filter(expression)  # noqa: SLF001
    plan = collection._indexed_filter_plan(compiled)  # noqa: SLF001
    segments, deltas = collection._read_snapshot()  # noqa: SLF001
    memtable = collection._memtable  # noqa: SLF001
    keys, sequence, _, _, passing = assemble_candidates(
        segments=segments,
        memtable=memtable,
        vector_field=collection._vector_name,  # noqa: SLF001
        filter_compiled=compiled,
        indexed_filter_plan=plan,
    )
    mask = build_valid_mask(keys, sequence, deltas, filter_mask=passing, memtable=memtable)
    return int(mask.sum())
