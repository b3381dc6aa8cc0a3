"""The comparison part by part: the same as in one piece, and in memory that does not grow."""

from __future__ import annotations

import random
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from encoder.metric import Metric
from infra import bucket_metadata, coverage_pages
from infra.bucket_metadata import BucketMetadata
from infra.coverage_pages import Comparison, CoveragePage
from infra.folder_store import FolderStore
from infra.generations import generation_of
from infra.index_server import open_store, stop_server
from infra.indexing.memory import MemoryStore
from infra.indexing.records import ScanRecord, record_to_row
from infra.object_store import PAGE_SIZE, ObjectEntry
from infra.quarantine import Quarantine, QuarantineRecord
from infra.store_keys import key_bytes
from infra.vector_index import VectorIndex, collection_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from infra.indexing.store import RowStore
    from infra.object_store import ObjectStore

FINGERPRINT = "f" * 64
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
NAME = collection_name("dsnn", "0" * 64)
PARTS = ["", " b", ".", ".json x", "-", "/deep", "é", "日本", "😀", "z"]


@pytest.fixture(params=["memory", "lite"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RowStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    store = open_store(tmp_path / "index", idle_seconds=60)
    yield store
    store.close()
    stop_server(tmp_path / "index")


def comparison(objects: ObjectStore, rows: RowStore, prefix: str = "scans/") -> Comparison:
    return Comparison(
        objects=objects,
        collection=VectorIndex(rows).create(NAME, dimension=4, metric=Metric.L2),
        fingerprint=FINGERPRINT,
        metadata=BucketMetadata.read(objects),
        quarantine=Quarantine(objects),
        prefix=prefix,
    )


def index(rows: RowStore, records: Iterable[tuple[str, str]], metadata: BucketMetadata) -> None:
    """Write the records of objects, by key and etag."""
    rows.upsert(
        f"{NAME}_scans",
        [
            record_to_row(
                ScanRecord(
                    object_key=key,
                    etag=etag,
                    generation=generation_of(etag, FINGERPRINT),
                    metadata_hash=metadata.resolve(key).metadata_hash(),
                    n_slices=2,
                )
            )
            for key, etag in records
        ],
    )


def refuse(objects: ObjectStore, key: str, etag: str) -> None:
    Quarantine(objects).put(
        QuarantineRecord(
            object_key=key,
            etag=etag,
            fault="truncated",
            reason="it is so",
            model="m",
            attempts=1,
            first_attempt=NOON,
            last_attempt=NOON,
            trace_id="0",
        )
    )


def told(pages: Iterable[CoveragePage]) -> dict[str, object]:
    whole = CoveragePage(up_to=None)
    for page in pages:
        whole.add(page)
    found: dict[str, object] = {name: sorted(keys) for name, keys in whole.keys.items()}
    lists = {"orphaned": whole.orphaned, "lapsed": whole.lapsed}
    found |= {name: sorted(keys) for name, keys in lists.items()}
    return found | {"indexed": whole.indexed, "new": whole.new, "gone": whole.gone}


class History:
    """A seeded history of a bucket and its index, and what a comparison has to say of it."""

    def __init__(self, seed: int, objects: FolderStore, rows: RowStore) -> None:
        rng = random.Random(seed)  # noqa: S311  seeded test data
        metadata = comparison(objects, rows).metadata
        self.expected: dict[str, list[str]] = {
            name: []
            for name in ("indexed", "missing", "changed", "quarantined", "orphaned", "lapsed")
        }
        folders = [f"scans/E{number}/S{number % 2}" for number in range(3)]
        names = {f"{rng.choice(folders)}/a{rng.choice(PARTS)}{rng.choice(PARTS)}.png"}
        while len(names) < 70:
            stem = rng.choice(sorted(names))
            names.add(f"{stem.removesuffix('.png')}{rng.choice(PARTS)}.png")
            names.add(f"{rng.choice(folders)}/{rng.randrange(99)}{rng.choice(PARTS)}.png")
        long = [f"{rng.choice(folders)}/{'x' * 200}/{'y' * 200}{number}.png" for number in range(4)]
        for key in sorted([*names, *(f"{key}/{'z' * 250}/{'w' * 250}.png" for key in long)]):
            if not any(key.startswith(f"{other}/") for other in names):  # a folder is no file
                fate = rng.choice(sorted(self.expected))
                self.expected[fate].append(key)
                etag = objects.put(key, key.encode()).etag
                if fate in ("indexed", "orphaned"):
                    index(rows, [(key, etag)], metadata)
                if fate == "changed":
                    index(rows, [(key, "former")], metadata)
                if fate in ("quarantined", "lapsed"):
                    refuse(objects, key, etag)
                if fate in ("orphaned", "lapsed"):
                    objects.delete(key)


@pytest.mark.parametrize("seed", range(4))
def test_parts_tell_what_the_whole_does(seed: int, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    objects, rows = FolderStore(tmp_path / "bucket"), MemoryStore()
    history = History(seed, objects, rows)
    whole = told(comparison(objects, rows).pages())
    for name, keys in history.expected.items():
        wanted: object = len(keys) if name == "indexed" else sorted(keys)
        assert whole[name] == wanted, name
    assert set(whole["gone"]) == {*history.expected["orphaned"], *history.expected["lapsed"]}  # type: ignore[call-overload]  # a dict
    for first in (1, 2, 7):
        pages = list(comparison(objects, rows).pages(first=first))
        assert len(pages) > 2
        assert told(pages) == whole


def test_a_comparison_goes_on_where_it_was_left(tmp_path: Path, rows: RowStore) -> None:
    (tmp_path / "bucket").mkdir()
    objects = FolderStore(tmp_path / "bucket")
    history = History(11, objects, rows)
    whole = told(comparison(objects, rows).pages())
    pages: list[CoveragePage] = []
    after: str | None = ""
    while after is not None:
        page = next(comparison(objects, rows).pages(start_after=after, first=5))
        assert page.up_to != after, "it must get on"
        after = page.up_to
        pages.append(page)
    assert len(pages) > 5
    assert told(pages) == whole
    assert whole["missing"] == sorted(history.expected["missing"])


def test_other_prefixes_and_other_keys_are_left_alone(tmp_path: Path, rows: RowStore) -> None:
    (tmp_path / "bucket").mkdir()
    objects = FolderStore(tmp_path / "bucket")
    keys = [f"scans/E{number}/S/{name}.png" for number in (1, 2, 10) for name in "ab"]
    index(rows, [(key, "gone") for key in keys], comparison(objects, rows).metadata)
    found = told(comparison(objects, rows, "scans/E1/").pages())
    assert found["orphaned"] == keys[:2]
    assert told(comparison(objects, rows, "scans/E1").pages())["orphaned"] == keys[:2] + keys[4:]
    assert told(comparison(objects, rows, "").pages())["orphaned"] == sorted(keys)


class ManyObjects(FolderStore):
    """A folder that lists many scans that nobody had to write, one page at a time."""

    count = 0

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = PAGE_SIZE
    ) -> Iterator[list[ObjectEntry]]:
        if not prefix.startswith("scans/"):
            yield from super().pages(prefix, start_after=start_after, page_size=page_size)
            return
        for start in range(0, self.count, page_size):
            numbers = range(start, min(start + page_size, self.count))
            page = [entry(number) for number in numbers]
            yield [each for each in page if each.key > start_after]


def entry(number: int) -> ObjectEntry:
    key = f"scans/E{number // 1000:04}/S/{number:07}.png"
    return ObjectEntry(key=key, size=1, etag=f"e{number}", modified=NOON)


def peak_mb(count: int, folder: Path) -> float:
    """Memory that a comparison takes at most, beside the index in memory."""
    folder.mkdir()
    objects, rows = ManyObjects(folder), MemoryStore()
    compared = comparison(objects, rows)
    plain = BucketMetadata.read(objects)
    entries = map(entry, range(0, count, 2))
    index(rows, ((each.key, each.etag) for each in entries), plain)
    objects.count = count
    tracemalloc.start()
    try:
        found = [(page.indexed, len(page.keys["missing"])) for page in compared.pages(first=500)]
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    assert [sum(each) for each in zip(*found, strict=True)] == [count // 2, count // 2]
    return peak


def test_memory_does_not_grow_with_the_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage_pages, "PART", 500)
    monkeypatch.setattr(bucket_metadata, "_REMEMBERED", 500)
    small, large = (
        min(peak_mb(count, tmp_path / f"{count}-{turn}") for turn in range(3))  # threads overlap
        for count in (2_000, 10_000)
    )
    assert large < 2 * small, "five times the objects, beside references to the store's records"


def test_keys_that_are_no_text_are_compared_with_their_neighbours(tmp_path: Path) -> None:
    folder = tmp_path / "bucket" / "scans" / "E1" / "S1"
    folder.mkdir(parents=True)
    names = [b"a.png", b"b\xff.png", b"b\xfe/c.png", b"c.png", b"\xff.png"]
    for name in names:
        path = folder.joinpath(
            *(part.decode("utf-8", "surrogateescape") for part in name.split(b"/"))
        )
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name)
    objects, rows = FolderStore(tmp_path / "bucket"), MemoryStore()
    for first in (1, 2, 100):
        found = [
            key
            for page in comparison(objects, rows).pages(first=first)
            for key in page.keys["missing"]
        ]
        assert found == sorted(found, key=key_bytes)
        assert len(found) == len(names)
