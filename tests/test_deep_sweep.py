"""The stack's deep sweep: rows and pictures that are missing, or that nothing vouches for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from infra import deep_pages
from infra.pictures import preview_key, thumbnail_key
from infra.rollout import begin_rollout
from ingest_worker import deep_sweep
from ingest_worker.deep_sweep import deep_step, run_deep_sweep
from ingest_worker.rollout import run_rollout
from ingest_worker.sweep import run_sweep
from memory_site import index_scan, put_scans
from sweep_site import work

if TYPE_CHECKING:
    import pytest

    from infra.model_versions import ModelVersion
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from infra.vector_index import Collection
    from stack_parts import RedisServer

pytest_plugins = ["stack_parts", "sweep_site"]


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


def test_a_collection_that_is_filled_is_looked_through_as_well(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    (key,) = put_scans(site, "short")
    for version in models:
        index_scan(site, version, key=key)
        draw(site, site.index.open(version.collection), key, count=3)
    filling = site.index.open(models[1].collection)
    begin_rollout(site, models[1])
    site.index.store.delete(filling.name, [filling.slices(key)[0][0].row_id])
    run_deep_sweep(site, queue)
    run_rollout(site, queue)
    assert site.index.live() == models[0].collection, "what it lacks is waited for"
    assert work(site, queue, models[1], broker) == [key]
    assert len(filling.slices(key)) == 3


def test_it_goes_on_where_a_step_was_left(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = site.index.open(models[0].collection)
    keys = put_scans(site, *"abcd")
    for key in keys:
        index_scan(site, models[0], key=key)
        draw(site, live, key, count=0)
    monkeypatch.setattr(deep_sweep, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(deep_pages, "PART", 1)
    steps = 1
    while not deep_step(site, queue):
        steps += 1
    assert steps > 1
    run_sweep(site, queue)
    assert queue.in_flight(live.name) == set(keys)


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
