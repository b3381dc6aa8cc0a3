"""Health of a service over HTTP, and its word in the broker: real ports, a real broker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from encoder.errors import LithoscopeError
from infra.broker import BrokerAwayError, open_broker
from infra.health import HealthError, serve_health
from infra.heartbeats import SERVICES_KEY, Heartbeat, service_words
from infra.service_checks import CHECK_SECONDS, KEPT_SECONDS, Readiness
from infra.settings import Settings
from infra.settings_groups import BrokerSettings, MetricsSettings
from infra.stack_metrics import StackCollector
from infra.stack_status import StackView
from infra.sweep_notes import SweepNotes
from infra.task_queue import TaskQueue
from object_stores import free_port, page_of
from stack_parts import wait_until, work_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stack_parts import RedisServer

pytest_plugins = ["stack_parts"]


def settings_with(port: int | None, broker: BrokerSettings | None = None) -> Settings:
    return Settings(metrics=MetricsSettings(port=port), broker=broker or BrokerSettings())


def away() -> None:
    raise LithoscopeError("index: a secret of it")


def test_answers_say_the_state_and_nothing_else() -> None:
    port = free_port()
    with serve_health(settings_with(port), "worker", checks={"index": away}) as told:
        assert told == port
        assert page_of(port, "/healthz") == (200, "alive\n")
        assert page_of(port, "/readyz") == (503, "not ready\n")
        assert page_of(port, "/") == (404, "nothing here\n")
        status, figures = page_of(port, "/metrics")
        assert status == 200
        assert "# TYPE lithoscope_objects_total counter" in figures
        assert "secret" not in figures
    with pytest.raises(OSError, match=r"refused|reset"):
        page_of(port, "/healthz")


def test_a_service_that_is_starting_is_neither_well_nor_ready() -> None:
    port = free_port()
    started = threading.Event()
    settings = settings_with(port)
    with serve_health(settings, "worker", checks={}, has_started=started.is_set):
        assert page_of(port, "/healthz") == page_of(port, "/readyz") == (503, "starting\n")
        assert page_of(port, "/metrics")[0] == 200
        started.set()
        assert page_of(port, "/healthz") == (200, "alive\n")
        assert page_of(port, "/readyz") == (200, "ready\n")


def test_a_service_that_lacks_nothing_is_ready() -> None:
    port = free_port()
    checks: dict[str, Callable[[], object]] = {"index": lambda: None, "store": lambda: 1}
    with serve_health(settings_with(port), "worker", checks=checks):
        assert page_of(port, "/readyz?now") == (200, "ready\n")


def test_without_a_port_nothing_is_opened() -> None:
    with serve_health(settings_with(None), "worker", checks={}) as port:
        assert port is None


def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(HealthError, match="LITHOSCOPE_METRICS__HOST"),
            serve_health(settings_with(port), "worker", checks={}),
        ):
            pass


def test_a_client_that_says_nothing_keeps_nobody_waiting() -> None:
    port = free_port()
    began = time.monotonic()
    with serve_health(settings_with(port), "worker", checks={}):
        with socket.create_connection(("127.0.0.1", port)):
            assert page_of(port, "/healthz")[0] == 200
        silent = socket.create_connection(("127.0.0.1", port))
    silent.close()
    assert time.monotonic() - began < 5


def test_what_hangs_is_asked_once_and_told_as_away() -> None:
    released, asked = threading.Event(), []

    def hangs() -> None:
        asked.append(1)
        released.wait(30)

    readiness = Readiness({"index": hangs, "store": lambda: None})
    began = time.monotonic()
    assert readiness.away() == ("index",)
    assert CHECK_SECONDS - 0.5 < time.monotonic() - began < CHECK_SECONDS + 2
    assert readiness.away() == ("index",)  # at once: it was asked just now
    assert asked == [1]
    released.set()
    wait_until(lambda: readiness.away() == (), seconds=KEPT_SECONDS + 5)


def test_what_is_away_is_logged_once_until_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    is_away = [True]

    def check() -> None:
        if is_away[0]:
            away()

    readiness = Readiness({"index": check})
    assert readiness.away() == ("index",)
    time.sleep(KEPT_SECONDS + 0.1)
    assert readiness.away() == ("index",)
    is_away[0] = False
    time.sleep(KEPT_SECONDS + 0.1)
    assert readiness.away() == ()
    assert [record.message for record in caplog.records] == [
        "index is away: index: a secret of it",
        "index answers again",
    ]


def test_services_leave_word_while_they_run(broker: RedisServer) -> None:
    settings = settings_with(None, broker.settings)
    with broker.client as client:
        with (
            serve_health(settings, "worker", checks={"index": away}),
            serve_health(settings, "dispatcher", checks={}),
        ):
            wait_until(lambda: len(service_words(client)) == 2)
            first, second = service_words(client)
            assert (first.service, first.away, first.is_silent) == ("dispatcher", (), False)
            assert (second.service, second.away) == ("worker", ("index",))
            assert second.place == f"{socket.gethostname()}:{os.getpid()}"
        assert service_words(client) == []


KILLED = """
import sys, time
from infra.heartbeats import Heartbeat
import redis
client = redis.Redis(port=int(sys.argv[1]), password=sys.argv[2])
with Heartbeat(client, "worker", away=tuple):
    time.sleep(60)
"""


def test_a_killed_service_is_told_as_silent(
    broker: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = broker.settings.password
    assert password is not None
    words = [sys.executable, "-c", KILLED, str(broker.port), password.get_secret_value()]
    with (
        subprocess.Popen(words) as process,  # noqa: S603  ours
        broker.client as client,
    ):
        wait_until(lambda: service_words(client))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not service_words(client)[0].is_silent
        monkeypatch.setattr("infra.heartbeats.SILENT_SECONDS", 0.5)
        time.sleep(1)
        assert service_words(client)[0].is_silent
        monkeypatch.setattr("infra.heartbeats.FORGOTTEN_SECONDS", 1.0)
        wait_until(lambda: service_words(client) == [], seconds=5)
        assert not client.exists(SERVICES_KEY)


def test_a_broker_that_comes_back_hears_again(mortal_broker: RedisServer) -> None:
    with (
        open_broker(settings_with(None, mortal_broker.settings)) as client,
        Heartbeat(client, "worker", away=tuple, seconds=0.2),
    ):
        wait_until(lambda: service_words(client))
        mortal_broker.kill()
        time.sleep(0.5)
        mortal_broker.start()
        mortal_broker.flush()
        wait_until(lambda: service_words(client), seconds=10)


def test_the_scheduler_tells_what_lies_in_the_broker(broker: RedisServer, tmp_path: Path) -> None:
    settings = work_settings(tmp_path, broker, batch_keys=2).model_copy(
        update={"metrics": MetricsSettings(port=free_port())}
    )
    port = settings.metrics.port
    assert port is not None
    with TaskQueue(settings) as queue, broker.client as client, StackView(settings) as view:
        queue.send(["scans/a", "scans/b", "scans/c"], collection="litho_one")
        client.rpush(settings.broker.events_key, b"[]", b"[]")
        SweepNotes(client).write("litho_one", {"objects": 9, "slices": 90, "missing": 3})
        with serve_health(settings, "scheduler", checks={}, collectors=(StackCollector(view),)):
            wait_until(lambda: service_words(client))
            figures = page_of(port, "/metrics")[1].splitlines()
    assert "lithoscope_broker_up 1.0" in figures
    assert 'lithoscope_queue_keys{queue="encode"} 3.0' in figures
    assert 'lithoscope_queue_tasks{queue="encode",state="waiting"} 2.0' in figures
    assert 'lithoscope_queue_keys{queue="encode.bulk"} 0.0' in figures
    assert "lithoscope_events_waiting 2.0" in figures
    assert [line for line in figures if line.startswith("lithoscope_scans{")] == [
        'lithoscope_scans{collection="litho_one",state="missing"} 3.0'
    ]
    assert 'lithoscope_services{service="scheduler",state="ready"} 1.0' in figures
    assert 'lithoscope_services{service="worker",state="ready"} 0.0' in figures


def test_without_a_broker_its_figures_are_left_out() -> None:
    settings = settings_with(free_port(), BrokerSettings(url=f"redis://127.0.0.1:{free_port()}/0"))
    port = settings.metrics.port
    assert port is not None
    with (
        StackView(settings) as view,
        serve_health(settings, "scheduler", checks={}, collectors=(StackCollector(view),)),
    ):
        with pytest.raises(BrokerAwayError):
            view.look()
        figures = page_of(port, "/metrics")[1]
    assert "lithoscope_broker_up 0.0" in figures
    assert "lithoscope_queue_keys{" not in figures
