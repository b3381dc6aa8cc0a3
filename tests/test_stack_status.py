"""What ``status`` tells of a stack: on a real broker, with queues whose content is known."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.commands.stack_status import duration
from infra.heartbeats import Heartbeat, service_words
from infra.settings import load_settings
from infra.sweep_notes import SweepNotes
from infra.task_names import SWEEP
from infra.task_queue import TaskQueue
from stack_parts import PASSWORD, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from stack_parts import RedisServer

pytest_plugins = ["stack_parts"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: RedisServer) -> RedisServer:
    """A site in a folder, and a broker, which the environment names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/bucket").mkdir(parents=True)
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LITHOSCOPE_BROKER__URL", f"redis://127.0.0.1:{broker.port}/0")
    monkeypatch.setenv("LITHOSCOPE_BROKER__PASSWORD", PASSWORD)
    monkeypatch.setenv("LITHOSCOPE_WORK__BATCH_KEYS", "2")
    return broker


def status(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["status", *words])
    return result.exit_code, result.stdout


def test_a_stack_at_rest(site: RedisServer) -> None:
    del site
    code, text = status()
    assert code == 0
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "services  dispatcher 0, scheduler 0, worker 0"
    assert "no worker runs: `lithoscope worker`, or see its log" in lines
    assert "queues    encode: nothing" in lines
    assert "events    all are passed on" in lines
    assert "sweep     none has ended yet" in lines
    assert any(line.startswith("store") for line in lines)


def test_a_stack_at_work(site: RedisServer) -> None:
    settings = load_settings()
    with TaskQueue(settings) as queue, site.client as client:
        queue.send(["scans/a", "scans/b", "scans/c"], collection="litho_one")
        queue.request(SWEEP)
        client.rpush(settings.broker.events_key, b"[]")
        client.rpush(f"{settings.broker.events_key}:damaged", b"?")
        counts = {"objects": 903, "slices": 9000, "indexed": 900, "missing": 3, "changed": 0}
        SweepNotes(client).write("litho_one", counts)
        with (
            Heartbeat(client, "worker", away=lambda: ("index", "store")),
            Heartbeat(client, "scheduler", away=tuple),
        ):
            wait_until(lambda: len(service_words(client)) == 2)
            _, text = status()
            code, printed = status("--format", "json")
    lines = [re.sub(r"\b\d+ s\b", "N s", line.strip()) for line in text.splitlines()]
    assert lines[0] == "services  dispatcher 0, scheduler 1, worker 1"
    assert lines[1].startswith("no dispatcher runs")
    assert lines[2].endswith("no answer from index, store")
    assert "queues    encode: 3 scans in 2 tasks, oldest N s" in lines
    assert "maintenance: 1 task, oldest N s" in lines
    assert "events    1 event not in a queue yet" in lines
    assert "1 event can't be read, and kept" in lines
    assert "sweep     litho_one, N s ago: 900 indexed, 3 missing" in lines
    told = json.loads(printed)["stack"]
    assert code == 0
    assert told["broker_problem"] is None
    assert told["lacking"] == ["dispatcher"]
    assert [(queue["name"], queue["tasks"], queue["keys"]) for queue in told["queues"]] == [
        ("encode", 2, 3),
        ("maintenance", 1, 0),
        ("encode.bulk", 0, 0),
    ]
    assert (told["events"], told["damaged"]) == (1, 1)
    assert told["sweeps"][0]["counts"] == counts
    assert {word["service"]: word["away"] for word in told["services"]} == {
        "scheduler": [],
        "worker": ["index", "store"],
    }


def test_what_goes_on_is_told_even_if_the_store_is_away(
    site: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.setenv("LITHOSCOPE_STORE__FOLDER", str(tmp_path / "not-mounted"))
    code, text = status()
    assert "queues    encode: nothing" in text
    assert code != 0


def test_a_broker_that_is_away_is_told_and_the_rest_as_well(
    site: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.setenv("LITHOSCOPE_BROKER__URL", "redis://127.0.0.1:1/0")
    code, text = status()
    assert code == 1
    assert text.startswith("broker    broker, ")
    assert PASSWORD not in text
    assert "\nstore" in text
    code, printed = status("--format", "json")
    assert code == 1
    assert "try again" in json.loads(printed)["stack"]["broker_problem"]


def test_without_a_broker_there_is_no_stack(
    site: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.delenv("LITHOSCOPE_BROKER__URL")
    monkeypatch.delenv("LITHOSCOPE_BROKER__PASSWORD")
    code, printed = status("--format", "json")
    assert (code, json.loads(printed)["stack"]) == (0, None)
    assert "queues" not in status()[1]


def test_times_are_told_in_words() -> None:
    told = [duration(seconds) for seconds in (0.4, 59, 61, 7200, 200_000)]
    assert told == ["0 s", "59 s", "1 min", "2 h", "2 d"]


def test_notes_of_sweeps_are_forgotten_when_asked(site: RedisServer) -> None:
    with site.client as client:
        notes = SweepNotes(client)
        notes.write("litho_one", {"indexed": 1})
        notes.write("litho_two", {"indexed": 2})
        notes.forget("litho_one")
        (left,) = notes.read()
        assert (left.collection, left.counts) == ("litho_two", {"indexed": 2})
        assert left.seconds_ago < 60
