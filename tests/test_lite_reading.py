"""What the embedded server computes itself, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from infra.indexing.lite_reading import l2_distance


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
