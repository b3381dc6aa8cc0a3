"""A worker that fails whatever it is given: nothing is lost, and the others do its work."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from infra.task_names import ENCODE
from infra.task_queue import TaskQueue
from ingest_worker.faults import Faults, WorkerFaultError
from stack_parts import RedisServer, Service, env_of, wait_until, work_settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["stack_parts"]

LIVE = "litho_a"

WORKER = """
import sys
from infra.broker import open_broker
from infra.settings import load_settings
from infra.store_errors import LocalFileError, StoreAwayError
from infra.task_renewal import TaskRenewal
from ingest_worker.app import make_app, run_celery
from ingest_worker.stack_worker import StackWorker

class Worker(StackWorker):
    def encode(self, batch):
        match sys.argv[1]:
            case "full":
                raise LocalFileError("scratch: no space left on device")
            case "broken":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            case "away":
                raise StoreAwayError("the object store does not answer; try again later")
        self.queue.settle(batch.keys, collection=batch.collection)
        for key in batch.keys:
            print("done", key, flush=True)
        return {}

settings = load_settings()
with Worker(settings) as worker, TaskRenewal(open_broker(settings), 3) as renewal:
    sys.exit(run_celery(make_app(settings, worker, renewal=renewal), settings))
"""


def service(folder: Path, env: dict[str, str], how: str) -> Service:
    found = Service(folder / how, env)
    found.command = [sys.executable, "-c", WORKER, how]
    return found


@pytest.mark.parametrize("how", ["full", "broken"])
def test_a_faulty_worker_loses_nothing_and_leaves_the_work_to_others(
    broker: RedisServer, tmp_path: Path, how: str
) -> None:
    settings = work_settings(tmp_path, broker, batch_keys=2)
    keys = [f"scans/{n}" for n in range(40)]
    faulty, well = (service(tmp_path, env_of(settings), each) for each in (how, "well"))
    with TaskQueue(settings) as queue:
        queue.send(keys, collection=LIVE)
        try:
            faulty.start()
            faulty.wait_for("standing back for 2 s")
            assert queue.in_flight(LIVE) == set(keys)
            assert faulty.stop(60) == 0  # it does not stand back when it is told to end
            assert queue.in_flight(LIVE) == set(keys)
            well.start()
            wait_until(lambda: not queue.in_flight(LIVE) and not queue.waiting(ENCODE).tasks)
            assert {line[5:] for line in well.log.splitlines() if line.startswith("done ")} == set(
                keys
            )
        finally:
            faulty.kill()
            well.stop(60)


def test_a_task_that_is_tried_again_and_again_keeps_its_age(
    broker: RedisServer, tmp_path: Path
) -> None:
    settings = work_settings(tmp_path, broker)
    worker = service(tmp_path, env_of(settings), "away")
    with TaskQueue(settings) as queue:
        queue.send(["scans/a"], collection=LIVE)
        sent = queue.now()
        try:
            worker.start()
            wait_until(lambda: worker.log.count("trying again in") >= 2)
            age, until = queue.oldest_seconds(ENCODE), queue.now()
        finally:
            worker.kill()
        assert queue.in_flight(LIVE) == {"scans/a"}
    assert age is not None
    assert age >= until - sent - 0.5


def test_a_worker_that_fails_in_a_row_is_not_well_until_it_succeeds() -> None:
    stop = threading.Event()
    stop.set()
    faults = Faults(stop)
    for _ in range(2):
        faults.stand_back(OSError("no space left"))
        faults.check()
    faults.stand_back(OSError("no space left"))
    assert faults.is_well is False
    with pytest.raises(WorkerFaultError, match=r"3 times in a row.*no space left"):
        faults.check()
    faults.succeed()
    faults.check()
