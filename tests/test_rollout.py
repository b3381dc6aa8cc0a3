"""Rollouts on the stack, step by step: a collection is filled, made live, and caught up."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from infra.broker import open_broker
from infra.commands.models import drop_model, roll_back, use_model
from infra.commands.rollout_status import rollout_progress
from infra.fed_collections import FILLING, LIVE, fed_collections
from infra.operating import switch_at_once
from infra.rollout import ROLLOUT_KEY, begin_rollout, current_rollout, end_rollout
from infra.store_errors import StoreRefusedError
from infra.sweep_notes import SweepNotes
from infra.task_names import BULK, ENCODE
from ingest_worker import rollout
from ingest_worker.commands import reindex
from ingest_worker.feeding import Passes
from ingest_worker.rollout import run_rollout
from ingest_worker.sweep import run_sweep
from memory_site import index_scan, put_scans, refuse
from sweep_site import work

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.model_versions import ModelVersion
    from infra.object_store import ObjectStore
    from infra.rollout import Rollout
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from stack_parts import RedisServer

pytest_plugins = ["stack_parts", "sweep_site"]


def test_a_rollout_fills_switches_and_catches_up(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    first, second = models
    keys = put_scans(site, *"abcdefg")
    for key in keys:
        index_scan(site, first, key=key)
    begun = begin_rollout(site, second)
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
    assert current_rollout(site.objects) == begun
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
        told.began -= 1e6
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


@pytest.mark.parametrize(
    ("switch", "is_back"),
    [
        (lambda site, _: roll_back(site), True),
        (lambda site, ref: use_model(site, ref, now=False), False),
        (lambda site, ref: use_model(site, ref, now=True), False),
    ],
    ids=["rollback", "use", "use --now"],
)
def test_a_switch_that_is_cut_off_goes_on_to_what_was_asked_for(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
    switch: Callable[[Site, str], object],
    is_back: bool,
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    begin_rollout(site, second)  # it is being caught up

    def cut_off(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.index, "make_live", cut_off)
        with pytest.raises(KeyboardInterrupt):
            switch(site, first.bundle_id)
    run_rollout(site, queue)
    assert site.index.live() == first.collection
    former = site.models.previous(site.index)
    assert former == (None if is_back else second), "from what was gone back from, no way leads on"


def test_reindexing_at_once_is_not_undone_by_what_was_being_filled(
    site: Site, queue: TaskQueue, models: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    begin_rollout(site, second)
    monkeypatch.setattr(reindex, "open_site", lambda _: nullcontext(site))
    request = reindex.ReindexRequest(
        model=first.bundle_id, switch=True, allow_missing=False, as_json=False
    )
    assert reindex.run_reindex(request) == 0
    run_rollout(site, queue)
    assert site.index.live() == first.collection


def test_a_switch_that_can_not_be_gone_on_with_is_not_begun(
    site: Site, models: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = models
    site.models.switch(site.index, second)
    begun = begin_rollout(site, second)

    def refuse_to(key: str, *_: object, **__: object) -> None:
        raise StoreRefusedError(f"{key}: disk full; make room")

    monkeypatch.setattr(site.objects, "put", refuse_to)
    with pytest.raises(StoreRefusedError):
        roll_back(site)
    assert site.index.live() == second.collection
    assert current_rollout(site.objects) == begun


def test_going_back_asks_for_no_columns(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    begin_rollout(site, second)
    site.settings = site.settings.model_copy(update={"properties": ("depth_m",)})
    roll_back(site)
    assert site.index.live() == first.collection
    run_rollout(site, queue)
    assert site.index.live() == first.collection
    assert current_rollout(site.objects) is None


def test_a_worker_that_is_about_to_switch_does_not_undo_a_rollback(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = models
    begin_rollout(site, second)
    operator = threading.Thread(target=switch_at_once, args=(site, first), kwargs={"is_back": True})
    reads = 0

    def read(objects: ObjectStore) -> Rollout | None:
        nonlocal reads
        found, reads = current_rollout(objects), reads + 1
        if reads == 2:  # the worker has seen that nobody asked for another one
            operator.start()
            operator.join(1)
        return found

    monkeypatch.setattr(rollout, "current_rollout", read)
    run_rollout(site, queue)
    operator.join()
    assert site.index.live() == first.collection


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
    begun = begin_rollout(site, models[1])
    end_rollout(site.objects, former)
    assert current_rollout(site.objects) == begun
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


def test_what_the_live_collection_lacks_as_well_keeps_no_switch_waiting(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    first, second = models
    changed, gone, new = put_scans(site, "changed", "gone", "new")
    for version in models:
        index_scan(site, version, key=changed)
        index_scan(site, version, key=gone)
    site.objects.put(changed, b"anew")
    site.objects.delete(gone)
    begin_rollout(site, second)
    index_scan(site, first, key=new)
    told = run_rollout(site, queue)
    assert told is not None
    assert (told.behind, told.counts["coming"]) == (3, 2)
    assert site.index.live() == first.collection, "searches would lose the new one"
    site.index.open(first.collection).remove([new])
    _let_it_be_due(site, second)
    run_rollout(site, queue)
    assert site.index.live() == second.collection


def test_what_the_live_collection_has_as_it_is_now_is_waited_for(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    first, second = models
    changed, gone = put_scans(site, "changed", "gone")
    for key in (changed, gone):
        index_scan(site, second, key=key)
    site.objects.put(changed, b"anew")
    site.objects.delete(gone)
    index_scan(site, first, key=changed)
    begin_rollout(site, second)
    told = run_rollout(site, queue)
    assert told is not None
    assert (told.behind, told.counts["coming"]) == (2, 0)
    assert site.index.live() == first.collection


def test_it_is_over_though_uploads_go_on(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    old, new = put_scans(site, "old", "new")
    begin_rollout(site, second)
    queue.send([new], collection=second.collection)
    run_rollout(site, queue)
    _let_it_be_due(site, second)
    run_rollout(site, queue)
    assert current_rollout(site.objects) is not None, "what it sent is not there yet"
    work(site, queue, second, broker)
    queue.send([new], collection=second.collection)
    site.objects.put(new, b"anew")
    del first, old
    _let_it_be_due(site, second)
    told = run_rollout(site, queue)
    assert told is not None
    assert (told.behind, told.sent) == (1, 0)
    assert current_rollout(site.objects) is None


def test_a_sweep_that_is_asked_for_while_it_is_caught_up_comes_after_it(
    site: Site, queue: TaskQueue, models: list[ModelVersion]
) -> None:
    begin_rollout(site, models[0])
    run_rollout(site, queue)
    begin_rollout(site, models[0])
    asked = queue.now()
    assert run_sweep(site, queue, asked=asked) is None, "it is caught up by the rollout"
    site.objects.delete(ROLLOUT_KEY)  # which is over, by a pass that began before
    told = run_sweep(site, queue)
    assert told is not None
    assert told.began > asked


def test_what_was_found_of_a_collection_is_forgotten_with_it(
    site: Site, queue: TaskQueue, models: list[ModelVersion], broker: RedisServer
) -> None:
    run_sweep(site, queue)
    with broker.client as client:
        assert [note.collection for note in SweepNotes(client).read()] == [models[0].collection]
        assert drop_model(site, models[0].bundle_id, even_live=True) == 0
        assert SweepNotes(client).read() == []


def test_it_is_over_though_a_scan_is_never_settled(
    site: Site,
    queue: TaskQueue,
    models: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollout, "_SOON", 0.0)
    keys = put_scans(site, "waits for its table")
    begin_rollout(site, models[0])
    for _ in range(3):
        assert current_rollout(site.objects) is not None
        told = run_rollout(site, queue)
        assert told is not None
        assert told.sent == 1
        queue.settle(keys, collection=models[0].collection)
    assert current_rollout(site.objects) is None
