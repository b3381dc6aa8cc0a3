"""One contract for the vector index on every store: reference, Milvus Lite, a standalone server."""

from __future__ import annotations

import os
import random
import socket
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.metric import Metric
from infra.filters import (
    And,
    Compare,
    Comparison,
    Filter,
    FilterError,
    In,
    NotIn,
    Or,
    Range,
    matches,
)
from infra.index_server import open_store, stop_server
from infra.indexing.errors import VectorIndexError
from infra.indexing.memory import MemoryStore
from infra.indexing.milvus import MilvusStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.vector_index import Collection, VectorIndex, collection_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from infra.indexing.store import RowStore

DIMENSION = 8
HOSTILE = [
    'a"b',
    "a\\",
    '\\"',
    "x\ny",
    "x\r\n",
    "t\tq",
    "it's",
    "{a}",
    "%_",
    '$meta["x"]',
    "日本😀é",
    "\x00z",
    "\x07\x1b\x7f",
    "\u2028\x85\ufeff",
    'a"] or 1 == 1 or reservoir in ["',
    "\\n",
    " ",
    "/* */ --",
    "or",
    "é" * 30_000,
    "\\\"'\n" * 15_000,
]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until_healthy(server: Any) -> None:  # noqa: ANN401  a package without types
    url = f"http://127.0.0.1:{server.webservice_port}/healthz"
    for _ in range(900):
        assert server.server_proc.poll() is None, "the standalone server ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b"OK" in answer.read():
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    pytest.fail("the standalone server did not become healthy")


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowStore]:
    """A real standalone server; where CI=true it must be there."""
    try:
        from milvus import MilvusServer, MilvusServerConfig  # noqa: PLC0415  not everywhere
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("PyPI's milvus 2.3.5 (a standalone server, x86-64 only) is not installed")
    names = ["etcd", "root_coord", "proxy", "proxy_internal", "query_coord", "query_node"]
    names += ["index_coord", "index_node", "data_coord", "data_node"]
    ports = {f"{name}_port": port for name, port in zip(names, free_ports(10), strict=True)}
    config = MilvusServerConfig(data_dir=str(tmp_path_factory.mktemp("milvus")), **ports)
    server = MilvusServer(config, wait_for_started=False)
    with pytest.MonkeyPatch.context() as patch:
        # Each strongly consistent call waits for the next tick: 10 ms instead of 200.
        patch.setenv("PROXY_TIMETICKINTERVAL", "10")
        server.start()
    try:
        wait_until_healthy(server)
        store = MilvusStore(lambda: f"http://127.0.0.1:{ports['proxy_port']}")
        yield store
        store.close()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowStore]:
    folder = tmp_path_factory.mktemp("lite")
    store = open_store(folder, idle_seconds=120)
    yield store
    store.close()
    stop_server(folder)


@pytest.fixture(scope="module", params=["memory", "lite", "standalone"])
def store(request: pytest.FixtureRequest) -> RowStore:
    if request.param == "memory":
        return MemoryStore()
    found: RowStore = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def index(store: RowStore) -> VectorIndex:
    return VectorIndex(store)


def make(index: VectorIndex, metric: Metric = Metric.L2) -> Collection:
    name = collection_name("test-encoder", uuid.uuid4().hex)
    return index.create(name, dimension=DIMENSION, metric=metric, properties=("depth_m",))


@pytest.fixture(scope="module")
def shared(store: RowStore) -> Collection:
    """One collection for the tests of a store: a server takes six seconds to make one."""
    return make(VectorIndex(store))


@pytest.fixture
def collection(shared: Collection) -> Iterator[Collection]:
    yield shared
    shared.remove(record.object_key for record in shared.records())
    shared.sweep(key for key, _ in shared.stored_generations())
    assert not shared.stored_generations()


def scan(key: str, generation: str = "g1", *, n: int = 3, seed: int = 0, **row: Any) -> IndexedScan:  # noqa: ANN401  fields of a row
    names = {name: row.get(name) for name in ("reservoir", "sample", "modality")}
    record = ScanRecord(
        object_key=key,
        etag=f"etag-{generation}",
        generation=generation,
        metadata_hash="m1",
        n_slices=n,
        **names,
    )
    slices = [
        SliceRow(object_key=key, generation=generation, slice_index=number, **row)
        for number in range(n)
    ]
    rng = np.random.default_rng([seed, *key.encode(), *generation.encode()])
    vectors = rng.normal(size=(n, DIMENSION)).astype(np.float32)
    return IndexedScan(record=record, slices=slices, vectors=vectors)


def filled(row: SliceRow) -> SliceRow:
    """A row as it comes back: every number column is there."""
    names = ["porosity", "permeability_md", "pixel_size_um", "predicted_porosity"]
    names += ["predicted_permeability_md", "depth_m"]
    return replace(row, numbers={name: row.numbers.get(name) for name in names})


def shows(collection: Collection, scans: Sequence[IndexedScan]) -> bool:
    """Whether exactly these scans are seen, by every way of reading."""
    wanted = sorted(
        (filled(row) for one in scans for row in one.slices), key=lambda row: row.row_id
    )
    query = np.zeros(DIMENSION, np.float32)
    hits = [hit.row for hit in collection.search(query, limit=16_384)]
    for found in (list(collection.rows()), hits):
        if sorted(found, key=lambda row: row.row_id) != wanted:
            return False
    records = {record.object_key: record for record in collection.records()}
    return collection.count() == len(wanted) and records == {
        one.record.object_key: one.record for one in scans
    }


def number(rng: random.Random) -> float | None:
    return rng.choice([None, 0.0, 0.1, 0.1 + 1e-16, 0.25, 1 / 3, -5.0, 1e-300, 1e12, 7.0])


def random_filter(rng: random.Random, depth: int = 0) -> Filter:
    text = rng.choice(["reservoir", "sample", "modality", "object_key"])
    column = rng.choice(["porosity", "permeability_md", "depth_m"])
    kind = rng.choice(["in", "not in", "compare", "range", "and", "or"][: 6 if depth < 4 else 4])
    if kind in ("and", "or"):
        parts = tuple(random_filter(rng, depth + 1) for _ in range(rng.randrange(4)))
        return And(parts) if kind == "and" else Or(parts)
    if kind in ("in", "not in"):
        values = tuple(rng.sample([*HOSTILE[:19], "", "nowhere"], rng.randrange(6)))
        return In(text, values) if kind == "in" else NotIn(text, values)
    if kind == "compare":
        return Compare(column, rng.choice(list(Comparison)), number(rng) or 0.0)
    low, high = number(rng), number(rng)
    return Range(field=column, low=low, high=high, keep_unmeasured=rng.random() < 0.5)


def test_random_filters_select_the_reference_rows(
    collection: Collection, index: VectorIndex
) -> None:
    rng = random.Random(20)  # noqa: S311  reproducible, no secret

    def pick() -> str | None:
        return rng.choice([*HOSTILE[:19], None])

    scans = [
        scan(
            f"{rng.choice(HOSTILE[:19])}{number_of_scan % 2 or ''}",
            n=2,
            reservoir=pick(),
            sample=pick(),
            modality=pick(),
            numbers={name: number(rng) for name in ("porosity", "permeability_md", "depth_m")},
        )
        for number_of_scan in range(150)
    ]
    collection.commit(scans)
    latest = {one.record.object_key: one for one in scans}
    plain: dict[str, dict[str, str | float | None]] = {
        row.row_id: {
            "object_key": row.object_key,
            "reservoir": row.reservoir,
            "sample": row.sample,
            "modality": row.modality,
            **row.numbers,
        }
        for one in latest.values()
        for row in one.slices
    }
    sizes = set()
    for _ in range(300):
        tree = random_filter(rng)
        found = {row["id"] for row in index.store.select(collection.name, tree, columns=())}
        expected = {key for key, row in plain.items() if matches(tree, row)}
        assert found == expected, f"wrong rows for {tree!r}"
        sizes.add(len(expected))
    assert len(sizes) > 20, "the filters are too alike to say anything"


def test_hostile_texts_in_every_field(collection: Collection) -> None:
    scans = []
    for text in HOSTILE:
        one = scan(
            text,
            text,
            n=2,
            reservoir=text,
            sample=text,
            modality=text,
            position={"tile": [1, 2], "note": text[:20_000]},
            extra={"text": text[:20_000], text[:100]: [None, 1.5, True]},
        )
        scans.append(replace(one, record=replace(one.record, etag=text, metadata_hash=text)))
    collection.commit(scans)
    assert shows(collection, scans)
    for one in scans:
        text = one.record.object_key
        assert collection.record(text) == one.record
        where = And(
            tuple(In(name, (text,)) for name in ("object_key", "reservoir", "sample", "modality"))
        )
        hits = collection.search(one.vectors[1], limit=5, where=where)
        assert [hit.row for hit in hits] == [filled(one.slices[1]), filled(one.slices[0])]
    assert collection.count(NotIn("sample", tuple(HOSTILE))) == 0
    collection.remove(HOSTILE)
    assert shows(collection, [])


@pytest.mark.parametrize("metric", list(Metric))
def test_search_is_exact_and_nearest_first(index: VectorIndex, metric: Metric) -> None:
    collection = make(index, metric)
    scans = [
        scan(f"k{number}", n=4, reservoir=f"E{number % 5}", sample=f"S{number}")
        for number in range(100)
    ]
    collection.commit(scans)
    query = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32)
    rows = [row for one in scans for row in one.slices if row.reservoir != "E2"]
    vectors = np.concatenate([one.vectors for one in scans if one.record.reservoir != "E2"])
    if metric is Metric.L2:
        distances = np.linalg.norm(vectors - query, axis=1)
        order = np.argsort(distances)
    else:
        distances = vectors @ query
        order = np.argsort(-distances)
    hits = collection.search(query, limit=50, where=NotIn("reservoir", ("E2",)))
    assert [hit.row for hit in hits] == [filled(rows[place]) for place in order[:50]]
    found = [hit.distance for hit in hits]
    np.testing.assert_allclose(found, distances[order[:50]], rtol=1e-5, atol=1e-5)
    assert len(collection.search(query, limit=10_000)) == 400
    index.drop(collection.name)


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

    collection.rekey(record, change)
    rows = [change(row) for row in one.slices]
    assert shows(collection, [IndexedScan(record=record, slices=rows, vectors=one.vectors), other])
    kept = np.stack([vector for _, vector in collection.slices("a")])
    np.testing.assert_array_equal(kept, one.vectors)
    assert collection.count(Range(field="porosity", low=0.2)) == 3
    assert collection.count(Range(field="porosity", high=0.2)) == 0
    with pytest.raises(VectorIndexError, match="not indexed as g9; commit it instead"):
        collection.rekey(replace(record, generation="g9"), change)
    with pytest.raises(VectorIndexError, match="3 rows, expected 3; commit it anew"):
        collection.rekey(replace(record, n_slices=2), change)
    with pytest.raises(VectorIndexError, match="slice 0 became 7; change metadata only"):
        collection.rekey(record, lambda row: replace(row, slice_index=7))


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


def test_collection_is_what_it_was_made(index: VectorIndex, collection: Collection) -> None:
    assert index.open(collection.name).schema == collection.schema
    with pytest.raises(VectorIndexError, match="is there with dimension 8, metric L2"):
        index.create(collection.name, dimension=9, metric=Metric.L2)


def test_pages_beyond_what_milvus_returns_at_once(collection: Collection) -> None:
    one = scan("a", n=17_000, numbers={"depth_m": 1.0})
    collection.commit([one])
    where = Or((Range(field="depth_m"), In("object_key", ("a",))))
    assert {row.slice_index for row in collection.rows(where)} == set(range(17_000))
    assert collection.count() == collection.count_stored(where) == 17_000
    slices = collection.slices("a")
    assert [row.slice_index for row, _ in slices] == list(range(17_000))
    np.testing.assert_array_equal(np.stack([vector for _, vector in slices]), one.vectors)
    assert len(collection.search(one.vectors[0], limit=16_384)) == 16_384
    collection.remove(["a"])
    assert collection.count_stored() == 0


def with_vectors(one: IndexedScan, vectors: NDArray[Any]) -> IndexedScan:
    return IndexedScan(record=one.record, slices=one.slices, vectors=vectors)


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


class CrashError(Exception):
    """The process that was writing is gone."""


class Crashing:
    """A store whose process ends before its n-th mutation."""

    def __init__(self, store: RowStore, steps: int) -> None:
        self._store = store
        self.steps = steps

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  a method of the store
        if name in ("upsert", "flush", "delete"):
            if self.steps == 0:
                raise CrashError
            self.steps -= 1
        return getattr(self._store, name)


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
            assert collection.stored_generations() == {("a", "g1"): 600, ("b", "g1"): 3}
        else:
            break
    assert shows(collection, [new, other])
    assert seen == [False] * 4 + [True] * 2  # two batches, flush, record, flush, delete


def test_crash_while_removing_leaves_nothing_to_see(
    index: VectorIndex, collection: Collection
) -> None:
    collection.commit([scan("a"), scan("b")])
    for steps in (1, 2):
        crashing: Any = Crashing(index.store, steps)
        with pytest.raises(CrashError):
            VectorIndex(crashing).open(collection.name).remove(["a"])
        assert shows(collection, [scan("b")])
        assert collection.stored_generations() == {("a", "g1"): 3, ("b", "g1"): 3}
    collection.sweep(["a", "b"])
    assert collection.stored_generations() == {("b", "g1"): 3}


def test_search_replaces_what_it_may_not_show(index: VectorIndex, collection: Collection) -> None:
    """Half-written scans nearer than every other take no place in the answer."""
    seen = [scan(f"k{number}", n=2) for number in range(5)]
    collection.commit(seen)
    half = scan("half", n=300)
    half = with_vectors(half, np.zeros((300, DIMENSION), np.float32))
    crashing: Any = Crashing(index.store, 2)
    with pytest.raises(CrashError):
        VectorIndex(crashing).open(collection.name).commit([half])
    assert collection.count_stored() == 310
    hits = collection.search(np.zeros(DIMENSION, np.float32), limit=3)
    assert len(hits) == 3
    assert all(hit.row.object_key.startswith("k") for hit in hits)


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
