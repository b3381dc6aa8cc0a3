"""What is seen of an upload on its way into the index: real services, asked as by an operator."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from infra.index_server import stop_server
from infra.s3_store import S3Store
from infra.settings import Settings
from infra.settings_groups import DecodeSettings, StoreSettings, WorkSettings
from infra.site import Site
from ingest_worker.models import open_target
from object_stores import free_port, page_of
from stack_parts import (
    ROOT,
    SECONDS_TO_START,
    MinioServer,
    RedisServer,
    Service,
    env_of,
    png,
    small_bundle,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["stack_parts"]


class Seen:
    """Servers and services, and what they tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = RedisServer(folder / "broker")
        self.broker.start()
        self.store = MinioServer(folder / "store", self.broker, events_key="lithoscope:events")
        self.store.start()
        self.settings = Settings(
            home=folder / "home",
            store=self.store.settings,
            broker=self.broker.settings,
            work=WorkSettings(batch_seconds=0.2),
            decode=DecodeSettings(workers=1, memory_mib=1024),
        )
        self.env = env_of(self.settings) | {"LITHOSCOPE_LOG__FORMAT": "json"}
        self.run("init-stack")
        with Site(self.settings, S3Store.from_settings(self.settings.store)) as site:
            version = site.models.publish(small_bundle(folder / "bundle"))
            open_target(site, version, adopt=False)
            site.models.switch(site.index, version)
            self.model = version.bundle_id
        self.ports = {"dispatcher": free_port(), "worker": free_port()}
        self.services = {
            name: Service(folder / name, self.env | self.port(name), command)
            for name, command in (("dispatcher", "dispatch"), ("worker", "worker"))
        }

    def port(self, name: str) -> dict[str, str]:
        return {"LITHOSCOPE_METRICS__PORT": str(self.ports[name])}

    def run(self, *words: str) -> str:
        env = os.environ | self.env | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lithoscope", *words]
        done = subprocess.run(  # noqa: S603  ours
            command, env=env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_ready(self, name: str) -> bool:
        try:
            return page_of(self.ports[name], "/readyz") == (200, "ready\n")
        except OSError:
            return False

    def figures(self, name: str) -> dict[str, float]:
        """Figures of a service by name and labels' values."""
        found = {}
        for line in page_of(self.ports[name], "/metrics")[1].splitlines():
            if not line.startswith("#"):
                sample, _, number = line.rpartition(" ")
                labels = " ".join(re.findall(r'"([^"]*)"', sample))
                found[f"{sample.partition('{')[0]} {labels}".strip()] = float(number)
        return found

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What a service logged; every line is an object."""
        return [json.loads(line) for line in self.services[name].log.splitlines()]

    def close(self) -> None:
        for service in self.services.values():
            service.stop()
        stop_server(self.settings.home / "index")
        self.store.stop()
        self.broker.stop()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    seen = Seen(tmp_path_factory.mktemp("seen"))
    for service in seen.services.values():
        service.start()
    for name in seen.services:
        wait_until(lambda name=name: seen.is_ready(name), SECONDS_TO_START)  # type: ignore[misc]
    yield seen
    seen.close()


@pytest.fixture(scope="module")
def uploaded(seen: Seen) -> dict[str, Any]:
    """A library with three scans and a broken one, uploaded, and settled by the worker."""
    library = seen.folder / "rocks/E1/S1"
    library.mkdir(parents=True)
    for number in range(3):
        (library / f"{number}.png").write_bytes(png(number))
    (library / "broken.png").write_bytes(png(9)[:60])
    told = json.loads(seen.run("upload", str(seen.folder / "rocks"), "--format", "json"))
    settled = "lithoscope_objects_total"
    wait_until(
        lambda: (
            seen.figures("worker").get(f"{settled} indexed") == 3
            and seen.figures("worker").get(f"{settled} quarantined") == 1
        ),
        3 * SECONDS_TO_START,  # the worker loads its model first
    )
    return dict(told)


def test_the_worker_tells_what_became_of_an_upload(seen: Seen, uploaded: dict[str, Any]) -> None:
    assert uploaded["files"]["copied"] == 4
    told = seen.figures("worker")
    assert told["lithoscope_upload_to_searchable_seconds_count"] == 3
    assert 0 < told["lithoscope_upload_to_searchable_seconds_sum"] < 9 * SECONDS_TO_START
    assert told["lithoscope_slices_total"] == 3
    assert told[f"lithoscope_model_info {seen.model} live"] == 1
    assert told["lithoscope_stage_seconds_count encode"] >= 1
    assert told["lithoscope_device_busy_seconds_total cpu"] > 0


def test_the_dispatcher_tells_how_late_events_are(seen: Seen, uploaded: dict[str, Any]) -> None:
    del uploaded
    told = seen.figures("dispatcher")
    assert told["lithoscope_events_total put"] >= 4
    assert told["lithoscope_sent_keys_total encode"] >= 4
    assert told["lithoscope_event_lag_seconds_count"] == told["lithoscope_events_total put"]


def test_the_log_tells_which_task_refused_which_object(
    seen: Seen, uploaded: dict[str, Any]
) -> None:
    (broken,) = (key for key in uploaded["keys"] if key.endswith("broken.png"))
    (refused,) = (line for line in seen.lines("worker") if line.get("object_key") == broken)
    assert refused["service"] == "worker"
    assert re.fullmatch(r"[0-9a-f-]{36}", refused["task"])
    record = json.loads(seen.run("quarantine", "show", broken, "--format", "json"))
    assert record["trace_id"] in refused["message"]
    assert {line["service"] for line in seen.lines("dispatcher")} == {"dispatcher"}


def test_status_tells_what_goes_on(seen: Seen, uploaded: dict[str, Any]) -> None:
    del uploaded
    told: dict[str, Any] = {}

    def all_answer() -> bool:  # a service tells at intervals what it lacks: first, while it starts
        told.update(json.loads(seen.run("status", "--format", "json")))
        away = {each["service"]: each["away"] for each in told["stack"]["services"]}
        return not away["worker"] and not away["dispatcher"]

    wait_until(all_answer, SECONDS_TO_START)
    assert told["stack"]["lacking"] == ["scheduler"]
    assert told["stack"]["events"] == 0
    assert (told["coverage"]["indexed"], len(told["failed"])) == (3, 1)
    assert "services  dispatcher 1, scheduler 0, worker 1" in seen.run("status")


def test_a_service_without_its_store_is_alive_and_not_ready(
    seen: Seen, uploaded: dict[str, Any]
) -> None:
    del uploaded
    seen.store.kill()
    try:
        wait_until(lambda: not seen.is_ready("worker"), SECONDS_TO_START)
        assert page_of(seen.ports["worker"], "/healthz") == (200, "alive\n")
        assert page_of(seen.ports["worker"], "/readyz") == (503, "not ready\n")
    finally:
        seen.store.start()
    wait_until(lambda: seen.is_ready("worker"), SECONDS_TO_START)


@pytest.mark.parametrize(("command", "says"), [("worker", "ready."), ("dispatch", "trying again")])
def test_services_may_start_before_their_store(
    broker: RedisServer, tmp_path: Path, command: str, says: str
) -> None:
    store = StoreSettings(
        kind="s3",
        endpoint=f"127.0.0.1:{free_port()}",
        access_key=SecretStr("test-account"),
        secret_key=SecretStr("test-password"),
        secure=False,
    )
    settings = Settings(home=tmp_path / "home", store=store, broker=broker.settings)
    port = free_port()
    env = env_of(settings) | {"LITHOSCOPE_METRICS__PORT": str(port)}
    service = Service(tmp_path / command, env, command)
    service.start()
    try:
        service.wait_for(says)
        wait_until(lambda: page_of(port, "/healthz") == (200, "alive\n"))
        assert page_of(port, "/readyz") == (503, "not ready\n")
        assert "store is away" in service.log
    finally:
        assert service.stop() == 0, service.log
