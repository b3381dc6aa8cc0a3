"""The task queue: what is sent waits, what is on its way is known, what is lost is found out."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from kombu.messaging import Consumer

from infra import task_queue
from infra.broker import BrokerAwayError, BrokerError
from infra.celery_options import celery_app
from infra.queue_order import TURNS
from infra.settings import Settings, SettingsError
from infra.task_names import BULK, ENCODE, MAINTENANCE, SWEEP
from infra.task_queue import TaskQueue, Waiting
from stack_parts import RedisServer, work_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kombu.message import Message

pytest_plugins = ["stack_parts"]

LIVE = "litho_a"


@pytest.fixture
def queue(broker: RedisServer, tmp_path: Path) -> Iterator[TaskQueue]:
    with TaskQueue(work_settings(tmp_path, broker, batch_keys=3)) as queue:
        yield queue


def messages(broker: RedisServer, queue: str) -> list[dict[str, object]]:
    """What waits, the next first."""
    with broker.client as client:
        return [json.loads(text) for text in reversed(client.lrange(queue, 0, -1))]


def lose(broker: RedisServer, queue: str) -> None:
    """Take a task as a worker does that dies before it notes that it has it."""
    with broker.client as client:
        assert client.rpop(queue) is not None


def test_without_a_broker_there_is_no_queue() -> None:
    with pytest.raises(SettingsError, match="LITHOSCOPE_BROKER__URL"):
        TaskQueue(Settings())


def test_scans_go_in_batches_of_json_each_once(queue: TaskQueue, broker: RedisServer) -> None:
    keys = [f"scans/{n}" for n in range(7)]
    assert queue.send([*keys, "scans/0"], collection=LIVE) == 3
    assert queue.send([], collection=LIVE) == 0
    found = messages(broker, ENCODE)
    assert {message["content-type"] for message in found} == {"application/json"}
    assert queue.waiting(ENCODE) == Waiting(tasks=3, running=0, keys=7)
    assert queue.waiting(BULK) == Waiting(tasks=0, running=0, keys=0)
    assert queue.in_flight(LIVE) == set(keys)
    assert queue.are_in_flight(["scans/3", "scans/x"], collection=LIVE) == {"scans/3"}
    assert queue.in_flight("litho_b") == set()


def test_queues_are_apart(queue: TaskQueue) -> None:
    queue.send(["scans/a"], collection=LIVE)
    queue.send(["scans/a", "scans/b"], collection="litho_b", bulk=True)
    queue.request(SWEEP, prefix=None)
    assert queue.waiting(ENCODE) == (1, 0, 1)
    assert queue.waiting(BULK) == (1, 0, 2)
    assert queue.waiting(MAINTENANCE) == (1, 0, 0)
    assert queue.in_flight("litho_b") == {"scans/a", "scans/b"}


def test_uploads_without_a_pause_let_maintenance_through(
    queue: TaskQueue, broker: RedisServer, tmp_path: Path
) -> None:
    queue.request(SWEEP)
    queue.send(["scans/old"], collection=LIVE, bulk=True)
    queue.send([f"scans/{n}" for n in range(3 * 2 * TURNS)], collection=LIVE)
    assert taken(work_settings(tmp_path, broker)) == [
        *([ENCODE] * TURNS),
        MAINTENANCE,
        *([ENCODE] * TURNS),
        BULK,
    ]


def taken(settings: Settings) -> list[str]:
    """Queues that tasks come from, in their order, for a worker that takes one after the other."""
    found: list[str] = []

    def take(message: Message) -> None:
        found.append(message.delivery_info["routing_key"])
        message.ack()  # type: ignore[no-untyped-call]  # kombu

    with celery_app(settings) as app, app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        queues = list(app.amqp.queues.values())
        consumer = Consumer(channel, queues, on_message=take)  # type: ignore[no-untyped-call]  # kombu
        with consumer, suppress(TimeoutError):
            while True:
                connection.drain_events(timeout=2)
    return found


def test_any_key_can_be_in_flight(queue: TaskQueue) -> None:
    keys = ["scans/é", "scans/\udcff.png", "scans/x' OR 1", "scans/\x00"]
    queue.send(keys, collection=LIVE)
    assert queue.in_flight(LIVE) == set(keys)
    queue.settle(keys, collection=LIVE)
    assert queue.in_flight(LIVE) == set()


def test_what_is_settled_is_in_flight_no_more_unless_it_was_sent_again(queue: TaskQueue) -> None:
    queue.send(["scans/a", "scans/b"], collection=LIVE)
    began = queue.now()
    queue.send(["scans/b"], collection=LIVE)  # it changed while it was worked on
    queue.settle(["scans/a", "scans/b", "scans/c"], collection=LIVE, began=began)
    assert queue.in_flight(LIVE) == {"scans/b"}
    queue.settle(["scans/b"], collection=LIVE)
    assert queue.in_flight(LIVE) == set()


def test_the_age_of_the_oldest_task_is_told(queue: TaskQueue) -> None:
    assert queue.oldest_seconds(ENCODE) is None
    queue.send(["scans/a"], collection=LIVE)
    time.sleep(0.3)
    queue.send(["scans/b"], collection=LIVE)
    age = queue.oldest_seconds(ENCODE)
    assert age is not None
    assert 0.3 <= age < 5


def test_lost_tasks_are_found_out_by_the_queues_order(
    queue: TaskQueue, broker: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "GRACE_SECONDS", 0.2)
    for key in "abc":
        queue.send([f"scans/{key}"], collection=LIVE)
        time.sleep(0.3)
    assert queue.in_flight(LIVE) == {"scans/a", "scans/b", "scans/c"}  # however long they wait
    lose(broker, ENCODE)
    assert queue.in_flight(LIVE) == {"scans/b", "scans/c"}
    assert queue.are_in_flight(["scans/a"], collection=LIVE) == set()
    lose(broker, ENCODE)
    lose(broker, ENCODE)
    assert queue.waiting(ENCODE).keys == 0
    assert queue.in_flight(LIVE) == set()


def test_a_task_that_a_worker_has_is_not_lost(
    queue: TaskQueue, broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "GRACE_SECONDS", 0.2)
    queue.send(["scans/a"], collection=LIVE)
    with celery_app(work_settings(tmp_path, broker)) as app, app.connection() as connection:
        message = connection.SimpleQueue(app.amqp.queues[ENCODE]).get(timeout=5)
        time.sleep(0.5)
        assert queue.waiting(ENCODE) == Waiting(tasks=0, running=1, keys=1)
        assert queue.in_flight(LIVE) == {"scans/a"}
        age = queue.oldest_seconds(ENCODE)
        assert age is not None
        assert age > 0.4
        message.ack()
    assert queue.in_flight(LIVE) == set()


def test_a_flushed_broker_forgets_what_was_in_flight_with_the_tasks(
    queue: TaskQueue, broker: RedisServer
) -> None:
    queue.send(["scans/a"], collection=LIVE)
    broker.flush()
    assert queue.in_flight(LIVE) == set()
    queue.send(["scans/a"], collection=LIVE)  # by connections of before
    assert queue.waiting(ENCODE) == (1, 0, 1)


def test_a_broker_that_died_is_told_and_gone_on_with(
    mortal_broker: RedisServer, tmp_path: Path
) -> None:
    with TaskQueue(work_settings(tmp_path, mortal_broker)) as queue:
        queue.send(["scans/a"], collection=LIVE)
        time.sleep(1.5)  # it is on disk every second
        mortal_broker.kill()
        with pytest.raises(BrokerAwayError, match="try again later"):
            queue.send(["scans/b"], collection=LIVE)
        with pytest.raises(BrokerAwayError, match="try again later"):
            queue.request(SWEEP)
        with pytest.raises(BrokerAwayError):
            queue.waiting(ENCODE)
        mortal_broker.start()
        queue.send(["scans/b"], collection=LIVE)
        queue.request(SWEEP)
        assert queue.waiting(ENCODE) == (2, 0, 2)
        assert queue.waiting(MAINTENANCE).tasks == 1


def test_a_full_broker_is_waited_for(queue: TaskQueue, broker: RedisServer) -> None:
    queue.request(SWEEP)
    with broker.client as admin:
        admin.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerAwayError, match="memory is full"):
                queue.send(["scans/a"], collection=LIVE)
            with pytest.raises(BrokerAwayError, match="maxmemory"):
                queue.request(SWEEP)
        finally:
            admin.config_set("maxmemory", 0)


def test_what_is_no_task_hides_nothing(queue: TaskQueue, broker: RedisServer) -> None:
    foreign = ["no json", "[1]", '{"headers": null}', b"\xff", "null"]
    with broker.client as client:
        for each in foreign:
            client.rpush(ENCODE, each)
            client.hset("unacked", f"foreign {each!r}", each)
            queue.send(["scans/a"], collection=LIVE)
            assert queue.in_flight(LIVE) == {"scans/a"}
            assert queue.waiting(ENCODE).keys == 1
            assert queue.oldest_seconds(ENCODE) is None


def test_times_are_the_brokers_whatever_a_machines_clock_says(
    queue: TaskQueue, broker: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = queue.now()
    monkeypatch.setattr(time, "time", lambda: 1e9)
    queue.send(["scans/a"], collection=LIVE)
    (message,) = messages(broker, ENCODE)
    assert message["headers"]["lithoscope_sent"] >= began  # type: ignore[index]
    age = queue.oldest_seconds(ENCODE)
    assert age is not None
    assert age < 60
    queue.settle(["scans/a"], collection=LIVE, began=began)  # it was sent since
    assert queue.in_flight(LIVE) == {"scans/a"}
    queue.settle(["scans/a"], collection=LIVE)
    assert queue.in_flight(LIVE) == set()


def test_a_queue_of_another_kind_is_told(queue: TaskQueue, broker: RedisServer) -> None:
    with broker.client as client:
        client.set(MAINTENANCE, "x")
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        queue.request(SWEEP)
