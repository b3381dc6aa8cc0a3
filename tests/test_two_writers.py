"""Two processes that write one scan: whatever their order, a record never stands over nothing."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index_contract import DIMENSION, make, scan, shows
from infra.index_server import open_store, stop_server
from infra.indexing.errors import VectorIndexError
from infra.indexing.memory import MemoryStore
from infra.indexing.rekeying import Rekey
from infra.vector_index import Collection, VectorIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.indexing.records import SliceRow
    from infra.indexing.store import RowStore

pytest_plugins = ["index_contract"]

STEPS = ("upsert", "delete", "select")
OLD, NEW = scan("a", "g1", n=4), scan("a", "g2", n=6)
SCHEDULES = 400


def rekeyed(row: SliceRow) -> SliceRow:
    return replace(row, sample="S2")


REKEY = Rekey(record=replace(OLD.record, sample="S2", metadata_hash="m2"), change=rekeyed)

WRITERS: dict[str, Callable[[Collection], None]] = {
    "commit old": lambda collection: collection.commit([OLD]),
    "commit new": lambda collection: collection.commit([NEW]),
    "rekey": lambda collection: collection.rekey([REKEY]),
    "remove": lambda collection: collection.remove(["a"]),
    "sweep": lambda collection: collection.sweep(["a"]),
}


class Meddled:
    """A store that calls someone before each of its steps.

    Attributes:
        before: Called with the step's name and the table.
    """

    def __init__(self, store: RowStore, before: Callable[[str, str], object]) -> None:
        self._store = store
        self.before = before

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  a method of the store
        method = getattr(self._store, name)
        if name not in STEPS:
            return method

        def stepped(table: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401  passed on
            self.before(name, table)
            found = method(table, *args, **options)
            return iter(list(found)) if name == "select" else found

        return stepped


class Unlocked(Meddled):
    """A store that can't hold off other writers, as a server."""

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        yield False


def opened(store: Any, name: str) -> Collection:  # noqa: ANN401  a wrapped store
    return VectorIndex(store).open(name)


def is_whole(collection: Collection) -> bool:
    """Whether all rows are there that the record promises, and are what is shown."""
    record = collection.record("a")
    if record is None:
        return shows(collection, [])
    slices = collection.slices("a")
    counts = len(slices), collection.count(), collection.committed_slices()
    indices = [row.slice_index for row, _ in slices]
    return counts == (record.n_slices,) * 3 and indices == list(range(record.n_slices))


@pytest.mark.parametrize("other", WRITERS)
@pytest.mark.parametrize("is_there", [True, False])
def test_another_writer_between_rows_and_record(
    index: VectorIndex, collection: Collection, other: str, *, is_there: bool
) -> None:
    if is_there:
        collection.commit([OLD])
    others: list[Any] = []

    def meddle(step: str, table: str) -> None:
        if step == "upsert" and table != collection.name and not others:
            work = quietly(WRITERS[other], collection)
            others.append(pool.submit(work))
            wait(others, timeout=0.3)  # it ends, or the store holds it off until we are done

    with ThreadPoolExecutor(1) as pool:
        opened(Meddled(index.store, meddle), collection.name).commit([NEW])
        others[0].result(timeout=60)
    assert is_whole(collection)
    if other in ("commit new", "sweep"):
        assert shows(collection, [NEW])


def quietly(write: Callable[[Collection], None], collection: Collection) -> Callable[[], None]:
    def work() -> None:
        with suppress(VectorIndexError):  # there is nothing to rekey
            write(collection)

    return work


class Turns:
    """Lets threads take their steps one at a time, in an order that is drawn by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._go: dict[str, threading.Semaphore] = {}
        self._stopped = threading.Semaphore(0)
        self._ended: set[str] = set()
        self.faults: list[BaseException] = []

    def start(self, name: str, work: Callable[[Callable[[str, str], object]], None]) -> None:
        go = self._go[name] = threading.Semaphore(0)

        def step(_step: str, _table: str) -> None:
            self._stopped.release()
            go.acquire()

        def run() -> None:
            go.acquire()
            try:
                work(step)
            except VectorIndexError as error:
                self.faults.append(error)
            finally:
                self._ended.add(name)
                self._stopped.release()

        threading.Thread(target=run).start()

    def play(self) -> None:
        """Let them take turns until all have ended; long runs of one are as likely as changes."""
        name = ""
        while running := sorted(self._go.keys() - self._ended):
            if name not in running or self._random.random() < 0.4:
                name = self._random.choice(running)
            self._go[name].release()
            self._stopped.acquire()


@pytest.mark.parametrize(
    "names",
    [
        ("commit old", "commit new"),
        ("commit new", "remove"),
        ("commit new", "sweep"),
        ("rekey", "commit new"),
        ("rekey", "remove"),
        ("commit old", "commit new", "remove"),
        ("commit old", "commit new", "sweep"),
        ("commit old", "rekey", "commit new"),
    ],
    ids=" and ".join,
)
def test_writers_that_nothing_holds_off_lose_no_rows(names: tuple[str, ...]) -> None:
    for seed in range(SCHEDULES):
        store = MemoryStore()
        collection = make(VectorIndex(store))
        if seed % 2 or "rekey" in names:
            collection.commit([OLD])
        turns = Turns(seed)
        for name in names:

            def work(
                step: Callable[[str, str], object],
                name: str = name,
                where: tuple[RowStore, str] = (store, collection.name),
            ) -> None:
                WRITERS[name](opened(Unlocked(where[0], step), where[1]))

            turns.start(name, work)
        turns.play()
        assert is_whole(collection), f"schedule {seed}"
        assert all("; commit it " in str(fault) for fault in turns.faults)
        collection.sweep(["a"])
        assert is_whole(collection)


def test_metadata_of_a_former_generation_does_not_replace_a_newer_one() -> None:
    store = MemoryStore()
    collection = make(VectorIndex(store))
    collection.commit([OLD])

    def meddle(step: str, table: str) -> None:
        if step == "upsert" and table == collection.name and collection.record("a") == OLD.record:
            collection.commit([NEW])

    with pytest.raises(VectorIndexError, match="not indexed as g1 any more; commit it instead"):
        opened(Unlocked(store, meddle), collection.name).rekey([REKEY])
    assert shows(collection, [NEW])


def test_two_clients_of_one_embedded_index(tmp_path: Path) -> None:
    """Each has its own connection and its own lock on the file, as two processes have."""
    first, second = (VectorIndex(open_store(tmp_path, idle_seconds=60)) for _ in range(2))
    collection = make(first)
    doomed = second.open(collection.name)
    others: list[Any] = []

    def meddle(step: str, table: str) -> None:
        if step == "upsert" and table != collection.name and len(others) < 3:
            for name in ("commit old", "remove", "sweep"):
                others.append(pool.submit(WRITERS[name], doomed))  # noqa: PERF401  a closure's
            wait(others, timeout=0.3)

    with ThreadPoolExecutor(1) as pool:
        opened(Meddled(first.store, meddle), collection.name).commit([NEW])
        wait(others, timeout=60)
    assert [other.exception() for other in others] == [None] * 3
    assert shows(collection, [])  # the others came after us, and removed it last
    assert collection.schema.dimension == DIMENSION
    collection.commit([NEW])
    assert shows(doomed, [NEW])
    first.close()
    second.close()
    assert stop_server(tmp_path)
