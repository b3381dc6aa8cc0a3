"""``init-stack``, and the services' refusals at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from minio import Minio
from minio.notificationconfig import NotificationConfig, QueueConfig, SuffixFilterRule
from typer.testing import CliRunner

from infra.commands import init_stack
from infra.notifications import EVENTS, TARGET
from infra.settings import SettingsError
from infra.store_errors import StoreAwayError
from lithoscope import app
from stack_parts import MinioServer, RedisServer, env_of, work_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["object_stores", "stack_parts"]


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def store(
    shared_broker: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MinioServer]:
    server = MinioServer(tmp_path_factory.mktemp("store"), shared_broker, events_key="events")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(store: MinioServer) -> Minio:
    return Minio(
        endpoint=store.settings.endpoint or "",
        access_key="test-account",
        secret_key="test-password",  # noqa: S106  no one's
        secure=False,
    )


@pytest.fixture
def site(
    store: MinioServer, broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MinioServer:
    """Settings of a site with objects in MinIO and a broker, in the environment."""
    settings = work_settings(tmp_path, broker).model_copy(update={"store": store.settings})
    monkeypatch.chdir(tmp_path)
    for name, text in env_of(settings).items():
        monkeypatch.setenv(name, text)
    return store


def told(client: Minio) -> dict[str | None, tuple[str | None, list[str], str | None]]:
    config = client.get_bucket_notification(bucket_name="rocks")
    return {
        each.config_id: (
            each.queue,
            each.events,
            each.prefix_filter_rule.value if each.prefix_filter_rule else None,
        )
        for each in config.queue_config_list or []
    }


def test_an_embedded_site_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path))
    assert "nothing to do" in run("init-stack")
    assert list(tmp_path.iterdir()) == []


def test_bucket_and_notifications_are_made_once_and_others_are_kept(
    site: MinioServer, client: Minio
) -> None:
    del site
    ours = {
        "lithoscope-scans": (TARGET, EVENTS, "scans/"),
        "lithoscope-metadata": (TARGET, EVENTS, "metadata/"),
    }
    assert "notifications of bucket rocks: set" in run("init-stack")
    assert told(client) == ours
    assert "as they were" in run("init-stack")
    other = QueueConfig(
        queue=TARGET,
        events=["s3:ObjectAccessed:Get"],
        config_id="another",
        suffix_filter_rule=SuffixFilterRule(".txt"),
    )
    config = NotificationConfig(queue_config_list=[other])
    client.set_bucket_notification(bucket_name="rocks", config=config)
    assert "rocks: set" in run("init-stack")
    assert told(client) == ours | {"another": (TARGET, ["s3:ObjectAccessed:Get"], None)}


def test_a_store_that_cannot_tell_is_not_asked_to(
    minio_endpoint: str, site: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.setenv("LITHOSCOPE_STORE__ENDPOINT", minio_endpoint)
    monkeypatch.setenv("LITHOSCOPE_STORE__NOTIFIES", "false")
    assert "the sweep finds what is new" in run("init-stack")


def test_a_store_without_the_target_is_told_what_to_set(
    minio_endpoint: str, site: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.setenv("LITHOSCOPE_STORE__ENDPOINT", minio_endpoint)
    monkeypatch.setattr(init_stack, "WAIT_SECONDS", 0.0)
    with pytest.raises(StoreAwayError, match="MINIO_NOTIFY_REDIS_…_LITHOSCOPE"):
        run("init-stack")


@pytest.mark.parametrize("words", [("init-stack",), ("dispatch",), ("worker",)])
def test_no_service_starts_with_a_password_that_everybody_knows(
    site: MinioServer, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    del site
    monkeypatch.setenv("LITHOSCOPE_STORE__SECRET_KEY", "minioadmin")
    with pytest.raises(SettingsError, match="LITHOSCOPE_STORE__SECRET_KEY: a password that"):
        run(*words)


def test_services_say_what_they_need(
    site: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    with pytest.raises(SettingsError, match=r"queues: found encoed, expected some of encode, "):
        run("worker", "--queues", "encode,encoed")
    monkeypatch.delenv("LITHOSCOPE_BROKER__URL")
    for words in (("worker",), ("dispatch",)):
        with pytest.raises(SettingsError, match="LITHOSCOPE_BROKER__URL: not set"):
            run(*words)
    monkeypatch.setenv("LITHOSCOPE_STORE__KIND", "folder")
    with pytest.raises(SettingsError, match="lithoscope watch"):
        run("dispatch")
    assert not (tmp_path / "bucket").exists()
