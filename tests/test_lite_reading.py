"""What the embedded server computes itself, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from milvus_lite.index.brute_force import BruteForceIndex

from infra.indexing.lite_reading import l2_distance, read_lazily
from infra.indexing.schema import NEAREST_TO_ANY


@pytest.mark.parametrize("n_rows", [0, 1, 512, 1300])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_distances_are_those_of_float64(n_rows: int, scale: float) -> None:
    rng = np.random.default_rng(n_rows)
    rows = (scale * (3.0 + rng.normal(size=(n_rows, 33)))).astype(np.float32)
    queries = (scale * (3.0 + rng.normal(size=(5, 33)))).astype(np.float32)
    if n_rows:
        queries[0] = rows[0]
        queries[1] = np.nextafter(rows[-1], np.inf)  # as near as float32 can tell
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    expected = np.linalg.norm(wide[np.newaxis] - asked[:, np.newaxis], axis=2)
    found = l2_distance(queries, rows)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)
    np.testing.assert_allclose(l2_distance(queries[2], rows), found[2], rtol=1e-6)
    if n_rows:
        assert found[0, 0] == 0.0


@pytest.mark.parametrize("metric", ["L2", "IP"])
@pytest.mark.parametrize("n_queries", [1, 16, 40])
def test_one_list_of_what_is_nearest_to_any_query(metric: str, n_queries: int) -> None:
    read_lazily()
    rng = np.random.default_rng(n_queries)
    rows = rng.normal(size=(300, 9)).astype(np.float32)
    queries = rng.normal(size=(n_queries, 9)).astype(np.float32)
    keep = rng.random(300) < 0.5
    costs = -queries @ rows.T
    if metric == "L2":
        costs = np.linalg.norm(rows - queries[:, np.newaxis], axis=2)
    index = BruteForceIndex.build(rows, metric)
    for mask in (None, keep, np.zeros(300, bool)):
        least = costs.min(axis=0)
        passing = np.arange(300) if mask is None else np.flatnonzero(mask)
        order = passing[np.argsort(least[passing])]
        for limit in (1, 20, 1000):
            places, found = index.search(
                queries, limit, valid_mask=mask, params={NEAREST_TO_ANY: True}
            )
            n = min(limit, len(order))
            assert places[0, :n].tolist() == order[:n].tolist()
            np.testing.assert_allclose(found[0, :n], least[order[:n]], rtol=1e-5)
            assert (places[0, n:] == -1).all()
            assert (places[1:] == -1).all()
