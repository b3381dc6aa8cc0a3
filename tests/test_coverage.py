"""The comparison of objects with what is indexed, on every object store."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.metric import Metric
from infra.bucket_metadata import BucketMetadata
from infra.coverage import Coverage, compare
from infra.folder_store import FolderStore
from infra.generations import generation_of
from infra.index_server import open_store, stop_server
from infra.indexing.memory import MemoryStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.quarantine import METADATA_FAULT, Quarantine, QuarantineRecord, quarantine_key
from infra.vector_index import Collection, VectorIndex, collection_name
from object_stores import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]

FINGERPRINT = "f" * 64
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOBODY = 65_534
A, B, C = (f"scans/E1/S1/{name}.png" for name in "abc")


class Place:
    """A store and a collection, and what ingesting would do to them."""

    def __init__(self, store: ObjectStore, collection: Collection) -> None:
        self.store = store
        self.collection = collection
        self.quarantine = Quarantine(store)

    def compare(self, **changes: Any) -> Coverage:  # noqa: ANN401  arguments by name
        plain: dict[str, Any] = {"fingerprint": FINGERPRINT, "quarantine": self.quarantine}
        plain["metadata"] = BucketMetadata.read(self.store)
        return compare(self.store, self.collection, **(plain | changes))

    def index(self, *names: str, n_slices: int = 2) -> None:
        metadata = BucketMetadata.read(self.store)
        scans = []
        for name in names:
            stat = self.store.stat(name)
            generation = generation_of(stat.etag, FINGERPRINT)
            record = ScanRecord(
                object_key=name,
                etag=stat.etag,
                generation=generation,
                metadata_hash=metadata.resolve(name, stat.user_metadata).metadata_hash(),
                n_slices=n_slices,
            )
            rows = [
                SliceRow(object_key=name, generation=generation, slice_index=number)
                for number in range(n_slices)
            ]
            vectors = np.ones((n_slices, 4), np.float32)
            scans.append(IndexedScan(record=record, slices=rows, vectors=vectors))
        self.collection.commit(scans)

    def refuse(
        self, name: str, etag: str | None = None, fault: str = "truncated", *, model: str = "m"
    ) -> None:
        self.quarantine.put(
            QuarantineRecord(
                object_key=name,
                etag=self.store.stat(name).etag if etag is None else etag,
                fault=fault,
                reason="it is so",
                model=model,
                attempts=1,
                first_attempt=NOON,
                last_attempt=NOON,
                trace_id="0",
            )
        )


@pytest.fixture
def place(store: ObjectStore) -> Place:
    name = collection_name("dsnn", "0" * 64)
    return Place(store, VectorIndex(MemoryStore()).create(name, dimension=4, metric=Metric.L2))


def test_an_empty_store_is_all_indexed(place: Place) -> None:
    assert place.compare() == Coverage(objects=0, indexed=0, slices=0)
    assert place.compare().is_complete


def test_objects_are_missing_until_they_are_indexed(place: Place) -> None:
    for name in (B, A):
        place.store.put(name, name.encode())
    place.store.put("elsewhere/a.png", b"x")
    found = place.compare()
    assert found == Coverage(objects=2, indexed=0, slices=0, missing=(A, B))
    assert not found.is_complete
    place.index(A, n_slices=3)
    assert place.compare() == Coverage(objects=2, indexed=1, slices=3, missing=(B,))
    place.index(B)
    found = place.compare()
    assert found == Coverage(objects=2, indexed=2, slices=5)
    assert found.is_complete


def test_changed_and_stale_scans_are_told_apart(place: Place) -> None:
    for name in (A, B):
        place.store.put(name, name.encode())
    place.index(A, B)
    place.store.put(A, b"another content")
    assert place.compare() == Coverage(objects=2, indexed=1, slices=2, changed=(A,))
    found = place.compare(fingerprint="0" * 64)
    assert found == Coverage(objects=2, indexed=0, slices=0, changed=(A,), stale=(B,))
    assert not found.is_complete


def test_removed_and_renamed_objects_leave_orphans(place: Place) -> None:
    for name in (A, B):
        place.store.put(name, name.encode())
    place.index(A, B)
    place.store.delete(A)
    place.store.put(C, A.encode())
    found = place.compare()
    assert found == Coverage(
        objects=2, indexed=1, slices=2, missing=(C,), orphaned=(A,), moved={A: C}
    )
    place.store.delete(C)
    found = place.compare()
    assert (found.indexed, found.objects, found.orphaned) == (1, 1, (A,))
    assert not found.is_complete


def test_a_prefix_compares_a_part(place: Place) -> None:
    other = "scans/E2/S1/z.png"
    for name in (A, B, other):
        place.store.put(name, name.encode())
    place.index(A, other)
    place.refuse(B)
    place.store.delete(other)
    found = place.compare(prefix="scans/E1/")
    assert found == Coverage(objects=2, indexed=1, slices=2, quarantined=(B,))
    found = place.compare(prefix="scans/E2/")
    assert found == Coverage(objects=0, indexed=0, slices=0, orphaned=(other,))


def test_corrected_metadata_is_seen_in_tables_and_in_user_metadata(place: Place) -> None:
    place.store.put(A, b"a", user_metadata={"porosity": "0.25"})
    place.store.put(B, b"b")
    place.index(A, B)
    assert place.compare().is_complete
    place.store.put("metadata/t.csv", f"object_key,depth_m\n{B},12\n".encode())
    assert place.compare() == Coverage(objects=2, indexed=1, slices=2, corrected=(B,))
    place.index(B)
    place.store.put("metadata/t.csv", f"object_key,depth_m\n{B},12\n{A},7\n".encode())
    assert place.compare().corrected == (A,)
    place.index(A)
    assert place.compare().is_complete
    place.store.delete("metadata/t.csv")
    assert place.compare().corrected == (A, B)


def test_metadata_that_can_not_be_resolved_takes_nothing_away(place: Place) -> None:
    for name in (A, B, C):
        place.store.put(name, name.encode())
    place.index(A, B)
    place.refuse(C)
    place.store.put("metadata/t.csv", f"object_key,porosity\n{A},0.1\n{A},0.2\n".encode())
    found = place.compare()
    assert found == Coverage(objects=3, indexed=1, slices=2, unresolved=(A,), quarantined=(C,))
    assert not found.is_complete
    place.store.put("metadata/u.csv", b"colour\nred\n")
    found = place.compare()
    assert found == Coverage(objects=3, indexed=0, slices=0, unresolved=(A, B), quarantined=(C,))
    place.store.delete("metadata/t.csv")
    place.store.delete("metadata/u.csv")
    assert place.compare().is_complete


def test_a_refusal_holds_for_one_content(place: Place) -> None:
    place.store.put(A, b"a")
    place.refuse(A)
    found = place.compare()
    assert found == Coverage(objects=1, indexed=0, slices=0, quarantined=(A,))
    assert found.is_complete
    place.store.put(A, b"mended")
    assert place.compare() == Coverage(objects=1, indexed=0, slices=0, missing=(A,), lapsed=(A,))
    place.index(A)
    assert place.compare() == Coverage(objects=1, indexed=1, slices=2, lapsed=(A,))
    assert place.compare().is_complete
    place.store.put(A, b"damaged anew")
    place.refuse(A)  # and the worker died before the former rows were removed
    assert place.compare() == Coverage(objects=1, indexed=0, slices=0, changed=(A,))
    place.collection.remove([A])
    assert place.compare().quarantined == (A,)
    place.store.delete(A)
    assert place.compare() == Coverage(objects=0, indexed=0, slices=0, lapsed=(A,))


def test_what_another_model_refused_is_that_ones_to_clear(place: Place) -> None:
    for name in (A, B):
        place.store.put(name, b"x")
    place.index(A, B)
    place.refuse(A, model=f"dsnn-{'1' * 12}")
    place.refuse(B, model=f"dsnn-{'0' * 12}")  # our own
    found = place.compare()
    assert (found.indexed, found.lapsed) == (2, (B,))
    place.store.put(A, b"another content")
    assert place.compare().lapsed == (A, B)


def test_a_refusal_for_metadata_ends_when_the_metadata_is_right(place: Place) -> None:
    place.store.put(A, b"a")
    place.store.put(B, b"b", user_metadata={"porosity": "25"})
    for name in (A, B):
        place.refuse(name, fault=METADATA_FAULT)
    place.store.put("metadata/t.csv", f"object_key,porosity\n{A},0.1\n{A},0.2\n".encode())
    assert place.compare().quarantined == (A, B)
    place.store.put("metadata/t.csv", f"object_key,porosity\n{A},0.1\n".encode())
    found = place.compare()
    assert (found.missing, found.quarantined, found.lapsed) == ((A,), (B,), (A,))
    place.store.put("metadata/u.csv", b"")
    assert place.compare().quarantined == (A, B)


def test_a_damaged_refusal_is_tried_again(place: Place) -> None:
    place.store.put(A, b"a")
    place.refuse(A)
    place.store.put(quarantine_key(A), b"{")
    assert place.compare() == Coverage(objects=1, indexed=0, slices=0, missing=(A,), lapsed=(A,))


def test_objects_that_are_no_scans_are_counted_until_they_are_refused(place: Place) -> None:
    odd = ("scans/E1/alone.png", "scans/readme.txt")
    for name in odd:
        place.store.put(name, b"x")
    assert place.compare() == Coverage(objects=2, indexed=0, slices=0, missing=odd)
    for name in odd:
        place.refuse(name)
    assert place.compare().is_complete


def test_random_histories_are_told_as_they_were(place: Place) -> None:
    rng = random.Random(7)  # noqa: S311  seeded test data
    names = [f"scans/E{number % 3}/S/{number:02}.png" for number in range(60)]
    rng.shuffle(names)
    parts = iter(np.array_split(names, 6))
    expected: dict[str, list[str]] = {}
    for name in names:
        place.store.put(name, name.encode())
    for fate in ("missing", "indexed", "changed", "corrected", "quarantined", "orphaned"):
        expected[fate] = sorted(map(str, next(parts)))
    place.index(
        *(
            name
            for fate in ("indexed", "changed", "corrected", "orphaned")
            for name in expected[fate]
        )
    )
    for name in expected["changed"]:
        place.store.put(name, b"anew")
    rows = "".join(f"{name},0.5\n" for name in expected["corrected"])
    place.store.put("metadata/t.csv", f"object_key,porosity\n{rows}".encode())
    for name in expected["quarantined"]:
        place.refuse(name)
    for name in expected["orphaned"]:
        place.store.delete(name)
    found = place.compare()
    for fate, wanted in expected.items():
        if fate != "indexed":
            assert list(getattr(found, fate)) == wanted, fate
    assert (found.objects, found.indexed) == (50, 10)


def folder_place(folder: Path) -> Place:
    (folder / "bucket").mkdir()
    name = collection_name("dsnn", "0" * 64)
    collection = VectorIndex(MemoryStore()).create(name, dimension=4, metric=Metric.L2)
    return Place(FolderStore(folder / "bucket"), collection)


def test_files_that_no_store_would_take_are_told(tmp_path: Path) -> None:
    place = folder_place(tmp_path)
    folder = tmp_path / "bucket" / "scans" / "E1" / "S1"
    folder.mkdir(parents=True)
    (folder / "back\\slash.png").write_bytes(b"x")
    (tmp_path / "bucket" / "scans" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    names = tuple(entry.key for entry in listed(place.store, "scans/"))
    assert len(names) == 2
    assert place.compare() == Coverage(objects=2, indexed=0, slices=0, missing=names)
    for name in names:
        place.refuse(name, etag="", fault=METADATA_FAULT)
    assert place.compare() == Coverage(objects=2, indexed=0, slices=0, quarantined=names)


def test_a_file_that_may_not_be_read_is_no_orphan() -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        place = folder_place(Path(name))
        place.store.put(A, b"a")
        place.index(A)
        path = Path(name, "bucket", A)
        path.chmod(0)
        os.utime(path, (1, 1))
        assert place.compare() == Coverage(objects=1, indexed=0, slices=0, changed=(A,))
        place.refuse(A, etag="")
        place.collection.remove([A])
        assert place.compare().quarantined == (A,)
        path.chmod(0o600)
        assert place.compare().missing == (A,)


@contextlib.contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Be nobody in a folder, where the tests are run by root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_object_replaced_by_a_link_or_a_folder_is_an_orphan(tmp_path: Path) -> None:
    place = folder_place(tmp_path)
    for name in (A, B):
        place.store.put(name, b"a")
    place.index(A, B)
    for name in (A, B):
        (tmp_path / "bucket" / name).unlink()
    (tmp_path / "bucket" / A).symlink_to("/etc/hostname")
    (tmp_path / "bucket" / B).mkdir()
    assert place.compare() == Coverage(objects=0, indexed=0, slices=0, orphaned=(A, B))


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Collection]:
    store = open_store(tmp_path / "index", idle_seconds=60)
    name = collection_name("dsnn", "0" * 64)
    yield VectorIndex(store).create(name, dimension=4, metric=Metric.L2)
    store.close()
    stop_server(tmp_path / "index")


def test_comparing_with_milvus_lite_tells_the_same(tmp_path: Path, lite: Collection) -> None:
    place = Place(folder_place(tmp_path).store, lite)
    for name in (A, B, C):
        place.store.put(name, name.encode(), user_metadata={"depth_m": "3"})
    place.index(A, B)
    place.store.delete(B)
    found = place.compare()
    assert found == Coverage(objects=2, indexed=1, slices=2, missing=(C,), orphaned=(B,))
