"""Rows and pictures held against the scan records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.metric import Metric
from infra import coverage_pages, deep_pages
from infra.coverage import Coverage
from infra.deep_coverage import DeepCoverage, compare_deep
from infra.folder_store import FolderStore
from infra.indexing.memory import MemoryStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow, slice_to_row
from infra.pictures import preview_key, thumbnail_key
from infra.vector_index import Collection, VectorIndex, collection_name

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]

COVERAGE = Coverage(objects=2, indexed=2, slices=6)
A, B = "scans/E1/S1/a.png", "scans/E2/S1/b.png"


def scan(key: str, generation: str = "g1", *, n_slices: int = 3) -> IndexedScan:
    record = ScanRecord(
        object_key=key, etag="e", generation=generation, metadata_hash="m", n_slices=n_slices
    )
    rows = [
        SliceRow(object_key=key, generation=generation, slice_index=number)
        for number in range(n_slices)
    ]
    return IndexedScan(record=record, slices=rows, vectors=np.ones((n_slices, 4), np.float32))


def put_pictures(store: ObjectStore, key: str, generation: str = "g1", *, count: int = 3) -> None:
    for number in range(count):
        store.put(thumbnail_key(key, generation, slice_index=number), b"webp")
        store.put(preview_key(key, generation, slice_index=number), b"jpg")


@pytest.fixture
def index() -> VectorIndex:
    return VectorIndex(MemoryStore())


@pytest.fixture
def collection(index: VectorIndex) -> Collection:
    return opened(index, "0")


def opened(index: VectorIndex, digit: str) -> Collection:
    name = collection_name("dsnn", digit * 64)
    return index.create(name, dimension=4, metric=Metric.L2)


def deep(
    store: ObjectStore, index: VectorIndex, collection: Collection, prefix: str = "scans/"
) -> DeepCoverage:
    return compare_deep(COVERAGE, collection, index=index, objects=store, prefix=prefix)


def test_whole_scans_with_their_pictures_are_complete(
    store: ObjectStore, index: VectorIndex, collection: Collection
) -> None:
    collection.commit([scan(A), scan(B)])
    for key in (A, B):
        put_pictures(store, key)
    found = deep(store, index, collection)
    assert found == DeepCoverage(coverage=COVERAGE)
    assert found.is_complete
    collection.commit([scan(A, "g2")])
    assert not deep(store, index, collection).is_complete


def test_lost_and_surplus_rows_are_counted(
    store: ObjectStore, index: VectorIndex, collection: Collection
) -> None:
    collection.commit([scan(A), scan(B)])
    for key in (A, B):
        put_pictures(store, key)
    rows = index.store
    rows.delete(collection.name, [scan(A).slices[1].row_id])
    orphans = [*scan("scans/E3/S/gone.png").slices, *scan(B, "former").slices]
    vector, numbers = np.ones(4, np.float32), collection.schema.filter_fields.numbers
    stored = [slice_to_row(row, vector, numbers=sorted(numbers)) for row in orphans]
    rows.upsert(collection.name, stored)
    found = deep(store, index, collection)
    assert found.short_of_rows == (A,)
    assert found.incomplete == (A,)
    assert found.uncommitted == (B, "scans/E3/S/gone.png")
    assert not found.is_complete
    inside = deep(store, index, collection, prefix="scans/E2/")
    assert (inside.short_of_rows, inside.uncommitted) == ((), (B,))
    collection.sweep(found.uncommitted)
    assert deep(store, index, collection).uncommitted == ()


def test_missing_empty_and_orphaned_pictures_are_told(
    store: ObjectStore,
    index: VectorIndex,
    collection: Collection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collection.commit([scan(A), scan(B)])
    for key in (A, B):
        put_pictures(store, key)
    store.delete(preview_key(A, "g1", slice_index=2))
    store.put(thumbnail_key(B, "g1", slice_index=0), b"")
    orphans = {
        thumbnail_key(A, "former", slice_index=0),
        preview_key(A, "g1", slice_index=3),  # beyond its slices
        preview_key("scans/gone.png", "g1", slice_index=0),
    }
    for key in orphans:
        store.put(key, b"x")
    store.put("thumbnails/readme.txt", b"hello")
    found = deep(store, index, collection)
    assert found.short_of_pictures == (A, B)
    assert set(found.orphaned_pictures) == orphans
    assert "thumbnails/readme.txt" in caplog.text
    for key in found.orphaned_pictures:
        store.delete(key)
    for key in (A, B):
        put_pictures(store, key)
    assert deep(store, index, collection).is_complete


def test_pictures_of_another_collection_are_no_orphans(
    store: ObjectStore, index: VectorIndex, collection: Collection
) -> None:
    collection.commit([scan(A)])
    put_pictures(store, A)
    put_pictures(store, A, "g2", count=2)
    other = opened(index, "1")
    other.commit([scan(A, "g2", n_slices=2)])
    assert deep(store, index, collection).is_complete
    assert deep(store, index, other).is_complete
    index.drop(other.name)
    assert len(deep(store, index, collection).orphaned_pictures) == 4


def test_parts_tell_what_the_whole_does(
    tmp_path: Path, index: VectorIndex, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    keys = [f"scans/E1/S{number % 3}/{number}.png" for number in range(12)]
    for number, key in enumerate(keys):
        store.put(key, b"x")
        put_pictures(store, key, count=3 - (number % 4 == 0))
    collection.commit([scan(key) for key in keys[:9]])
    opened(index, "1").commit([scan(keys[9])])
    collection.commit([scan("scans/E1/S1/bare.png")])
    index.store.delete(collection.name, [scan(keys[1]).slices[1].row_id])
    whole = deep(store, index, collection)
    assert whole.short_of_rows == (keys[1],)
    assert whole.short_of_pictures == tuple(sorted([*keys[:9:4], "scans/E1/S1/bare.png"]))
    assert len(whole.orphaned_pictures) == 2 * 2 * 3
    for module in (coverage_pages, deep_pages):
        monkeypatch.setattr(module, "PART", 2)
    assert deep(store, index, collection) == whole
