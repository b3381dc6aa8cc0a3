"""The journal of events: an entry is given until it is done, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import event_journal
from infra.broker import BrokerAwayError, BrokerError, open_broker
from infra.event_journal import EventJournal
from stack_parts import PASSWORD, RedisServer, wait_until, work_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

pytest_plugins = ["stack_parts"]

ROOT = Path(__file__).resolve().parents[1]
KEY = "lithoscope:events"


@pytest.fixture
def client(broker: RedisServer, tmp_path: Path) -> Iterator[redis.Redis]:
    with open_broker(work_settings(tmp_path, broker)) as client:
        yield client


def test_entries_are_given_in_order_and_kept_until_they_are_done(client: redis.Redis) -> None:
    journal = EventJournal(client, KEY)
    client.rpush(KEY, *[f"{n}" for n in range(5)])
    assert journal.take(1, 3) == [b"0", b"1", b"2"]
    assert journal.waiting() == 5
    journal.done([b"0", b"1"])
    assert journal.waiting() == 3
    assert journal.recover() == 1  # what "2" said was not passed on
    assert journal.take(1, 10) == [b"2", b"3", b"4"]
    assert journal.recover() == 3
    assert journal.take(1, 10) == [b"2", b"3", b"4"]


def test_a_batch_is_given_once_nothing_more_comes(client: redis.Redis) -> None:
    journal = EventJournal(client, KEY)
    began = time.monotonic()
    assert journal.take(0.3, 10) == []
    assert 0.2 < time.monotonic() - began < 2
    client.rpush(KEY, "a")
    began = time.monotonic()
    assert journal.take(20, 10) == [b"a"]
    assert time.monotonic() - began < 2


def test_a_stream_of_events_is_cut_after_the_time(client: redis.Redis) -> None:
    journal = EventJournal(client, KEY)
    stop = threading.Event()

    def come() -> None:
        while not stop.wait(0.05):
            client.rpush(KEY, "a")

    thread = threading.Thread(target=come)
    thread.start()
    began = time.monotonic()
    try:
        entries = journal.take(1, 1000)
    finally:
        stop.set()
        thread.join()
    assert 1 <= time.monotonic() - began < 3
    assert 5 < len(entries) < 1000


def test_equal_entries_are_done_one_by_one(client: redis.Redis) -> None:
    journal = EventJournal(client, KEY)
    client.rpush(KEY, "same", "same")
    assert journal.take(1, 10) == [b"same", b"same"]
    journal.done([b"same"])
    assert journal.recover() == 1


def test_what_can_not_be_read_is_kept_apart_the_newest_of_it(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_journal, "MAX_DAMAGED", 2)
    journal = EventJournal(client, KEY)
    journal.put_aside([])
    client.rpush(KEY, "a", "b", "c")
    journal.put_aside(journal.take(1, 10))
    assert journal.waiting() == 0
    assert journal.damaged() == 2
    assert client.lrange(f"{KEY}:damaged", 0, -1) == [b"c", b"b"]


def test_a_reader_that_is_killed_with_entries_in_its_hands_loses_none(
    broker: RedisServer, client: redis.Redis
) -> None:
    client.rpush(KEY, "1", "2", "3")
    script = (
        "import sys, time\n"
        "from infra.broker import open_broker\n"
        "from infra.event_journal import EventJournal\n"
        "from infra.settings import load_settings\n"
        f"journal = EventJournal(open_broker(load_settings()), {KEY!r})\n"
        "print(len(journal.take(1, 2)), flush=True)\n"
        "time.sleep(60)\n"
    )
    env = {
        "LITHOSCOPE_BROKER__URL": f"redis://127.0.0.1:{broker.port}/0",
        "LITHOSCOPE_BROKER__PASSWORD": PASSWORD,
    }
    with subprocess.Popen(  # noqa: S603  our own interpreter on our own script
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"2\n"
        reader.send_signal(signal.SIGKILL)
    journal = EventJournal(client, KEY)
    assert journal.waiting() == 3
    assert journal.recover() == 2
    assert journal.take(1, 10) == [b"1", b"2", b"3"]


def test_a_broker_that_dies_in_between_gives_everything_again(
    mortal_broker: RedisServer, tmp_path: Path
) -> None:
    with open_broker(work_settings(tmp_path, mortal_broker)) as client:
        journal = EventJournal(client, KEY)
        client.rpush(KEY, "1", "2")
        assert journal.take(1, 1) == [b"1"]
        time.sleep(1.5)  # it is on disk every second
        mortal_broker.kill()
        with pytest.raises(BrokerAwayError):
            journal.take(1, 1)
        with pytest.raises(BrokerAwayError):
            journal.done([b"1"])
        mortal_broker.start()
        assert journal.recover() == 1
        assert journal.take(1, 10) == [b"1", b"2"]


def test_a_broker_that_hangs_is_away(
    mortal_broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.broker.ANSWER_SECONDS", 1.0)
    with open_broker(work_settings(tmp_path, mortal_broker)) as client:
        journal = EventJournal(client, KEY)
        client.rpush(KEY, "1")
        mortal_broker.send(signal.SIGSTOP)
        with pytest.raises(BrokerAwayError):
            journal.take(0.5, 1)
        mortal_broker.send(signal.SIGCONT)
        wait_until(mortal_broker.answers)
        journal.recover()
        assert journal.take(1, 1) == [b"1"]


def test_a_list_of_another_kind_is_told(client: redis.Redis) -> None:
    client.hset(KEY, "a", "b")  # what MinIO's format "namespace" makes
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        EventJournal(client, KEY).take(1, 1)
