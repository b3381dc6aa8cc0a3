"""The stores that the vector index is tested on, and scans to put into them.

A test that takes `index` or `collection` runs on the plain reference, on Milvus Lite, and on a
real standalone server.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.metric import Metric
from infra.index_server import open_store, stop_server
from infra.indexing.memory import MemoryStore
from infra.indexing.milvus import MilvusStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.native_stack.milvus_server import PORT_NAMES
from infra.vector_index import Collection, VectorIndex, collection_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from infra.indexing.store import RowStore

ROOT = Path(__file__).resolve().parents[1]
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


def wait_until_healthy(server: subprocess.Popen[bytes], port: int, *, log: Path) -> None:
    url = f"http://127.0.0.1:{port}/healthz"
    for _ in range(900):
        assert server.poll() is None, log.read_text(errors="replace")[-4000:]
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if b"OK" in answer.read():
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    pytest.fail("the standalone server did not become healthy")


@contextlib.contextmanager
def standalone(folder: Path) -> Iterator[RowStore]:
    """A real standalone server, beside any others of this machine; where CI=true it must be there.

    The package's own command has its etcd on fixed ports; ours gives it ports of its own.
    """
    if importlib.util.find_spec("milvus") is None:
        reason = "PyPI's milvus 2.3.5 (a standalone server, x86-64 only) is not installed"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    names = ("proxy", *PORT_NAMES)
    metrics, *others = free_ports(1 + len(names))
    ports = dict(zip(names, others, strict=True))
    command = [sys.executable, "-m", "infra.native_stack.milvus_server", str(folder), str(metrics)]
    command += [f"{name}={port}" for name, port in ports.items()]
    # Each strongly consistent call waits for the next tick: 10 ms instead of 200.
    env = os.environ | {"PYTHONPATH": str(ROOT), "PROXY_TIMETICKINTERVAL": "10"}
    log = folder / "server.log"
    with log.open("ab") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out)  # noqa: S603  ours
    try:
        wait_until_healthy(server, metrics, log=log)
        store = MilvusStore(lambda: f"http://127.0.0.1:{ports['proxy']}")
        yield store
        store.close()
    finally:
        server.kill()  # what it has is of no use to anybody
        server.wait()


@contextlib.contextmanager
def lite(folder: Path) -> Iterator[RowStore]:
    store = open_store(folder, idle_seconds=120)
    try:
        yield store
        store.close()
    finally:
        stop_server(folder)


# The memory's comes last: pytest ends a server when another one's tests begin.
@pytest.fixture(scope="session", params=["standalone", "lite", "memory"])
def row_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RowStore]:
    """A store that the tests of every file share: a server takes long to start."""
    if request.param == "memory":
        yield MemoryStore()
        return
    server = standalone if request.param == "standalone" else lite
    with server(tmp_path_factory.mktemp(request.param)) as store:
        yield store


@pytest.fixture
def index(row_store: RowStore) -> VectorIndex:
    return VectorIndex(row_store)


def make(index: VectorIndex, metric: Metric = Metric.L2) -> Collection:
    name = collection_name("test-encoder", uuid.uuid4().hex)
    return index.create(name, dimension=DIMENSION, metric=metric, properties=("depth_m",))


@pytest.fixture(scope="session")
def shared(row_store: RowStore) -> Collection:
    """One collection for the tests of a store: a server takes six seconds to make one."""
    return make(VectorIndex(row_store))


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


def with_vectors(one: IndexedScan, vectors: NDArray[Any]) -> IndexedScan:
    return IndexedScan(record=one.record, slices=one.slices, vectors=vectors)


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
