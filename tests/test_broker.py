"""The broker's client, and the attempts that are counted in it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.attempts import AttemptCounter, AttemptsError, FileAttempts
from infra.broker import BrokerAwayError, BrokerError, broker_calls, open_broker
from infra.doctor import Finding, Level, examine
from infra.redis_attempts import RedisAttempts
from infra.settings import Settings, SettingsError
from infra.site import open_site
from stack_parts import PASSWORD, RedisServer, env_of, work_settings

pytest_plugins = ["stack_parts"]

ROOT = Path(__file__).resolve().parents[1]


def test_a_site_without_a_broker_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="LITHOSCOPE_BROKER__URL: not set"):
        open_broker(Settings())


def test_a_broker_that_is_away_is_told_as_such(mortal_broker: RedisServer, tmp_path: Path) -> None:
    settings = work_settings(tmp_path, mortal_broker)
    with open_broker(settings) as client:
        client.set("a", b"1")
        mortal_broker.kill()
        for _ in range(2):
            with pytest.raises(BrokerAwayError, match="try again later"), broker_calls("tests"):
                client.get("a")
        mortal_broker.start()
        with broker_calls("tests"):  # the same client goes on
            client.ping()


def test_a_wrong_password_is_told_without_it(broker: RedisServer, tmp_path: Path) -> None:
    wrong = broker.settings.model_copy(update={"password": SecretStr("guess-1234")})
    settings = work_settings(tmp_path, broker).model_copy(update={"broker": wrong})
    with open_broker(settings) as client, pytest.raises(BrokerError) as caught, broker_calls("x"):
        client.ping()
    assert "LITHOSCOPE_BROKER__PASSWORD" in str(caught.value)
    assert "guess" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert not isinstance(caught.value, BrokerAwayError)


def test_a_key_of_another_kind_is_no_attempt(broker: RedisServer, tmp_path: Path) -> None:
    with open_broker(work_settings(tmp_path, broker)) as client:
        client.set("lithoscope:attempts:a", b"1")
        with pytest.raises(AttemptsError, match="WRONGTYPE"):
            RedisAttempts(client).begin({"a": "1"})


def test_a_broker_without_memory_is_waited_for(broker: RedisServer, tmp_path: Path) -> None:
    with broker.client as admin, open_broker(work_settings(tmp_path, broker)) as client:
        attempts = RedisAttempts(client)
        admin.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerAwayError, match="memory is full"), broker_calls("x"):
                client.set("a", b"1")
            with pytest.raises(BrokerAwayError):
                attempts.begin({"a": "1"})
        finally:
            admin.config_set("maxmemory", 0)


@pytest.fixture(params=["file", "broker"])
def attempts(request: pytest.FixtureRequest, tmp_path: Path) -> AttemptCounter:
    """Each counter, which must do the same."""
    if request.param == "file":
        return FileAttempts(tmp_path / "attempts.sqlite")
    server: RedisServer = request.getfixturevalue("broker")
    return RedisAttempts(open_broker(work_settings(tmp_path, server)), "litho_a")


def test_attempts_are_counted_for_a_content_until_they_are_cleared(
    attempts: AttemptCounter,
) -> None:
    assert attempts.begin({"a": "1", "b": "1"}) == {"a": 1, "b": 1}
    assert attempts.begin({"a": "1"}) == {"a": 2}
    assert attempts.begin({"a": "2"}) == {"a": 1}  # another content is another matter
    assert attempts.counts({"a": "2", "b": "1", "c": "1"}) == {"a": 1, "b": 1, "c": 0}
    assert attempts.counts({"a": "1"}) == {"a": 0}
    attempts.clear(["a", "never seen"])
    assert attempts.counts({"a": "2", "b": "1"}) == {"a": 0, "b": 1}
    assert attempts.begin({}) == {}
    attempts.clear([])
    attempts.close()


def test_the_time_of_the_first_attempt_is_kept_for_a_content(attempts: AttemptCounter) -> None:
    began = datetime.now(UTC)
    attempts.begin({"a": "1", "\udcff": "1"})
    first = attempts.first_times({"a": "1", "\udcff": "1", "c": "1"})
    assert set(first) == {"a", "\udcff"}
    assert all(began <= time <= datetime.now(UTC) for time in first.values())
    attempts.begin({"a": "1"})
    assert attempts.first_times({"a": "1"}) == {"a": first["a"]}
    attempts.begin({"a": "2"})  # another content is another matter
    assert attempts.first_times({"a": "1"}) == {}
    assert attempts.first_times({"a": "2"})["a"] > first["a"]
    attempts.clear(["a"])
    assert attempts.first_times({"a": "2"}) == {}
    assert attempts.first_times({}) == {}
    attempts.close()


def test_counts_of_an_earlier_release_go_on_without_a_first_time(
    attempts: AttemptCounter, request: pytest.FixtureRequest
) -> None:
    if isinstance(attempts, FileAttempts):
        columns = "object_key BLOB PRIMARY KEY, etag TEXT NOT NULL, attempts INTEGER NOT NULL"
        with contextlib.closing(sqlite3.connect(attempts.path)) as database:
            database.execute(f"CREATE TABLE attempts ({columns})")
            database.execute("INSERT INTO attempts VALUES (?, ?, 2)", (b"a", "1"))
            database.commit()
    else:
        with request.getfixturevalue("broker").client as client:
            kept = {"litho_a/etag": "1", "litho_a/attempts": "2"}
            client.hset("lithoscope:attempts:a", mapping=kept)
    assert attempts.counts({"a": "1"}) == {"a": 2}
    assert attempts.first_times({"a": "1"}) == {}
    assert attempts.begin({"a": "1", "b": "1"}) == {"a": 3, "b": 1}
    assert set(attempts.first_times({"a": "1", "b": "1"})) == {"b"}
    assert attempts.begin({"a": "2"}) == {"a": 1}
    assert set(attempts.first_times({"a": "2"})) == {"a"}
    attempts.close()


def test_any_key_is_counted(attempts: AttemptCounter) -> None:
    names = ["é", "a" * 2000, "\udcff.png", "x' OR 1=1 --", "", "\x00", "\ud800"]
    attempts.begin(dict.fromkeys(names, "e"))
    assert attempts.begin(dict.fromkeys(names, "e")) == dict.fromkeys(names, 2)
    attempts.clear(names)
    assert set(attempts.counts(dict.fromkeys(names, "e")).values()) == {0}
    attempts.close()


def test_collections_count_apart_and_a_retry_forgets_them_all(
    broker: RedisServer, tmp_path: Path
) -> None:
    settings = work_settings(tmp_path, broker)
    with open_site(settings) as site:
        here, there = (
            RedisAttempts(open_broker(settings), "x"),
            RedisAttempts(open_broker(settings), "y"),
        )
        here.begin({"a": "1"})
        here.begin({"a": "1"})
        assert there.begin({"a": "1"}) == {"a": 1}
        there.clear(["a"])
        assert here.counts({"a": "1"}) == {"a": 2}
        site.attempts.clear(["a"])  # what `lithoscope quarantine retry` does
        assert here.counts({"a": "1"}) == {"a": 0}
        here.close()
        there.close()


def test_what_was_counted_survives_a_killed_worker(broker: RedisServer, tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from infra.settings import load_settings\n"
        "from infra.site import open_site\n"
        "print(open_site(load_settings()).attempts.begin({'bad': 'e'})['bad'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {
        "LITHOSCOPE_HOME": str(tmp_path),
        "LITHOSCOPE_BROKER__URL": f"redis://127.0.0.1:{broker.port}/0",
        "LITHOSCOPE_BROKER__PASSWORD": PASSWORD,
        "PYTHONPATH": str(ROOT),
    }
    told = [
        subprocess.run(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | env,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        for _ in range(3)
    ]
    assert told == ["1", "2", "3"]


def told_by_doctor(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    for name, text in env_of(settings).items():
        monkeypatch.setenv(name, text)
    return {finding.name: finding for finding in examine()}


def test_doctor_tells_a_broker_that_forgets_or_drops_what_it_was_given(
    broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = work_settings(tmp_path, broker)
    assert told_by_doctor(settings, monkeypatch)["broker"].level is Level.OK
    with broker.client as admin:
        for name, wrong, right, words in (
            ("maxmemory-policy", "allkeys-lru", "noeviction", "drops tasks"),
            ("appendonly", "no", "yes", "forgets all tasks"),
        ):
            admin.config_set(name, wrong)
            try:
                found = told_by_doctor(settings, monkeypatch)["broker"]
            finally:
                admin.config_set(name, right)
            assert found.level is Level.WARN
            assert words in found.text
            assert str(found.remedy).endswith(f"{name} {right}")


def test_doctor_tells_a_broker_that_is_away(
    mortal_broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal_broker.kill()
    found = told_by_doctor(work_settings(tmp_path, mortal_broker), monkeypatch)["broker"]
    assert found.level is Level.FAIL
    assert PASSWORD not in found.text
