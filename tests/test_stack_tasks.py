"""From an upload to the index through every part of the stack: real notifications, a real broker,
a dispatcher and workers as processes of their own. Milvus is the embedded one: its server is a
process too, and the adapter is the same.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from infra.task_names import ENCODE, SWEEP
from stack_parts import SECONDS_TO_START, Service, wait_until
from task_stack import DISPATCHES, TAKEN, WORKS, TaskStack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["stack_parts"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaskStack]:
    stack = TaskStack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.close()


@pytest.fixture
def stack(servers: TaskStack) -> Iterator[TaskStack]:
    yield servers
    servers.clear()


def test_init_is_done_once_and_again_does_no_harm(stack: TaskStack) -> None:
    assert "notifications of bucket rocks: set" in stack.init_log
    again = Service(stack.folder / "again", stack.env, "init-stack")
    again.start()
    assert again.process is not None
    assert again.process.wait(SECONDS_TO_START) == 0
    assert "as they were" in again.log
    assert not stack.site.objects.ensure_notifications()  # type: ignore[attr-defined]  # S3Store


def test_uploads_overwrites_copies_tables_and_deletions_reach_the_index(stack: TaskStack) -> None:
    stack.dispatcher.start()
    stack.worker.start()
    keys = [stack.put(f"ä b+{n}%.png", n) for n in range(20)]
    wait_until(stack.is_right)
    assert {record.object_key for record in stack.live.records()} == set(keys)
    before = stack.live.record(keys[0])

    stack.put("ä b+0%.png", 100)  # overwritten
    stack.site.objects.delete(keys[1])
    stack.site.objects.put(
        "metadata/porosity.csv", f"object_key,porosity\n{keys[2]},0.25\n".encode()
    )
    wait_until(lambda: stack.live.record(keys[1]) is None and stack.is_settled())
    wait_until(lambda: stack.live.slices(keys[2])[0][0].numbers["porosity"] == 0.25)
    wait_until(stack.is_right)
    after = stack.live.record(keys[0])
    assert before is not None
    assert after is not None
    assert after.etag != before.etag
    stack.check_rows()
    raw, generations = "scans/E1/S1/rock.raw", set[str]()
    for shape in ("4,32,30", "4,30,32"):  # the same bytes, with the same etag
        told = {"shape": shape, "dtype": "|u1"}
        stack.site.objects.put(raw, bytes(range(256)) * 15, user_metadata=told)
        wait_until(
            lambda: (now := stack.live.record(raw)) and now.generation not in generations  # noqa: B023  waited for
        )
        wait_until(stack.is_right)
        generations = {record.generation for record in stack.live.records()}
    stack.check_rows()
    began = time.monotonic()
    stack.put("one more.png", 7)
    wait_until(lambda: stack.live.record("scans/E1/S1/one more.png"))
    print(f"upload to searchable: {time.monotonic() - began:.2f} s")  # noqa: T201
    assert stack.worker.stop(SECONDS_TO_START) == 0
    assert stack.dispatcher.stop(SECONDS_TO_START) == 0


def test_workers_that_are_killed_lose_nothing(stack: TaskStack) -> None:
    stack.dispatcher.start()
    for n in range(40):
        stack.put(f"{n}.png", n)
    wait_until(lambda: stack.queue.waiting(ENCODE).keys >= 40)
    for kill in range(3):
        stack.worker.start()
        stack.worker.wait_for(TAKEN)
        time.sleep(3 * kill)  # while the model is loaded, or while it is at work
        stack.worker.kill()
    stack.worker.start()
    wait_until(stack.is_right, 300)
    stack.check_rows()
    assert not list(stack.site.quarantine.records())


def test_a_dispatcher_and_a_broker_that_are_killed_lose_nothing(stack: TaskStack) -> None:
    for service, sign in ((stack.worker, WORKS), (stack.dispatcher, DISPATCHES)):
        service.start()
        service.wait_for(sign)
    for n in range(30):
        stack.put(f"{n}.png", n)
        if n in {8, 16}:
            stack.dispatcher.kill()
            stack.dispatcher.start()
        if n in {12, 24}:
            stack.dispatcher.wait_for(DISPATCHES)
            time.sleep(1.2)  # it is on disk every second: what it loses of that, a sweep finds
            stack.broker.kill()
            time.sleep(0.5)
            stack.broker.start()
    wait_until(stack.is_right, 300)
    stack.check_rows()


def test_a_worker_that_hangs_is_not_waited_for_and_rows_are_exact(stack: TaskStack) -> None:
    """Its tasks are given to another one; when it goes on, both have done them."""
    stack.dispatcher.start()
    stack.worker.start()
    other = Service(stack.folder / "other", stack.env, "worker")
    for n in range(16):
        stack.put(f"{n}.png", n)
    stack.worker.wait_for(TAKEN)
    stack.worker.send(signal.SIGSTOP)
    try:
        other.start()
        wait_until(stack.is_right, 300)
        stack.worker.send(signal.SIGCONT)
        time.sleep(2)
        wait_until(stack.is_right)
        stack.check_rows()
    finally:
        stack.worker.send(signal.SIGCONT)
        other.stop()


def test_sigterm_lets_what_was_begun_end_and_gives_the_rest_back(stack: TaskStack) -> None:
    keys = [stack.put(f"{n}.png", n) for n in range(8)]
    stack.queue.send(keys, collection=stack.version.collection)
    stack.worker.start()
    stack.worker.wait_for(TAKEN)
    assert stack.worker.stop(SECONDS_TO_START) == 0
    waiting = stack.queue.waiting(ENCODE)
    assert waiting.running == 0
    assert stack.live.count_scans() + waiting.keys == len(keys)
    stack.worker.start()
    wait_until(lambda: stack.queue.waiting(ENCODE) == (0, 0, 0))
    assert stack.live.count_scans() == len(keys)
    stack.check_rows()


def test_a_flushed_broker_costs_nothing_after_the_next_sweep(stack: TaskStack) -> None:
    stack.dispatcher.start()
    for n in range(10):
        stack.put(f"{n}.png", n)
    wait_until(lambda: stack.queue.waiting(ENCODE).keys >= 10 and not stack.events())
    stack.broker.flush()
    late = stack.put("10.png", 10)  # told by connections of before
    stack.worker.start()
    wait_until(lambda: stack.live.record(late))
    assert stack.live.count_scans() == 1
    stack.queue.request(SWEEP)
    wait_until(stack.is_right)
    stack.check_rows()


DEADLY = """
import os, signal, sys
from ingest_worker.preparing import Preparer

decode = Preparer._decode

def deadly(self, stat):
    if stat.key.endswith("deadly.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(self, stat)

Preparer._decode = deadly
sys.argv = ["lithoscope", "worker"]
from lithoscope import main
main()
"""


def test_a_scan_that_kills_workers_is_quarantined_and_the_queue_goes_on(
    stack: TaskStack,
) -> None:
    stack.dispatcher.start()
    keys = [stack.put(f"{name}.png", n) for n, name in enumerate(["a", "deadly", "b", "c"])]
    worker = Service(stack.folder / "deadly", stack.env, "worker")
    worker.command = [sys.executable, "-c", DEADLY]
    deaths = 0
    try:
        worker.start()
        while stack.site.quarantine.get(keys[1]) is None:
            assert worker.process is not None
            if worker.process.poll() is not None:
                deaths += 1
                assert deaths <= 3, worker.log
                worker.start()
            time.sleep(0.2)
        wait_until(stack.is_settled)
    finally:
        worker.stop()
    record = stack.site.quarantine.get(keys[1])
    assert record is not None
    assert "3 workers died" in record.reason
    assert deaths == 3
    found = {record.object_key for record in stack.live.records()}
    assert found == {keys[0], keys[2], keys[3]}
    stack.check_rows()
