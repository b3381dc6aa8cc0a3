"""A second model on a stack that runs: filled behind uploads, made live, left again, killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from infra.rollout import current_rollout
from infra.s3_store import S3Store
from infra.site import Site
from infra.status import covered
from infra.task_names import BULK, ENCODE
from infra.task_queue import TaskQueue
from ingest_worker.models import open_target
from native_site import settings_of
from stack_parts import png, small_bundle, wait_until
from stack_site import command, running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.model_versions import ModelVersion
    from infra.native_stack.stack import NativeStack

SCANS = 30
CHANGES = {
    "LITHOSCOPE_WORK__BATCH_KEYS": "2",  # so that filling takes many tasks
    "LITHOSCOPE_WORK__SWEEP_SECONDS": "3",
    "LITHOSCOPE_BROKER__VISIBILITY_SECONDS": "5",
}


class Rocks:
    """A stack with some scans and a live model, and what tests look at it with.

    Attributes:
        stack: The stack.
        site: What it works on.
        queue: Its queues.
    """

    def __init__(self, stack: NativeStack, site: Site, queue: TaskQueue) -> None:
        self.stack, self.site, self.queue = stack, site, queue
        self._made = 0
        self._put = 0

    @property
    def live(self) -> ModelVersion:
        version = self.site.models.live(self.site.index)
        assert version is not None
        return version

    def publish(self) -> ModelVersion:
        """Publish a model that nothing is indexed with."""
        folder = self.stack.plan.folder / f"bundle{self._made}"
        version = self.site.models.publish(small_bundle(folder, self._made))
        self._made += 1
        return version

    def upload(self, count: int = 1) -> list[str]:
        keys = []
        for _ in range(count):
            keys.append(f"scans/E{self._put % 3}/S1/{self._put}.png")
            self.site.objects.put(keys[-1], png(self._put))
            self._put += 1
        return keys

    def indexed(self, version: ModelVersion) -> int:
        return self.site.index.open(version.collection).count_scans()

    def is_whole(self, version: ModelVersion) -> bool:
        """Whether a model has every scan as it is, and nothing else."""
        found = covered(self.site, version)
        return found.is_complete and found.indexed == self._put

    def is_over(self) -> bool:
        return current_rollout(self.site.objects) is None

    @contextmanager
    def filling(self, version: ModelVersion) -> Iterator[None]:
        """Have a model filled; the command that asks for it ends seconds after that began."""
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(command, self.stack, "reindex", version.bundle_id, "--background")
            wait_until(lambda: self.queue.waiting(BULK).keys)
            yield
            assert "is filled in the background, behind what is uploaded" in told.result().stdout

    def has_filled(self, version: ModelVersion) -> bool:
        """Whether a model has some of the scans; and it has not all of them."""
        count = self.indexed(version)
        assert count < SCANS, "filled before anybody could look"
        return count > 0

    def settle(self) -> None:
        """Wait until nothing is brought into use, and what is live misses nothing."""
        wait_until(self.is_over)
        wait_until(lambda: self.is_whole(self.live))


@pytest.fixture(scope="module")
def rocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rocks]:
    with running_stack(tmp_path_factory.mktemp("stack"), CHANGES) as stack:
        settings = settings_of(stack)
        with (
            Site(settings, S3Store.from_settings(settings.store)) as site,
            TaskQueue(settings) as queue,
        ):
            rocks = Rocks(stack, site, queue)
            open_target(site, rocks.publish())  # which makes it live
            rocks.upload(SCANS)
            rocks.settle()
            yield rocks


def test_uploads_go_on_and_come_first_while_a_second_model_is_filled(rocks: Rocks) -> None:
    first, second = rocks.live, rocks.publish()
    services = {name: rocks.stack.pids(name) for name in ("worker", "dispatcher", "scheduler")}
    with rocks.filling(second):
        rocks.stack.pause("worker")  # so that uploads and what fills wait beside each other
    keys = rocks.upload(4)
    wait_until(lambda: rocks.queue.waiting(ENCODE).keys == 2 * len(keys))
    line = command(rocks.stack, "status").stdout
    filled = rocks.indexed(second)
    rocks.stack.resume("worker")
    assert f"{second.bundle_id} is filled in the background: {filled} of {SCANS + 4} scans" in line
    wait_until(lambda: rocks.indexed(first) == SCANS + len(keys))
    assert rocks.queue.waiting(BULK).keys, "what was uploaded comes first"
    assert rocks.live == first, "nothing switches before all is there"

    def has_switched() -> bool:
        if rocks.site.index.open(first.collection).record(keys[-1]) is not None:
            keys.extend(rocks.upload())  # somebody always does, and it must not wait for a pause
        return rocks.live == second

    wait_until(has_switched)
    rocks.settle()
    assert {name: rocks.stack.pids(name) for name in services} == services


def test_a_rollback_switches_at_once_and_is_caught_up(rocks: Rocks) -> None:
    first, second = rocks.live, rocks.publish()
    before = rocks.indexed(first)
    open_target(rocks.site, second)
    told = command(rocks.stack, "models", "use", second.bundle_id, "--now").stdout
    assert f"it is {before} scans behind: it is caught up in the background" in told
    assert rocks.live == second
    rocks.settle()
    rocks.upload(3)
    rocks.settle()
    assert rocks.indexed(first) == before, "it is fed no more"
    told = command(rocks.stack, "models", "rollback").stdout
    assert rocks.live == first
    assert "it is 3 scans behind: it is caught up in the background" in told
    rocks.settle()
    assert rocks.live == first


def test_a_deep_comparison_finds_every_row_and_picture(rocks: Rocks) -> None:
    told = command(rocks.stack, "reconcile", "--deep").stdout
    assert "every row and picture: as it should be" in told


def test_what_is_killed_in_the_middle_goes_on(rocks: Rocks) -> None:
    first, second = rocks.live, rocks.publish()
    with rocks.filling(second):
        wait_until(lambda: rocks.has_filled(second))
        rocks.stack.kill("worker")
        rocks.stack.kill("scheduler")
    assert rocks.live == first
    rocks.upload(2)
    wait_until(lambda: rocks.live == second)
    rocks.settle()
    assert rocks.queue.in_flight(second.collection) == set()
