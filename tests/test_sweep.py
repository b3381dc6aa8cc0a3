"""The stack's sweep and rollouts: what differs is sent, once, and as the queue takes it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from infra.broker import open_broker
from infra.commands.models import roll_back
from infra.commands.rollout_status import rollout_progress
from infra.fed_collections import FILLING, LIVE, fed_collections
from infra.folder_store import FolderStore
from infra.indexing.memory import MemoryStore
from infra.pictures import preview_key, thumbnail_key
from infra.rollout import ROLLOUT_KEY, begin_rollout, current_rollout, end_rollout
from infra.site import Site
from infra.sweep_notes import SweepNotes
from infra.task_names import BULK, ENCODE
from infra.task_queue import TaskQueue
from infra.vector_index import VectorIndex
from ingest_worker import feeding
from ingest_worker.deep_sweep import run_deep_sweep
from ingest_worker.feeding import Pass, Passes
from ingest_worker.models import open_target
from ingest_worker.rollout import run_rollout
from ingest_worker.schedule import timetable
from ingest_worker.sweep import due_pass, run_sweep
from stack_parts import RedisServer, work_settings
from test_infra_cli import index_scan, put_scans, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_versions import ModelVersion
    from infra.vector_index import Collection

pytest_plugins = ["stack_parts"]


@pytest.fixture
def site(tmp_path: Path, broker: RedisServer) -> Iterator[Site]:
    settings = work_settings(tmp_path / "home", broker, low_water=5, batch_keys=2)
    settings.bucket_folder.mkdir(parents=True)
    with Site(settings, FolderStore(settings.bucket_folder)) as site:
        site.index = VectorIndex(MemoryStore())
        yield site


@pytest.fixture
def queue(site: Site) -> Iterator[TaskQueue]:
    with TaskQueue(site.settings) as queue:
        yield queue


@pytest.fixture
def passes(site: Site) -> Iterator[Passes]:
    with open_broker(site.settings) as client:
        yield Passes(client)


@pytest.fixture
def models(site: Site, tmp_path: Path) -> list[ModelVersion]:
    """Two, each with a collection; the first is live."""
    made = (made_bundle(tmp_path / str(seed), seed=seed) for seed in range(2))
    versions = [site.models.publish(folder) for folder in made]
    for version in versions:
        open_target(site, version)
    return versions


def work(site: Site, queue: TaskQueue, version: ModelVersion, broker: RedisServer) -> list[str]:
    """Do what workers would with all that waits; gives the keys in the order of the queues."""
    done = []
    with broker.client as client:
        for name in (ENCODE, BULK):
            while (task := client.rpop(name)) is not None:
                body = json.loads(task)
                done += _keys_of(body)
    for key in done:
        if (site.settings.bucket_folder / key).exists():
            index_scan(site, version, key=key)
        else:
            site.index.open(version.collection).remove([key])
    queue.settle(done, collection=version.collection)
    return done


def _keys_of(task: dict[str, str]) -> list[str]:
    import base64  # noqa: PLC0415  only to look into a task

    keys: list[str] = json.loads(base64.b64decode(task["body"]))[1]["keys"]
    return keys


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
    assert (asked.began, asked.after, asked.again) == (began, keys[3], True)
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
    assert run_sweep(site, queue) is None
    passes.release(models[0].collection)
    assert run_sweep(site, queue) is not None


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
        (Pass(began=0.0, finished=1.0, again=True), None, 1e12, "new"),
        (Pass(began=5.0, finished=6.0), 4.0, None, None),
        (Pass(began=5.0, finished=6.0), 5.5, None, "new"),
        (Pass(began=5.0), 5.5, None, "last"),
    ],
)
def test_which_pass_is_due(
    last: Pass | None, asked: float | None, pause: float | None, expected: str | None
) -> None:
    found = due_pass(last, asked=asked, pause=pause)
    kind = "last" if found is last else "new"
    assert (None if found is None else kind) == expected


def test_a_rollout_fills_switches_and_catches_up(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    first, second = models
    keys = put_scans(site, *"abcdefg")
    for key in keys:
        index_scan(site, first, key=key)
    rollout = begin_rollout(site, second)
    assert fed_collections(site) == {first.collection: LIVE, second.collection: FILLING}
    told = run_rollout(site, queue)
    assert told is not None
    assert (queue.waiting(BULK).keys, queue.waiting(ENCODE).keys) == (5, 0)
    assert work(site, queue, second, broker) == keys[:5]
    progress = rollout_progress(site)
    assert progress is not None
    assert "5 of 7 scans indexed; it goes live" in progress.text(7)
    run_rollout(site, queue)
    assert site.index.live() == first.collection, "what was just sent is not there yet"
    work(site, queue, second, broker)
    _let_it_be_due(site, second)
    run_rollout(site, queue)
    assert site.index.live() == second.collection
    assert current_rollout(site.objects) == rollout
    assert fed_collections(site) == {second.collection: LIVE}
    site.objects.put("scans/E1/S1/since.png", b"while it was switched")
    assert run_sweep(site, queue) is None, "it is caught up by the rollout"
    run_rollout(site, queue)
    assert work(site, queue, second, broker) == ["scans/E1/S1/since.png"]
    _let_it_be_due(site, second)
    run_rollout(site, queue)
    assert current_rollout(site.objects) is None
    assert run_rollout(site, queue) is None


def _let_it_be_due(site: Site, version: ModelVersion) -> None:
    """Have time pass between two passes."""
    with open_broker(site.settings) as client:
        told = Passes(client).read(version.collection)
        assert told is not None
        told.again = True
        Passes(client).write(version.collection, told)


def test_rolling_back_switches_at_once_and_is_caught_up(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    broker: RedisServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    keys = put_scans(site, "a", "b")
    for key in keys:
        index_scan(site, second, key=key)
    roll_back(site)
    assert site.index.live() == first.collection
    told = capsys.readouterr().out
    assert "it is 2 scans behind: it is caught up in the background" in told
    run_rollout(site, queue)
    assert queue.waiting(BULK).keys == 2
    progress = rollout_progress(site)
    assert progress is not None
    assert "is live, and is caught up in the background: 0 of 2 scans" in progress.text(2)
    work(site, queue, first, broker)
    _let_it_be_due(site, first)
    run_rollout(site, queue)
    assert current_rollout(site.objects) is None


def test_what_searches_would_lose_keeps_a_rollout_waiting(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    first, second = models
    (key,) = put_scans(site, "a")
    index_scan(site, first, key=key)
    refuse(site, key)
    begin_rollout(site, second)
    told = run_rollout(site, queue)
    assert told is not None
    assert told.counts["lost"] == 1
    assert site.index.live() == first.collection
    assert current_rollout(site.objects) is not None


def test_a_dropped_collection_ends_its_rollout_and_a_newer_one_stays(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    former = begin_rollout(site, models[0])
    rollout = begin_rollout(site, models[1])
    end_rollout(site.objects, former)
    assert current_rollout(site.objects) == rollout
    site.index.drop(models[1].collection)
    assert run_rollout(site, queue) is None
    assert current_rollout(site.objects) is None


def test_a_damaged_rollout_is_told_and_fills_nothing(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    caplog: pytest.LogCaptureFixture,
) -> None:
    site.objects.put(ROLLOUT_KEY, b'{"model": "m"}')
    assert run_rollout(site, queue) is None
    assert fed_collections(site) == {models[0].collection: LIVE}
    assert "models/rollout.json: damaged" in caplog.text


def test_a_deep_sweep_has_made_good_what_lacks_rows_or_pictures(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    live = site.index.open(models[0].collection)
    whole, bare, short, busy = keys = put_scans(site, "whole", "bare", "short", "busy")
    for key in keys:
        index_scan(site, models[0], key=key)
        draw(site, live, key, count=0 if key in (bare, busy) else 3)
    rows = [row.row_id for row, _ in live.slices(short)]
    site.index.store.delete(live.name, rows[:1])
    queue.send([busy], collection=live.name)
    run_deep_sweep(site, queue)
    told = run_sweep(site, queue)
    assert told is not None
    assert told.counts["changed"] == 2
    assert sorted(work(site, queue, models[0], broker)) == sorted([bare, short, busy])
    assert live.record(whole) is not None
    assert len(live.slices(short)) == 3


def test_a_deep_sweep_removes_what_nothing_vouches_for_once_it_is_old(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    live = site.index.open(models[0].collection)
    keys = put_scans(site, "a", "b", "c")
    for key in keys:
        index_scan(site, models[0], key=key)
        draw(site, live, key, count=4)
    old = thumbnail_key(keys[0], live.slices(keys[0])[0][0].generation, slice_index=3)
    flying = thumbnail_key(keys[1], live.slices(keys[1])[0][0].generation, slice_index=3)
    for name in (old, flying):
        os.utime(site.settings.bucket_folder / name, (1e9, 1e9))
    queue.send([keys[1]], collection=live.name)
    before = {entry.key for page in site.objects.pages("thumbnails/") for entry in page}
    run_deep_sweep(site, queue)
    after = {entry.key for page in site.objects.pages("thumbnails/") for entry in page}
    assert before - after == {old}


def draw(site: Site, collection: Collection, key: str, *, count: int) -> None:
    record = collection.record(key)
    assert record is not None
    for number in range(count):
        for name in (thumbnail_key, preview_key):
            picture = name(key, record.generation, slice_index=number)
            site.objects.put(picture, b"picture", is_durable=False)


def test_the_timetable_sends_what_expires_before_it_is_sent_again(site: Site) -> None:
    entries = timetable(site.settings)
    assert set(entries) == {"sweep", "rollout", "deep sweep"}
    for entry in entries.values():
        assert entry["options"]["queue"] == "maintenance"
        assert entry["options"]["expires"] == max(entry["schedule"].total_seconds(), 1)
