"""What no event tells, and what is told twice: rows are exact all the same."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from minio import Minio

from infra.task_names import ENCODE
from stack_parts import SECONDS_TO_START, Service, wait_until
from task_stack import DISPATCHES, EVENTS, TaskStack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["stack_parts"]

SLOW = """
import contextlib, os, sys, time
from infra.task_renewal import TaskRenewal
from ingest_worker.preparing import Preparer

@contextlib.contextmanager
def never(self, tag):
    yield

decode = Preparer._decode

def slow(self, stat):
    print("decoding", stat.key, file=sys.stderr, flush=True)
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.05)
    return decode(self, stat)

TaskRenewal.renewing = never
Preparer._decode = slow
sys.argv = ["lithoscope", "worker"]
from lithoscope import main
main()
"""
"""A worker whose tasks last until a file is there, and who gives no sign of life meanwhile."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskStack]:
    stack = TaskStack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.close()


@pytest.fixture
def stack(servers: TaskStack) -> Iterator[TaskStack]:
    yield servers
    servers.clear()


def test_a_task_that_outlasts_its_time_is_done_twice_and_rows_are_exact(stack: TaskStack) -> None:
    """Two workers hold the same task at the same time, and go on at the same moment."""
    go_on = stack.folder / "go on"
    workers = [
        Service(stack.folder / name, stack.env | {"GO_ON": str(go_on)}) for name in ("one", "two")
    ]
    keys = [stack.put(f"{n}.png", n) for n in range(6)]
    stack.queue.send(keys, collection=stack.version.collection)
    try:
        for worker in workers:
            worker.command = [sys.executable, "-c", SLOW]
            worker.start()
        for worker in workers:
            worker.wait_for("decoding scans/")
        taken = [set(re.findall(r"Task encode_batch\[(\S+)\]", each.log)) for each in workers]
        assert taken[0] == taken[1]
        assert len(taken[0]) == 1
        assert not list(stack.live.records())
        go_on.touch()
        for worker in workers:
            worker.wait_for("succeeded in")
        wait_until(lambda: stack.queue.waiting(ENCODE) == (0, 0, 0), 300)
    finally:
        go_on.touch()
        for worker in workers:
            worker.stop(SECONDS_TO_START)
    assert {record.object_key for record in stack.live.records()} == set(keys)
    stack.check_rows()


def test_without_notifications_the_sweep_alone_brings_everything_in(stack: TaskStack) -> None:
    store, objects = stack.settings.store, stack.site.objects
    client = Minio(str(store.endpoint), "test-account", "test-password", secure=False)
    client.delete_bucket_notification(store.bucket)
    env = stack.env | {"LITHOSCOPE_WORK__SWEEP_SECONDS": "1"}
    worker = Service(stack.folder / "sweeping", env, "worker")
    scheduler = Service(stack.folder / "scheduler", env, "scheduler")
    try:
        for service in (stack.dispatcher, worker, scheduler):
            service.start()
        stack.dispatcher.wait_for(DISPATCHES)
        keys = [stack.put(f"{n}.png", n) for n in range(12)]
        wait_until(lambda: stack.live.count_scans() == len(keys), 300)
        stack.put("0.png", 100)
        objects.delete(keys[1])
        objects.put("metadata/porosity.csv", f"object_key,porosity\n{keys[2]},0.25\n".encode())
        wait_until(lambda: stack.live.record(keys[1]) is None, 300)
        wait_until(stack.is_right, 300)
        assert stack.live.slices(keys[2])[0][0].numbers["porosity"] == 0.25
        assert stack.broker.length(EVENTS) == 0
        stack.check_rows()
    finally:
        scheduler.stop()
        worker.stop(SECONDS_TO_START)
        assert objects.ensure_notifications()  # type: ignore[attr-defined]  # S3Store
