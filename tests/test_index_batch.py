"""Searches for several vectors at once, and counts, on every store."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from encoder.metric import Metric
from index_contract import DIMENSION, CrashError, Crashing, make, scan, with_vectors
from infra.filters import And, In, NotIn, Or, Range
from infra.indexing.errors import VectorIndexError
from infra.vector_index import Collection, VectorIndex

pytest_plugins = ["index_contract"]


@pytest.mark.parametrize("metric", list(Metric))
def test_the_nearest_to_any_of_several_queries(index: VectorIndex, metric: Metric) -> None:
    collection = make(index, metric)
    scans = [scan(f"k{number}", n=3, reservoir=f"E{number % 4}") for number in range(60)]
    collection.commit(scans)
    queries = np.random.default_rng(1).normal(size=(7, DIMENSION)).astype(np.float32)
    kept = [one for one in scans if one.record.reservoir != "E2"]
    ids = np.array([row.row_id for one in kept for row in one.slices])
    vectors = np.concatenate([one.vectors for one in kept])
    where = NotIn("reservoir", ("E2",))
    for asked in (queries, queries[:1], np.repeat(queries, 5, axis=0)):
        if metric is Metric.L2:
            measures = np.linalg.norm(vectors[:, np.newaxis] - asked, axis=2).min(axis=1)
            order = np.argsort(measures)
        else:
            measures = (vectors @ asked.T).max(axis=1)
            order = np.argsort(-measures)
        for limit in (1, 20, 10_000):
            hits = collection.search_any(asked, limit=limit, where=where)
            assert [hit.row.row_id for hit in hits] == ids[order[:limit]].tolist()
            found = [hit.distance for hit in hits]
            np.testing.assert_allclose(found, measures[order[:limit]], atol=1e-4)
    stored = collection.nearest_stored(queries, limit=5)
    everything = collection.search_any(queries, limit=5)
    assert stored == [(hit.distance, hit.row.row_id) for hit in everything]
    assert len(collection.search_any(queries, limit=10_000)) == 180
    index.drop(collection.name)


def test_search_of_an_empty_collection(collection: Collection) -> None:
    queries = np.zeros((3, DIMENSION), np.float32)
    assert collection.search_any(queries, limit=5) == []
    assert collection.nearest_stored(queries, limit=5) == []
    with pytest.raises(VectorIndexError, match="expected 8 finite numbers"):
        collection.search_any(queries[:, :5], limit=5)
    with pytest.raises(VectorIndexError, match="limit 0"):
        collection.nearest_stored(queries, limit=0)


def test_counts_of_filters(collection: Collection) -> None:
    rng = random.Random(4)  # noqa: S311  reproducible, no secret
    scans = [
        scan(f"k{number}", n=2, numbers={"porosity": rng.choice([None, 0.1, 0.2, 0.3])})
        for number in range(50)
    ]
    collection.commit(scans)
    collection.commit(scans[:20])  # again: of a row that is stored twice, one counts
    collection.remove([one.record.object_key for one in scans[40:]])
    measured = [one.slices[0].numbers["porosity"] for one in scans[:40]]
    for keep in (False, True):
        where = Range(field="porosity", low=0.15, keep_unmeasured=keep)
        wanted = 2 * sum(keep if value is None else value >= 0.15 for value in measured)
        assert collection.count_stored(where) == wanted
    assert collection.count_stored(Range(field="porosity", low=0.9)) == 0
    assert collection.count_stored() == collection.committed_slices() == 80
    assert collection.count_scans() == 40


def test_filters_of_hundreds_of_clauses(collection: Collection) -> None:
    collection.commit([scan(f"k{number}", n=1) for number in range(400)])
    some = tuple(In("object_key", (f"k{number}",)) for number in range(0, 600, 2))
    others = tuple(NotIn("object_key", (f"k{number}",)) for number in range(300))
    assert collection.count_stored(Or(some)) == 200
    assert collection.count_stored(And(others)) == 100
    assert collection.count_stored(And((Or(some), *others))) == 50


def test_many_half_written_scans_take_no_place(index: VectorIndex, collection: Collection) -> None:
    """However many rows no record vouches for are nearer than all others."""
    seen = [scan(f"k{number}", n=1) for number in range(5)]
    collection.commit(seen)
    half = [
        with_vectors(one, np.zeros((1, DIMENSION), np.float32))
        for one in (scan(f"half{number}", n=1) for number in range(300))
    ]
    crashing: Any = Crashing(index.store, 2)
    with pytest.raises(CrashError):
        VectorIndex(crashing).open(collection.name).commit(half)
    assert collection.count_stored() == 305
    for limit in (1, 5, 10):
        hits = collection.search(np.zeros(DIMENSION, np.float32), limit=limit)
        assert len(hits) == min(limit, 5)
        assert all(hit.row.object_key.startswith("k") for hit in hits)
