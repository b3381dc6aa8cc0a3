"""The dispatcher: from events to tasks, whoever dies in between."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import OutOfMemoryError

from infra.broker import BrokerFullError, open_broker
from infra.event_journal import EventJournal
from infra.indexing.errors import IndexUnavailableError
from infra.task_names import ENCODE, MAINTENANCE
from infra.task_queue import TaskQueue
from ingest_worker.dispatcher import Dispatcher
from stack_parts import PASSWORD, RedisServer, wait_until, work_settings
from test_events import entry, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import redis

pytest_plugins = ["stack_parts"]

ROOT = Path(__file__).resolve().parents[1]
KEY = "lithoscope:events"
LIVE, FILLING = "litho_a", "litho_b"


class World:
    """A dispatcher with its broker."""

    def __init__(self, folder: Path, broker: RedisServer, **work: int) -> None:
        settings = work_settings(folder, broker, batch_seconds=0.5, **work)
        self.broker = broker
        self.client: redis.Redis = open_broker(settings)
        self.queue = TaskQueue(settings)
        self.collections: Sequence[str] = (LIVE,)
        self.asked = 0
        self.dispatcher = Dispatcher(
            journal=EventJournal(self.client, KEY),
            queue=self.queue,
            bucket="rocks",
            work=settings.work,
            find_collections=self.find,
        )

    def find(self) -> Sequence[str]:
        self.asked += 1
        return self.collections

    def tell(self, *records: dict[str, Any]) -> None:
        for each in records:
            self.client.rpush(KEY, entry(each))

    def tasks(self, queue: str = ENCODE) -> list[dict[str, Any]]:
        """Arguments of the tasks that wait, the next first."""
        found = []
        for text in reversed(self.client.lrange(queue, 0, -1)):
            body = json.loads(base64.b64decode(json.loads(text)["body"]))
            found.append(body[1])
        return found

    def close(self) -> None:
        self.queue.close()
        self.client.close()


@pytest.fixture
def world(broker: RedisServer, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, broker)
    yield world
    world.close()


def test_events_become_tasks_each_key_once(world: World) -> None:
    world.tell(
        record("scans/a b/ü.png"),
        record("scans/c"),
        record("scans/a b/ü.png", "s3:ObjectRemoved:Delete"),
        record("scans/copy", "s3:ObjectCreated:Copy"),
    )
    assert world.dispatcher.step() == 4
    assert world.tasks() == [
        {"keys": ["scans/c", "scans/a b/ü.png", "scans/copy"], "collection": LIVE}
    ]
    assert world.dispatcher.journal.waiting() == 0
    assert world.dispatcher.step() == 0
    assert world.tasks(MAINTENANCE) == []


def test_large_batches_are_cut(world: World) -> None:
    world.tell(*[record(f"scans/{n}") for n in range(150)])
    assert [world.dispatcher.step() for _ in range(3)] == [64, 64, 22]
    assert [len(task["keys"]) for task in world.tasks()] == [64, 64, 22]
    assert len(world.queue.in_flight(LIVE)) == 150


def test_a_collection_that_is_being_filled_is_fed_too(world: World) -> None:
    world.collections = (LIVE, FILLING)
    world.tell(record("scans/a"))
    world.dispatcher.step()
    assert [task["collection"] for task in world.tasks()] == [LIVE, FILLING]


def test_a_change_of_tables_asks_for_one_sweep(world: World) -> None:
    world.tell(record("metadata/a.csv"), record("metadata/b.csv", "s3:ObjectRemoved:Delete"))
    world.dispatcher.step()
    assert len(world.tasks(MAINTENANCE)) == 1
    assert world.tasks() == []


def test_what_is_no_scan_is_passed_over(world: World) -> None:
    elsewhere = record("scans/a")
    elsewhere["s3"]["bucket"]["name"] = "other"
    world.tell(
        elsewhere,
        record("thumbnails/x.webp"),
        record("scans/folder/"),
        record("scans/a/.hidden"),
        record("scans/a", "s3:ObjectAccessed:Get"),
    )
    assert world.dispatcher.step() == 5
    assert world.tasks() == []
    assert world.tasks(MAINTENANCE) == []
    assert world.dispatcher.journal.waiting() == 0
    assert world.asked == 0


def test_damaged_entries_hold_nothing_up(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.client.rpush(KEY, b"{no json")
    world.tell(record("scans/a"))
    assert world.dispatcher.step() == 2
    assert [task["keys"] for task in world.tasks()] == [["scans/a"]]
    assert world.dispatcher.journal.waiting() == 0
    assert world.dispatcher.journal.damaged() == 1
    assert "{no json" in caplog.text


def test_without_a_live_model_events_are_let_go_and_that_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.collections = ()
    for key in ("scans/a", "scans/b"):
        world.tell(record(key))
        world.dispatcher.step()
    assert world.dispatcher.journal.waiting() == 0
    assert caplog.text.count("no model is live") == 1


def test_while_the_index_is_away_events_wait(world: World) -> None:
    def away() -> Sequence[str]:
        raise IndexUnavailableError("index: away")

    world.dispatcher.find_collections = away
    world.tell(record("scans/a"))
    for _ in range(2):
        with pytest.raises(IndexUnavailableError):
            world.dispatcher.step()
        assert world.dispatcher.journal.waiting() == 1
    world.dispatcher.find_collections = world.find
    world.dispatcher.step()
    assert [task["keys"] for task in world.tasks()] == [["scans/a"]]


def test_above_the_mark_events_are_let_go_and_a_sweep_is_asked_for_once_there_is_room(
    broker: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, broker, batch_keys=8, high_water=16)
    world.tell(*[record(f"scans/{n}") for n in range(40)])
    assert [world.dispatcher.step() for _ in range(6)] == [8, 8, 8, 8, 8, 0]
    assert len(world.queue.in_flight(LIVE)) == 16
    assert world.dispatcher.journal.waiting() == 0
    assert caplog.text.count("events are let go") == 1
    world.queue.settle([f"scans/{n}" for n in range(8)], collection=LIVE)
    world.tell(record("scans/later"))
    world.dispatcher.step()
    assert world.tasks(MAINTENANCE) == []
    assert len(world.tasks()) == 2
    world.queue.settle(["scans/8"], collection=LIVE)
    world.tell(record("scans/at last"))
    world.dispatcher.step()
    assert len(world.tasks(MAINTENANCE)) == 1
    assert world.tasks()[-1]["keys"] == ["scans/at last"]
    world.close()


def test_a_sweep_that_a_dispatcher_owes_when_it_dies_is_asked_for_by_the_next(
    broker: RedisServer, tmp_path: Path
) -> None:
    dying = World(tmp_path, broker, batch_keys=8, high_water=8)
    dying.tell(*[record(f"scans/{n}") for n in range(16)])
    assert [dying.dispatcher.step() for _ in range(2)] == [8, 8]
    dying.close()
    world = World(tmp_path, broker, batch_keys=8, high_water=8)
    world.tell(record("scans/later"))
    world.dispatcher.step()
    assert world.tasks(MAINTENANCE) == []
    world.queue.settle([f"scans/{n}" for n in range(8)], collection=LIVE)
    world.dispatcher.step()
    assert len(world.tasks(MAINTENANCE)) == 1
    world.close()
    third = World(tmp_path, broker, batch_keys=8, high_water=8)
    third.dispatcher.step()
    assert len(third.tasks(MAINTENANCE)) == 1, "it is owed no more"
    third.close()


def fill(client: redis.Redis, event: bytes) -> None:
    while True:
        client.rpush(KEY, *[event] * 100)


def test_a_broker_that_events_filled_is_made_room_in(
    mortal_broker: RedisServer, tmp_path: Path
) -> None:
    """Nobody else takes anything from a full broker: its workers can't even start."""
    world = World(tmp_path, mortal_broker)
    used = int(world.client.info("memory")["used_memory"])
    world.client.config_set("maxmemory", used + (8 << 20))
    event = entry(record("scans/a") | {"padding": "n" * 2000})
    with pytest.raises(OutOfMemoryError):
        fill(world.client, event)
    with pytest.raises(BrokerFullError):
        world.dispatcher.step()
    stop = threading.Event()
    thread = threading.Thread(target=world.dispatcher.run, args=[stop])
    thread.start()
    try:
        wait_until(lambda: world.tasks(MAINTENANCE))
        world.tell(record("scans/b"))
        wait_until(lambda: any("scans/b" in task["keys"] for task in world.tasks()))
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
        world.close()


CRASHING = """
import os, signal, sys
from infra.broker import open_broker
from infra.event_journal import EventJournal
from infra.settings import load_settings
from infra.task_queue import TaskQueue
from ingest_worker.dispatcher import Dispatcher

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Journal(EventJournal):
    def done(self, entries):
        die()

settings = load_settings()
client = open_broker(settings)
is_early = sys.argv[1] == "before the send"
Dispatcher(
    journal=(EventJournal if is_early else Journal)(client, settings.broker.events_key),
    queue=TaskQueue(settings),
    bucket="rocks",
    work=settings.work,
    find_collections=die if is_early else lambda: ["litho_a"],
).step()
"""


@pytest.mark.parametrize("when", ["before the send", "before it is done"])
def test_a_dispatcher_that_is_killed_with_events_in_its_hands_loses_none(
    world: World, when: str
) -> None:
    world.tell(record("scans/a"), record("scans/b"))
    env = {
        "LITHOSCOPE_BROKER__URL": f"redis://127.0.0.1:{world.broker.port}/0",
        "LITHOSCOPE_BROKER__PASSWORD": PASSWORD,
        "LITHOSCOPE_WORK__BATCH_SECONDS": "0.5",
    }
    done = subprocess.run(  # noqa: S603  our own interpreter on our own script
        [sys.executable, "-c", CRASHING, when], cwd=ROOT, env=os.environ | env, check=False
    )
    assert done.returncode == -9
    assert world.dispatcher.journal.waiting() == 2
    assert len(world.tasks()) == (0 if when == "before the send" else 1)
    world.tell(record("scans/c"))
    assert world.dispatcher.step() == 3
    assert world.tasks()[-1]["keys"] == ["scans/a", "scans/b", "scans/c"]
    assert world.dispatcher.journal.waiting() == 0


def test_a_broker_that_is_killed_is_waited_for_and_nothing_is_lost(
    mortal_broker: RedisServer, tmp_path: Path
) -> None:
    world = World(tmp_path, mortal_broker)
    stop = threading.Event()
    thread = threading.Thread(target=world.dispatcher.run, args=[stop])
    try:
        world.tell(*[record(f"scans/{n}") for n in range(5)])
        thread.start()
        wait_until(world.tasks)
        time.sleep(1.5)  # it is on disk every second
        mortal_broker.kill()
        time.sleep(1)
        mortal_broker.start()
        world.tell(*[record(f"scans/{n}") for n in range(5, 10)])
        wait_until(lambda: not world.dispatcher.journal.waiting())
        assert thread.is_alive()
        sent = {key for task in world.tasks() for key in task["keys"]}
        assert sent == {f"scans/{n}" for n in range(10)}
    finally:
        stop.set()
        thread.join()
        world.close()
