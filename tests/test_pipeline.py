from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest_site import flat
from ingest_worker.outcomes import Indexed, Unchanged

if TYPE_CHECKING:
    from ingest_site import IngestSite

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"


def test_a_scan_is_indexed_once(world: IngestSite) -> None:
    world.put(KEY, flat(10, 20, 30))
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    ((row, vector),) = world.collection.slices(KEY)
    assert vector == pytest.approx(flat(10, 20, 30).mean(axis=(0, 1)), abs=0.5)
    assert (row.reservoir, row.sample, row.slice_index) == ("E1", "S1", 0)
    assert world.compare_deep().is_complete
    assert world.ingest(KEY) == {KEY: Unchanged(object_key=KEY)}
    assert world.encoder.n_encoded == 1
