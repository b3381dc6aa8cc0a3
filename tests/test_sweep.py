"""The stack's sweep and rollouts: what differs is sent, once, and as the queue takes it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from infra.broker import open_broker
from infra.coverage_pages import Comparison
from infra.sweep_notes import SweepNotes
from infra.task_names import ENCODE, MAINTENANCE
from ingest_worker import feeding
from ingest_worker.feeding import Pass, Passes, ask_next
from ingest_worker.rollout import run_rollout
from ingest_worker.schedule import timetable
from ingest_worker.sweep import due_pass, run_sweep
from memory_site import index_scan, put_scans, refuse
from sweep_site import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.coverage_pages import CoveragePage
    from infra.model_versions import ModelVersion
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from stack_parts import RedisServer

pytest_plugins = ["stack_parts", "sweep_site"]


def test_what_differs_is_sent_as_the_queue_takes_it_and_never_twice(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    live = models[0].collection
    keys = put_scans(site, *"abcdefgh")
    told = run_sweep(site, queue)
    assert told is not None
    assert (told.sent, told.finished) == (5, None)
    assert queue.waiting(ENCODE).keys == 5
    assert queue.in_flight(live) == set(keys[:5])
    told = run_sweep(site, queue)  # the queue is full
    assert told is not None
    assert (told.sent, queue.waiting(ENCODE).keys) == (5, 5)
    assert work(site, queue, models[0], broker) == keys[:5]
    told = run_sweep(site, queue)
    assert told is not None
    assert (told.sent, told.counts["missing"], told.counts["indexed"]) == (8, 3, 5)
    assert told.finished is not None
    assert run_sweep(site, queue) is None, "the next one is not due yet"
    assert sorted(work(site, queue, models[0], broker)) == keys[5:]
    told = run_sweep(site, queue, asked=time.time())
    assert told is not None
    assert told.is_clean
    with open_broker(site.settings) as client:
        (note,) = SweepNotes(client).read()
    assert (note.collection, note.counts["indexed"]) == (live, 8)


def test_every_difference_is_found_and_made_good(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    keys = put_scans(site, *"abcd")
    for key in keys[:3]:
        index_scan(site, models[0], key=key)
    refuse(site, keys[3])
    site.objects.put(keys[0], b"anew")
    site.objects.delete(keys[1])
    site.objects.delete(keys[3])
    told = run_sweep(site, queue)
    assert told is not None
    found = {name: told.counts[name] for name in ("changed", "orphaned", "lapsed", "indexed")}
    assert found == {"changed": 1, "orphaned": 1, "lapsed": 1, "indexed": 1}
    assert site.quarantine.get(keys[3]) is None
    assert work(site, queue, models[0], broker) == keys[:2]
    told = run_sweep(site, queue, asked=time.time())
    assert told is not None
    assert told.is_clean
    assert site.index.open(models[0].collection).count_scans() == 2


@pytest.mark.usefixtures("models")
def test_what_a_worker_refuses_meanwhile_stays_refused(
    site: Site, queue: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that lapsed are dropped as they were judged, and before their scans are sent."""
    first, second = put_scans(site, "a", "b")
    for key in (first, second):
        refuse(site, key)
        site.objects.put(key, b"another content")
    send, are_in_flight = queue.send, queue.are_in_flight

    def looked(keys: list[str], *, collection: str) -> set[str]:
        assert site.quarantine.get(second) is None, "dropped before anything is sent"
        return are_in_flight(keys, collection=collection)

    def sent(keys: list[str], *, collection: str, bulk: bool) -> None:
        send(keys, collection=collection, bulk=bulk)
        refuse(site, second, reason="ends early, too")  # a worker is as quick as that

    pages = Comparison.pages

    def judged(self: Comparison, **options: Any) -> Iterator[CoveragePage]:  # noqa: ANN401  its own
        for page in pages(self, **options):
            refuse(site, first, reason="ends early, too")  # by a task of an event
            yield page

    monkeypatch.setattr(queue, "are_in_flight", looked)
    monkeypatch.setattr(queue, "send", sent)
    monkeypatch.setattr(Comparison, "pages", judged)
    told = run_sweep(site, queue)
    assert told is not None
    assert (told.sent, told.counts["lapsed"]) == (2, 2)
    for key in (first, second):
        record = site.quarantine.get(key)
        assert record is not None
        assert record.etag == site.objects.stat(key).etag


def test_a_corrected_layout_is_sent_although_no_listing_tells_it(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    key = "scans/E1/S1/rock.raw"
    for shape in ("4,5,6", "6,5,4"):
        site.objects.put(key, b"voxels", user_metadata={"shape": shape, "dtype": "|u1"})
        run_sweep(site, queue, asked=time.time())
        assert work(site, queue, models[0], broker) == [key]
    told = run_sweep(site, queue, asked=time.time())
    assert told is not None
    assert (told.sent, told.is_clean) == (0, True)


def test_a_flushed_broker_only_has_the_pass_begin_anew(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    keys = put_scans(site, *"abc")
    run_sweep(site, queue)
    broker.flush()
    told = run_sweep(site, queue)
    assert told is not None
    assert told.sent == 3
    assert work(site, queue, models[0], broker) == keys


def test_a_pass_goes_on_after_a_minute_where_it_was(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(feeding, "FIRST_PART", 2)
    keys = put_scans(site, *"abcde")
    for key in keys:
        index_scan(site, models[0], key=key)
    told = run_sweep(site, queue)
    assert told is not None
    assert (told.after, told.counts["indexed"], told.finished) == (keys[1], 2, None)
    began = told.began
    asked = run_sweep(site, queue, asked=time.time())  # does not begin it anew
    assert asked is not None
    assert (asked.began, asked.after) == (began, keys[3])
    told = run_sweep(site, queue)
    assert told is not None
    assert (told.counts["indexed"], told.is_clean) == (5, True)
    again = run_sweep(site, queue)  # which was asked for
    assert again is not None
    assert again.began > began


def test_a_prefix_is_swept_at_once_and_beside_the_pass(
    site: Site, queue: TaskQueue, models: list[ModelVersion], passes: Passes
) -> None:
    (key,) = put_scans(site, "a")
    site.objects.put("scans/E9/S1/z.png", b"z")
    told = run_sweep(site, queue, prefix="scans/E9/")
    assert told is not None
    assert queue.in_flight(models[0].collection) == {"scans/E9/S1/z.png"}
    assert passes.read(models[0].collection) is None
    assert key not in queue.in_flight(models[0].collection)


def test_only_one_worker_takes_a_step(
    site: Site, queue: TaskQueue, models: list[ModelVersion], passes: Passes
) -> None:
    put_scans(site, "a")
    assert passes.hold(models[0].collection)
    assert run_sweep(site, queue, asked=time.time()) is None
    passes.release(models[0].collection)
    told = run_sweep(site, queue)
    assert told is not None
    assert run_sweep(site, queue) is None, "begun since it was asked for"


def test_a_sweep_that_is_asked_for_while_another_worker_takes_a_step_is_not_forgotten(
    site: Site, queue: TaskQueue, models: list[ModelVersion], passes: Passes
) -> None:
    told = run_sweep(site, queue)
    assert told is not None
    assert told.finished is not None
    with open_broker(site.settings) as client:
        other = Passes(client)
        assert other.hold(models[0].collection)
        assert run_sweep(site, queue, asked=time.time()) is None
        passes.release(models[0].collection)  # not theirs
        assert run_sweep(site, queue) is None
        other.release(models[0].collection)
    again = run_sweep(site, queue)
    assert again is not None
    assert again.began > told.began


def test_workers_ask_for_what_a_full_queue_left_once_it_is_half_empty(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    live = models[0].collection
    keys = put_scans(site, *"abcdefgh")
    run_sweep(site, queue)
    ask_next(site.settings, queue, collection=live, is_bulk=False)
    assert queue.waiting(MAINTENANCE).tasks == 0, "there is enough to do"
    for key in keys[:3]:
        index_scan(site, models[0], key=key)
    queue.settle(keys[:3], collection=live)
    ask_next(site.settings, queue, collection=models[1].collection, is_bulk=False)
    assert queue.waiting(MAINTENANCE).tasks == 0, "that one is not compared"
    for _ in range(2):
        ask_next(site.settings, queue, collection=live, is_bulk=False)
        assert queue.waiting(MAINTENANCE).tasks == 1, "one asks"
    told = run_sweep(site, queue)
    assert told is not None
    assert told.finished is not None
    ask_next(site.settings, queue, collection=live, is_bulk=False)
    assert queue.waiting(MAINTENANCE).tasks == 1


def test_columns_that_are_declared_later_keep_nothing_from_being_compared(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    site.settings = site.settings.model_copy(update={"properties": ("depth_m",)})
    (key,) = put_scans(site, "a")
    told = run_sweep(site, queue)
    assert told is not None
    assert queue.in_flight(models[0].collection) == {key}


def test_nothing_is_swept_where_nothing_is_live(site: Site, queue: TaskQueue) -> None:
    assert run_sweep(site, queue) is None
    assert run_rollout(site, queue) is None


@pytest.mark.parametrize(
    ("last", "asked", "pause", "expected"),
    [
        (None, None, 300.0, "new"),
        (Pass(began=0.0), None, 300.0, "last"),
        (Pass(began=0.0, finished=1.0), None, 300.0, "new"),
        (Pass(began=0.0, finished=1.0), None, 1e12, None),
        (Pass(began=0.0, finished=1.0), 0.5, 1e12, "new"),
        (Pass(began=5.0, finished=6.0), 4.0, None, None),
        (Pass(began=5.0, finished=6.0), 5.5, None, "new"),
        (Pass(began=5.0), 5.5, None, "last"),
    ],
)
def test_which_pass_is_due(
    last: Pass | None, asked: float | None, pause: float | None, expected: str | None
) -> None:
    found = due_pass(last, asked=asked, pause=pause, now=time.time())
    kind = "last" if found is last else "new"
    assert (None if found is None else kind) == expected


def test_the_timetable_sends_what_expires_before_it_is_sent_again(site: Site) -> None:
    entries = timetable(site.settings)
    assert set(entries) == {"sweep", "rollout", "deep sweep"}
    for entry in entries.values():
        assert entry["options"]["queue"] == "maintenance"
        assert entry["options"]["expires"] == max(entry["schedule"].total_seconds(), 1)
