"""What the vector index does to scans, on every store: each is seen whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.metric import Metric
from index_contract import (
    DIMENSION,
    CrashError,
    Crashing,
    make,
    scan,
    shows,
    with_vectors,
)
from infra.filters import (
    FilterError,
    In,
    Range,
)
from infra.index_server import open_store, stop_server
from infra.indexing.errors import VectorIndexError
from infra.indexing.records import IndexedScan, SliceRow
from infra.indexing.rekeying import Rekey
from infra.vector_index import Collection, VectorIndex, collection_name

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["index_contract"]


def test_committing_twice_changes_nothing(collection: Collection, index: VectorIndex) -> None:
    scans = [scan("a"), scan("b", n=1)]
    collection.commit([])
    for _ in range(2):
        collection.commit([scan("a", "other"), *scans])  # of one key, the last is kept
        assert shows(collection, scans)
        assert collection.count_stored() == index.store.count(collection.name, None) == 4


def test_changed_object_replaces_its_rows(collection: Collection) -> None:
    old, other, new = scan("a", n=5), scan("b"), scan("a", "g2", n=2)
    collection.commit([old, other])
    collection.commit([new])
    assert shows(collection, [new, other])
    assert collection.stored_generations() == {("a", "g2"): 2, ("b", "g1"): 3}


def test_removed_scan_is_gone(collection: Collection) -> None:
    collection.commit([scan("a"), scan("b")])
    collection.remove(["a", "never there"])
    assert shows(collection, [scan("b")])
    assert collection.record("a") is None
    assert collection.slices("a") == []
    assert collection.stored_generations() == {("b", "g1"): 3}


def test_metadata_changes_without_new_vectors(collection: Collection) -> None:
    one, other = scan("a", sample="S1", numbers={"porosity": 0.1}), scan("b", sample="S1")
    collection.commit([one, other])
    record = replace(one.record, metadata_hash="m2", sample="S2")

    def change(row: SliceRow) -> SliceRow:
        return replace(row, sample="S2", numbers={**row.numbers, "porosity": 0.3})

    collection.rekey([Rekey(record=record, change=change)])
    rows = [change(row) for row in one.slices]
    assert shows(collection, [IndexedScan(record=record, slices=rows, vectors=one.vectors), other])
    kept = np.stack([vector for _, vector in collection.slices("a")])
    np.testing.assert_array_equal(kept, one.vectors)
    assert collection.count(Range(field="porosity", low=0.2)) == 3
    assert collection.count(Range(field="porosity", high=0.2)) == 0
    with pytest.raises(VectorIndexError, match="not indexed as g9; commit it instead"):
        collection.rekey([Rekey(record=replace(record, generation="g9"), change=change)])
    with pytest.raises(VectorIndexError, match="3 rows, expected 3; commit it anew"):
        collection.rekey([Rekey(record=replace(record, n_slices=2), change=change)])
    with pytest.raises(VectorIndexError, match="slice 0 became 7; change metadata only"):
        collection.rekey([Rekey(record=record, change=lambda row: replace(row, slice_index=7))])


def test_metadata_of_several_scans_changes_together_or_not_at_all(collection: Collection) -> None:
    scans = [scan("a"), scan("b"), scan("c")]
    collection.commit(scans)

    def change(row: SliceRow) -> SliceRow:
        return replace(row, reservoir="E9")

    rekeys = [
        Rekey(record=replace(each.record, metadata_hash="m2", reservoir="E9"), change=change)
        for each in scans[:2]
    ]
    wrong = Rekey(record=replace(scans[2].record, n_slices=9), change=change)
    with pytest.raises(VectorIndexError, match="c: 3 rows"):
        collection.rekey([*rekeys, wrong])
    assert shows(collection, scans)
    collection.rekey(rekeys)
    changed = [
        IndexedScan(
            record=rekey.record, slices=[change(row) for row in each.slices], vectors=each.vectors
        )
        for rekey, each in zip(rekeys, scans, strict=False)
    ]
    assert shows(collection, [*changed, scans[2]])
    collection.rekey([])


def test_alias_says_what_is_live(index: VectorIndex) -> None:
    first, second = make(index), make(index)
    index.make_live(first.name)
    assert index.live() == first.name
    with pytest.raises(VectorIndexError, match="is live; make another one live first"):
        index.drop(first.name)
    index.make_live(second.name)
    assert index.live() == second.name
    index.drop(first.name)
    assert first.name not in index.collections()
    assert second.name in index.collections()
    with pytest.raises(VectorIndexError, match="not found; there are: "):
        index.make_live(first.name)
    index.drop(second.name, even_live=True)
    assert index.live() is None
    assert second.name not in index.collections()
    again = index.create(second.name, dimension=9, metric=Metric.L2)
    assert again.schema.dimension == 9
    index.make_live(again.name)
    assert index.live() == again.name
    index.drop(again.name, even_live=True)


def test_collection_is_what_it_was_made(index: VectorIndex, collection: Collection) -> None:
    assert index.open(collection.name).schema == collection.schema
    with pytest.raises(VectorIndexError, match="is there with dimension 8, metric L2"):
        index.create(collection.name, dimension=9, metric=Metric.L2)


def test_what_must_not_enter_is_refused_before_anything_is_written(
    collection: Collection,
) -> None:
    good, bad = scan("a"), scan("b")
    spoiled = bad.vectors.copy()
    spoiled[1, 2] = np.nan
    row = bad.slices[0]
    cases = [
        (with_vectors(bad, spoiled), "not finite"),
        (with_vectors(bad, bad.vectors.astype(np.float64) * 1e300), "not finite"),
        (with_vectors(bad, bad.vectors[:, :7]), r"shape \(3, 7\), expected \(3, 8\)"),
        (replace(bad, record=replace(bad.record, n_slices=4)), "3 slices, its record says 4"),
        (replace(bad, slices=[row, row, row]), "a slice index appears twice"),
        (replace(bad, slices=[*scan("c").slices]), "commit each scan with its own slices"),
        (scan("b", numbers={"porosity": -1e30}), "expected a finite number above"),
        (scan("b", numbers={"phi": 0.1}), "no number column 'phi'; declare it"),
        (scan("b", extra={"x": float("nan")}), "extra is not JSON"),
        (scan("b", extra={"x": "y" * 70_000}), "extra has 7.* bytes as JSON"),
        (scan("b", sample="y" * 70_000), "sample has 70000 bytes"),
        (scan("b", sample="\ud800"), "not valid Unicode"),
    ]
    for wrong, problem in cases:
        with pytest.raises(VectorIndexError, match=problem):
            collection.commit([good, wrong])
    assert shows(collection, [])
    with pytest.raises(VectorIndexError, match="expected 8 finite numbers"):
        collection.search(np.full(DIMENSION, np.nan, np.float32), limit=1)
    with pytest.raises(VectorIndexError, match="limit 16385: expected 1 to 16384"):
        collection.search(good.vectors[0], limit=16_385)
    with pytest.raises(FilterError, match="no text column"):
        collection.search(good.vectors[0], limit=1, where=In("extra", ("a",)))


def test_crash_between_any_two_steps_shows_no_mixture(
    index: VectorIndex, collection: Collection
) -> None:
    old, new, other = scan("a", n=600), scan("a", "g2", n=700), scan("b")
    collection.commit([old, other])
    seen = []
    for steps in range(20):
        crashing: Any = Crashing(index.store, steps)
        doomed = VectorIndex(crashing).open(collection.name)
        try:
            doomed.commit([new])
        except CrashError:
            is_old, is_new = shows(collection, [old, other]), shows(collection, [new, other])
            assert is_old != is_new, f"a mixture after {steps} steps"
            seen.append(is_new)
            collection.commit([old])
            assert shows(collection, [old, other])
            collection.sweep(["a"])  # a server's rows without a record may be another writer's
            assert collection.stored_generations() == {("a", "g1"): 600, ("b", "g1"): 3}
        else:
            break
    assert shows(collection, [new, other])
    assert seen[:6] == [False] * 4 + [True] * 2  # two batches, flush, record, flush, delete
    assert all(seen[6:])  # a server deletes in batches


def test_crash_while_removing_leaves_nothing_to_see(
    index: VectorIndex, collection: Collection
) -> None:
    for steps in (1, 2):
        collection.commit([scan("a"), scan("b")])
        crashing: Any = Crashing(index.store, steps)
        with pytest.raises(CrashError):
            VectorIndex(crashing).open(collection.name).remove(["a"])
        assert shows(collection, [scan("b")])
        assert collection.stored_generations() == {("a", "g1"): 3, ("b", "g1"): 3}
    collection.sweep(["a", "b"])
    assert collection.stored_generations() == {("b", "g1"): 3}


def test_reopened_lite_index_has_everything(tmp_path: Path) -> None:
    for number_of_run in range(2):
        index = VectorIndex(open_store(tmp_path, idle_seconds=60))
        name = collection_name("e", "0" * 64)
        collection = index.create(
            name, dimension=DIMENSION, metric=Metric.L2, properties=["depth_m"]
        )
        if number_of_run == 0:
            collection.commit([scan("a"), scan("b")])
            index.make_live(name)
        assert shows(collection, [scan("a"), scan("b")])
        assert index.live() == name
        index.close()
        assert stop_server(tmp_path)
