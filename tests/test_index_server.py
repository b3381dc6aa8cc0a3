"""The embedded index: one server for every command, many writers, and no row lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil  # type: ignore[import-untyped]  # it has no types here
import pytest
from filelock import FileLock

from encoder.metric import Metric
from infra.index_server import ensure_server, find_server, open_store, stop_server
from infra.indexing.errors import IndexUnavailableError
from infra.indexing.milvus import MilvusStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.vector_index import Collection, VectorIndex, collection_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}
NAME = collection_name("writers", "ab" * 32)
DIMENSION = 16
SCANS, SLICES = 10, 25


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "index"
    stop_server(tmp_path / "index")


def open_collection(folder: Path) -> tuple[VectorIndex, Collection]:
    index = VectorIndex(open_store(folder, idle_seconds=120))
    return index, index.create(NAME, dimension=DIMENSION, metric=Metric.L2)


def scan(key: str) -> IndexedScan:
    record = ScanRecord(
        object_key=key, etag="e", generation="g", metadata_hash="m", n_slices=SLICES
    )
    rows = [
        SliceRow(object_key=key, generation="g", slice_index=number) for number in range(SLICES)
    ]
    vectors = np.random.default_rng([*key.encode()]).normal(size=(SLICES, DIMENSION))
    return IndexedScan(record=record, slices=rows, vectors=vectors.astype(np.float32))


def write(collection: Collection, writer: str) -> None:
    for number in range(SCANS):
        collection.commit([scan(f"{writer}/{number}")])
        sys.stdout.write(f"{writer}/{number}\n")
        sys.stdout.flush()


def holds_all(folder: Path, writers: list[str]) -> bool:
    """Whether, after a restart, every scan of every writer is there with its vectors."""
    stop_server(folder)
    index, collection = open_collection(folder)
    expected = {f"{writer}/{number}" for writer in writers for number in range(SCANS)}
    assert {record.object_key for record in collection.records()} == expected
    assert collection.count_stored() == collection.count() == len(expected) * SLICES
    for key in sorted(expected)[::5]:
        kept = np.stack([vector for _, vector in collection.slices(key)])
        np.testing.assert_array_equal(kept, scan(key).vectors)
    index.close()
    return True


@pytest.mark.parametrize("is_locked", [True, False])
def test_eight_writing_threads_lose_nothing(folder: Path, *, is_locked: bool) -> None:
    """Not even without the clients' lock, which one that is killed lets go of too early."""
    index, collection = open_collection(folder)
    if not is_locked:
        index.close()
        index = VectorIndex(MilvusStore(lambda: ensure_server(folder).address))
        collection = index.open(NAME)
    writers = [f"thread{number}" for number in range(8)]
    threads = [threading.Thread(target=write, args=(collection, writer)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index.close()
    assert holds_all(folder, writers)


def test_four_writing_processes_lose_nothing(folder: Path) -> None:
    """Started together, before there is a server or a collection."""
    writers = [f"process{number}" for number in range(4)]
    commands = [[sys.executable, __file__, str(folder), writer] for writer in writers]
    processes = [subprocess.Popen(command, env=HERE) for command in commands]  # noqa: S603  this file
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0, 0]
    assert holds_all(folder, writers)


def test_killed_server_keeps_what_it_acknowledged(folder: Path) -> None:
    index, collection = open_collection(folder)
    collection.commit([scan("before/0")])
    for number in range(2):
        server = find_server(folder)
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        # The same client goes on: it starts the server again, and asks again.
        collection.commit([scan(f"after/{number}")])
    index.close()
    stop_server(folder)
    index, collection = open_collection(folder)
    expected = {"before/0", "after/0", "after/1"}
    assert {record.object_key for record in collection.records()} == expected
    assert collection.count() == 3 * SLICES
    index.close()


def test_killed_writer_leaves_whole_scans_and_no_lock(folder: Path) -> None:
    index, collection = open_collection(folder)
    rng = np.random.default_rng(4)
    acknowledged = []
    for run in range(3):
        command = [sys.executable, __file__, str(folder), f"run{run}"]
        with subprocess.Popen(command, env=HERE, stdout=subprocess.PIPE, text=True) as writer:  # noqa: S603  this file
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(3)]
            time.sleep(rng.uniform(0, 0.3))
            writer.kill()
            acknowledged += writer.stdout.read().split()
        time.sleep(0.3)  # the server may still be working on the writer's last call
        seen = {record.object_key for record in collection.records()}
        assert seen >= set(acknowledged)
        assert collection.count() == SLICES * len(seen)
        assert len(collection.search(np.zeros(DIMENSION, np.float32), limit=10_000)) == (
            SLICES * len(seen)
        )
    collection.commit([scan("after")])
    index.close()


def test_every_command_finds_the_same_server(folder: Path) -> None:
    assert find_server(folder) is None
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_server(folder, idle_seconds=60)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert set(found) == {find_server(folder)}
    server = found[0]
    addresses = {
        link.laddr.ip
        for link in psutil.Process(server.pid).net_connections("tcp")
        if link.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert addresses
    assert stop_server(folder)
    assert find_server(folder) is None
    assert not stop_server(folder)


def test_stale_runtime_file_is_no_server(folder: Path) -> None:
    folder.mkdir()
    mine = {"pid": os.getpid(), "port": 1}  # a process that lives, and is none of ours
    (folder / "server.json").write_text(json.dumps(mine), encoding="utf-8")
    assert find_server(folder) is None
    assert not stop_server(folder)
    server = ensure_server(folder, idle_seconds=60)
    assert server.pid != os.getpid()
    assert find_server(folder) == server


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "null", "7", "{", "", "[" * 100_000, '{"pid": 2}', '{"port": 2}'),
        *('{"pid": "2", "port": 2}', '{"pid": true, "port": 2}', '{"pid": 2, "port": null}'),
        *('{"pid": 2, "port": 65536}', '{"pid": 0, "port": 2}', '{"pid": -1, "port": 2}', "\udcff"),
    ],
)
def test_a_damaged_runtime_file_is_no_server(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "server.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with FileLock(folder / "server.lock"):
        assert find_server(folder) is None
        assert not stop_server(folder)


def test_a_runtime_file_that_can_not_be_read_is_told(folder: Path) -> None:
    (folder / "server.json").mkdir(parents=True)  # nobody can read it, the superuser neither
    for call in (find_server, stop_server):
        with pytest.raises(IndexUnavailableError, match=r"server\.json can't be read"):
            call(folder)
    (folder / "server.json").rmdir()


def test_idle_server_ends_and_comes_back(folder: Path) -> None:
    index = VectorIndex(open_store(folder, idle_seconds=1.5))
    collection = index.create(NAME, dimension=DIMENSION, metric=Metric.L2)
    collection.commit([scan("a")])
    time.sleep(2.5)
    assert find_server(folder) is not None, "ended while a client was connected"
    index.close()
    deadline = time.monotonic() + 60
    while find_server(folder) is not None:
        assert time.monotonic() < deadline, "did not end"
        time.sleep(0.1)
    index, collection = open_collection(folder)
    assert collection.count() == SLICES
    index.close()


def test_server_that_does_not_start_says_where_its_log_is(folder: Path) -> None:
    folder.mkdir()
    (folder / "milvus.db").write_text("not a folder", encoding="utf-8")
    with pytest.raises(IndexUnavailableError, match=r"does not start; see .*server\.log"):
        ensure_server(folder, idle_seconds=60)
    (folder / "milvus.db").unlink()


if __name__ == "__main__":
    opened, written = open_collection(Path(sys.argv[1]))
    write(written, sys.argv[2])
    opened.close()
