"""A worker of the stack, without Celery: what it opens, tells, closes and gives up."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from encoder.errors import LithoscopeError, ScanError
from infra import task_renewal
from infra.broker import open_broker
from infra.index_server import stop_server
from infra.redis_attempts import RedisAttempts
from infra.settings_groups import DecodeSettings, StoreSettings
from infra.store_errors import StoreAwayError
from infra.task_names import ENCODE
from infra.task_renewal import TaskRenewal
from ingest_worker import stack_worker
from ingest_worker.faults import WorkerFaultError
from ingest_worker.models import open_target
from ingest_worker.patience import Patience
from ingest_worker.patient_attempts import PatientAttempts
from ingest_worker.stack_worker import Batch, StackWorker
from ingest_worker.warming import Warming
from stack_parts import RedisServer, png, small_bundle, wait_until, work_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_versions import ModelVersion
    from infra.settings import Settings

pytest_plugins = ["stack_parts"]

KEYS = tuple(f"scans/E1/S1/{n}.png" for n in range(3))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with two bundles, whose index server all tests share."""
    home = tmp_path_factory.mktemp("home")
    for seed in range(2):
        small_bundle(home / f"bundle{seed}", seed)
    yield home
    stop_server(home / "index")


@pytest.fixture
def settings(home: Path, broker: RedisServer) -> Settings:
    settings = work_settings(home, broker)
    return settings.model_copy(update={"decode": DecodeSettings(workers=1, memory_mib=1024)})


@pytest.fixture
def worker(settings: Settings) -> Iterator[StackWorker]:
    with StackWorker(settings) as worker:
        for number, key in enumerate(KEYS):
            worker.site.objects.put(key, png(number))
        yield worker
        index = worker.site.index
        for name in index.collections():
            index.drop(name, even_live=True)
        for page in list(worker.site.objects.pages()):
            for entry in page:
                worker.site.objects.delete(entry.key)


@pytest.fixture
def versions(worker: StackWorker, home: Path) -> list[ModelVersion]:
    """Two models with a collection each; the first is live."""
    site = worker.site
    found = [site.models.publish(home / f"bundle{seed}") for seed in range(2)]
    for version in found:
        open_target(site, version, adopt=False)
    site.models.switch(site.index, found[0])
    return found


def test_a_batch_is_indexed_and_on_its_way_no_more(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    name = versions[0].collection
    worker.queue.send([*KEYS, "scans/E1/S1/gone.png"], collection=name)
    batch = Batch(keys=(*KEYS, "scans/E1/S1/gone.png"), collection=name)
    assert worker.encode(batch) == {"indexed": 3, "removed": 1}
    assert worker.queue.in_flight(name) == set()
    assert worker.site.index.open(name).count_scans() == 3
    again = replace(batch, keys=KEYS, is_suspect=True)
    assert worker.encode(again) == {"unchanged": 3}  # a task that is delivered twice


def test_scans_that_were_sent_again_meanwhile_stay_on_their_way(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    name = versions[0].collection
    worker.queue.send(KEYS, collection=name)
    worker.site.objects.put(KEYS[0], b"no picture")
    worker.encode(Batch(keys=KEYS, collection=name))
    worker.queue.send(KEYS[:1], collection=name)
    assert worker.queue.in_flight(name) == {KEYS[0]}
    assert worker.site.quarantine.get(KEYS[0]) is not None


def test_a_table_that_came_since_is_heeded(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    batch = Batch(keys=KEYS, collection=versions[0].collection)
    worker.encode(batch)
    table = f"object_key,porosity\n{KEYS[1]},0.25\n"
    worker.site.objects.put("metadata/a.csv", table.encode())
    assert worker.encode(batch) == {"rekeyed": 1, "unchanged": 2}
    (row, _), *_ = worker.site.index.open(versions[0].collection).slices(KEYS[1])
    assert row.numbers["porosity"] == 0.25


def test_collections_come_and_go_without_a_restart(
    worker: StackWorker,
    versions: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    old, new = (version.collection for version in versions)
    worker.encode(Batch(keys=KEYS, collection=old))
    worker.encode(Batch(keys=KEYS, collection=new, is_bulk=True))
    worker.site.models.switch(worker.site.index, versions[1])
    monkeypatch.setattr(stack_worker, "LOOK_SECONDS", 0.0)
    assert worker.encode(Batch(keys=KEYS, collection=new)) == {"unchanged": 3}
    assert f"collection {old}: not fed any more; closed" in caplog.text
    worker.site.index.drop(old)
    worker.queue.send(KEYS, collection=old)
    assert worker.encode(Batch(keys=KEYS, collection=old)) == {}
    assert f"collection {old}: not there any more; 3 scans" in caplog.text
    assert worker.queue.in_flight(old) == set()
    assert old not in worker.site.index.collections()


def test_attempts_are_counted_for_each_collection(
    worker: StackWorker, settings: Settings, versions: list[ModelVersion]
) -> None:
    """What killed its workers with one model is tried with another."""
    old, new = (version.collection for version in versions)
    attempts = RedisAttempts(open_broker(settings), old)
    for _ in range(3):
        attempts.begin({KEYS[0]: worker.site.objects.stat(KEYS[0]).etag})
    attempts.close()
    assert worker.encode(Batch(keys=KEYS, collection=new)) == {"indexed": 3}
    assert worker.encode(Batch(keys=KEYS, collection=old)) == {"indexed": 2, "quarantined": 1}
    record = worker.site.quarantine.get(KEYS[0])
    assert record is not None
    assert "3 workers died" in record.reason


def test_the_live_model_is_open_before_there_is_work(
    worker: StackWorker, versions: list[ModelVersion], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = (version.collection for version in versions)
    with Warming(worker, seconds=0.05) as warming:
        wait_until(warming.has_started)
        assert f"collection {first}: its model is open" in caplog.text
        assert worker.encode(Batch(keys=KEYS, collection=first)) == {"indexed": 3}
        worker.site.models.switch(worker.site.index, versions[1])
        wait_until(lambda: f"collection {second}: its model is open" in caplog.text)
        warming.check()
    assert worker.open_live() is None


def test_without_a_live_model_a_worker_starts_all_the_same(worker: StackWorker) -> None:
    with Warming(worker) as warming:
        wait_until(warming.has_started)
        warming.check()


def test_a_worker_that_takes_no_uploads_opens_nothing_unasked(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    with Warming(worker, is_wanted=False) as warming:
        wait_until(warming.has_started)
    assert worker.open_live() == versions[0].collection


def test_a_damaged_live_model_is_told_and_tried_again(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    site = worker.site
    weights = next(
        entry.key
        for page in site.objects.pages(f"models/{versions[0].encoder}/")
        for entry in page
        if entry.key.endswith(".safetensors") and versions[0].version in entry.key
    )
    whole = site.objects.read(weights, max_bytes=1 << 30)
    shutil.rmtree(site.settings.home / "cache", ignore_errors=True)
    site.objects.put(weights, b"damaged")
    with Warming(worker, seconds=0.05) as warming:
        wait_until(warming.has_started)
        with pytest.raises(LithoscopeError):
            warming.check()
        site.objects.put(weights, whole)
        wait_until(lambda: _is_well(warming))
    assert worker.encode(Batch(keys=KEYS, collection=versions[0].collection)) == {"indexed": 3}


def test_a_full_disk_is_told_as_a_fault_of_the_live_model_and_tried_again(
    worker: StackWorker, versions: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert versions
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(worker.settings.home / "not there"))
        with Warming(worker, seconds=0.05) as warming:
            wait_until(warming.has_started)
            with pytest.raises(WorkerFaultError, match="No such file or directory"):
                warming.check()
            patch.undo()
            wait_until(lambda: _is_well(warming))
    assert worker.open_live() is None


def test_a_model_that_opened_and_does_not_work_is_not_well_at_the_next_look_either(
    settings: Settings, versions: list[ModelVersion]
) -> None:
    assert versions
    decode = settings.decode.model_copy(update={"seconds": 1e-6})
    with StackWorker(settings.model_copy(update={"decode": decode})) as worker:
        for _ in range(2):
            with pytest.raises(ScanError):
                worker.open_live()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_expects_leaves_no_worker_that_says_it_is_ready(settings: Settings) -> None:
    with Warming(Unexpected(settings)) as warming:
        wait_until(lambda: not _is_well(warming))
        with pytest.raises(WorkerFaultError, match="start it again"):
            warming.check()
        assert warming.has_started()


class Unexpected(StackWorker):
    """A worker with a fault of our own making."""

    def open_live(self) -> str | None:
        raise KeyError("of our own making")


def test_a_worker_that_cannot_open_a_model_that_is_needed_settles_nothing(
    worker: StackWorker, versions: list[ModelVersion]
) -> None:
    objects, batch = worker.site.objects, Batch(keys=KEYS, collection=versions[0].collection)
    published = {
        entry.key: objects.read(entry.key, max_bytes=1 << 30)
        for page in objects.pages(f"models/{versions[0].encoder}/{versions[0].version}/")
        for entry in page
    }
    assert published
    worker.queue.send(KEYS, collection=batch.collection)
    for key in published:
        objects.delete(key)
    with pytest.raises(LithoscopeError):
        worker.encode(batch)
    assert worker.queue.in_flight(batch.collection) == set(KEYS)
    for key, content in published.items():
        objects.put(key, content)
    assert worker.encode(batch) == {"indexed": 3}


@pytest.mark.parametrize("is_suspect", [False, True])
def test_what_was_not_begun_when_a_worker_is_told_to_stop_is_sent_again(
    worker: StackWorker, versions: list[ModelVersion], *, is_suspect: bool
) -> None:
    batch = Batch(keys=KEYS, collection=versions[0].collection, is_suspect=is_suspect)
    worker.stopping.set()
    assert worker.encode(batch) == {}
    assert worker.queue.waiting(ENCODE) == (1, 0, 3)
    assert worker.queue.in_flight(batch.collection) == set(KEYS)
    worker.stopping.clear()
    assert worker.encode(batch) == {"indexed": 3}


def _is_well(warming: Warming) -> bool:
    try:
        warming.check()
    except LithoscopeError:
        return False
    return True


def test_a_store_that_is_away_leaves_the_batch_to_be_done_again(settings: Settings) -> None:
    store = StoreSettings(folder=settings.home / "not mounted")
    with StackWorker(settings.model_copy(update={"store": store})) as worker:
        worker.queue.send(KEYS, collection="litho_a")
        for _ in range(2):
            with pytest.raises(StoreAwayError):
                worker.encode(Batch(keys=KEYS, collection="litho_a"))
        assert worker.queue.in_flight("litho_a") == set(KEYS)


def test_a_broker_that_is_away_while_attempts_are_counted_is_waited_for(
    mortal_broker: RedisServer, tmp_path: Path
) -> None:
    patience = Patience(first_seconds=0.1, longest_seconds=0.2, total_seconds=30)
    counter = RedisAttempts(open_broker(work_settings(tmp_path, mortal_broker)), "x")
    attempts = PatientAttempts(counter, patience)
    attempts.begin({"a": "1"})
    time.sleep(1.5)  # it is on disk every second
    mortal_broker.kill()
    mortal_broker.start()
    assert attempts.begin({"a": "1"}) == {"a": 2}
    attempts.clear(["a"])
    assert attempts.counts({"a": "1"}) == {"a": 0}
    attempts.close()


def test_times_of_running_tasks_are_renewed_and_those_of_lost_ones_are_not_made(
    broker: RedisServer, settings: Settings
) -> None:
    with broker.client as client, TaskRenewal(open_broker(settings), 0.4) as renewal:
        client.zadd("unacked_index", {"mine": 1.0, "other": 1.0})
        with renewal.renewing("mine"), renewal.renewing("given away"), renewal.renewing(None):
            wait_until(lambda: (client.zscore("unacked_index", "mine") or 0) > time.time() - 5)
        assert client.zscore("unacked_index", "other") == 1.0
        assert client.zscore("unacked_index", "given away") is None
        client.zadd("unacked_index", {"mine": 1.0})
        time.sleep(0.5)
        assert client.zscore("unacked_index", "mine") == 1.0


def test_a_task_that_gets_on_no_further_is_given_to_others(
    broker: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_renewed() -> bool:
        return (client.zscore("unacked_index", "mine") or 0) > 1.0

    def stays() -> bool:
        client.zadd("unacked_index", {"mine": 1.0})
        time.sleep(0.5)
        return not is_renewed()

    with (
        broker.client as client,
        TaskRenewal(open_broker(settings), 0.4) as renewal,
        renewal.renewing("mine"),
    ):
        monkeypatch.setattr(task_renewal, "STALLED_SECONDS", 0.0)
        wait_until(stays)
        monkeypatch.setattr(task_renewal, "STALLED_SECONDS", 60.0)
        renewal.get_on()
        wait_until(is_renewed)
