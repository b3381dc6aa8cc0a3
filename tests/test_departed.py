"""On the stack too, what was told of scans follows them when they are moved in the bucket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from infra.broker import open_broker
from infra.bucket_metadata import BucketMetadata
from ingest_worker import departed
from ingest_worker.departed import Departures, note_departures
from ingest_worker.library_table import FileMap, read_maps, read_rows, store_map, store_rows
from ingest_worker.sweep import run_sweep
from memory_site import index_scan
from sweep_site import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.model_versions import ModelVersion
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from stack_parts import RedisServer

pytest_plugins = ["stack_parts", "sweep_site"]

OLD, NEW = "scans/E1/S1/a.png", "scans/E9/S1/a.png"
TABLE, LIST = "metadata/rocks-0a1b2c3d.csv", "libraries/rocks-0a1b2c3d.json"


@pytest.fixture
def departures(site: Site) -> Iterator[Departures]:
    with open_broker(site.settings) as client:
        yield Departures(client)


@pytest.fixture
def scan(site: Site, models: list[ModelVersion]) -> str:
    """A scan that a library was asked for, with its porosity."""
    site.objects.put(OLD, b"sandstone")
    store_rows(site.objects, TABLE, rows={OLD: {"reservoir": "E1", "porosity": "0.2"}})
    store_map(site.objects, LIST, told=FileMap("/rocks", {OLD: "E1/S1/a.png"}))
    index_scan(site, models[0], key=OLD)
    return OLD


def leave(site: Site, departures: Departures, version: ModelVersion, *, keys: list[str]) -> None:
    """Have a worker see that scans are gone."""
    collection = site.index.open(version.collection)
    note_departures(departures, site.objects, collection=collection, keys=keys)
    collection.remove(keys)


def test_what_is_told_follows_a_scan_that_workers_saw_go_and_come(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    scan: str,
    departures: Departures,
    broker: RedisServer,
) -> None:
    site.objects.put(NEW, b"sandstone")
    site.objects.delete(scan)
    leave(site, departures, models[0], keys=[scan])
    assert list(departures.read()) == [scan]
    run_sweep(site, queue)
    assert list(departures.read()) == [scan], "it may turn up yet"
    assert work(site, queue, models[0], broker) == [NEW]
    told = run_sweep(site, queue, asked=2e9)
    assert told is not None
    assert (told.counts["corrected"], told.sent) == (1, 1), "its rows are to have the porosity"
    assert read_rows(site.objects, TABLE) == {
        NEW: {"reservoir": "E9", "sample": "S1", "porosity": "0.2"}
    }
    assert read_maps(site.objects)[LIST].files == {NEW: "E1/S1/a.png"}
    assert departures.read() == {}
    assert BucketMetadata.read(site.objects).resolve(NEW).values()["porosity"] == 0.2


def test_what_was_there_long_before_is_a_scan_of_its_own(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    scan: str,
    departures: Departures,
) -> None:
    site.objects.put(NEW, b"sandstone")
    os.utime(site.settings.bucket_folder / NEW, (1e9, 1e9))
    index_scan(site, models[0], key=NEW)
    site.objects.delete(scan)
    leave(site, departures, models[0], keys=[scan])
    run_sweep(site, queue)
    assert list(read_rows(site.objects, TABLE)) == [scan]


def test_what_is_still_there_or_came_back_has_not_departed(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    scan: str,
    departures: Departures,
) -> None:
    leave(site, departures, models[0], keys=[])
    note_departures(
        departures,
        site.objects,
        collection=site.index.open(models[0].collection),
        keys=[scan, "scans/E1/S1/never.png"],
    )
    assert departures.read() == {}
    site.objects.put(NEW, b"sandstone")
    index_scan(site, models[0], key=NEW)
    site.objects.delete(scan)
    leave(site, departures, models[0], keys=[scan])
    site.objects.put(scan, b"sandstone")
    run_sweep(site, queue)
    assert list(read_rows(site.objects, TABLE)) == [scan]


def test_what_nothing_is_told_of_and_what_left_long_ago_is_forgotten(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    scan: str,
    departures: Departures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    departures.note({"scans/E1/S1/nobody's.png": "x", scan: "y"})
    run_sweep(site, queue)
    assert list(departures.read()) == [scan]
    monkeypatch.setattr(departed, "KEPT_SECONDS", -1.0)
    assert departures.read() == {}
    monkeypatch.undo()
    assert departures.read() == {}
    del models
