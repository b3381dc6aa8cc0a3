"""The scheduler as a process of its own: it sends what is due, and ends when it is told to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.settings import SettingsError
from infra.task_names import MAINTENANCE
from ingest_worker.commands.scheduler import run_scheduler
from stack_parts import RedisServer, Service, env_of, wait_until, work_settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["stack_parts"]


def test_maintenance_is_sent_on_time_until_it_is_told_to_end(
    tmp_path: Path, mortal_broker: RedisServer
) -> None:
    broker = mortal_broker
    settings = work_settings(tmp_path / "home", broker, sweep_seconds=1.0)
    service = Service(tmp_path / "scheduler", env_of(settings), "scheduler")
    service.start()
    try:
        wait_until(lambda: broker.length(MAINTENANCE) >= 4, 120)
        with broker.client as client:
            sent = [json.loads(text)["headers"] for text in client.lrange(MAINTENANCE, 0, -1)]
        assert {each["task"] for each in sent} == {"sweep", "rollout"}
        assert all(each["expires"] is not None for each in sent)
        assert all(each["lithoscope_sent"] > 1e9 for each in sent)
        broker.stop()  # it goes on when its broker is back
        broker.start()
        broker.flush()
        wait_until(lambda: broker.length(MAINTENANCE) >= 2, 120)
        assert service.stop() == 0
    finally:
        service.kill()
    assert "Traceback" not in service.log
    assert "redis://" not in service.log


def test_without_a_broker_there_is_nothing_to_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="LITHOSCOPE_BROKER__URL"):
        run_scheduler()
