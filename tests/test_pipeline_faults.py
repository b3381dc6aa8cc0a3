from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from infra.indexing.errors import IndexUnavailableError
from infra.indexing.memory import MemoryStore
from infra.settings_groups import DecodeSettings
from infra.store_errors import LocalFileError, StoreAwayError, StoreRefusedError
from infra.vector_index import VectorIndex
from ingest_site import IngestSite, flat
from ingest_worker.outcomes import Deferred, Indexed, Outcome, Quarantined, Removed
from ingest_worker.pipeline import ingest_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from infra.indexing.records import IndexedScan
    from infra.indexing.store import Row

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"
OTHER = "scans/E1/S1/b.png"


def fault_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Quarantined)
    return outcome.fault


def times(count: int, error: Exception) -> Callable[[str], None]:
    """Raise an error so many times, then no more."""
    left = [count]

    def call(_: str) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return call


def test_a_damaged_scan_is_quarantined_and_harms_no_other(world: IngestSite) -> None:
    world.objects.put(KEY, b"\x89PNG\r\n\x1a\n broken")
    world.put(OTHER, flat())
    outcomes = world.ingest(KEY, OTHER)
    assert fault_of(outcomes[KEY]) == "truncated"
    assert outcomes[OTHER] == Indexed(object_key=OTHER, n_slices=1)
    record = world.site.quarantine.get(KEY)
    assert record is not None
    assert (record.etag, record.attempts) == (world.objects.stat(KEY).etag, 1)
    assert (record.fault, record.reason) == ("truncated", outcomes[KEY].reason)  # type: ignore[union-attr]
    assert (record.model, len(record.trace_id)) == (world.context.model, 32)
    assert world.compare_deep().is_complete
    assert world.compare().quarantined == (KEY,)


def test_what_is_quarantined_is_not_tried_again_until_it_changes(world: IngestSite) -> None:
    world.objects.put(KEY, b"no picture at all")
    first = world.ingest(KEY)
    world.store.calls.clear()
    assert world.ingest(KEY) == first
    assert {name for name, _ in world.store.calls} == {"stat"}
    world.put(KEY, flat())
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    assert world.site.quarantine.get(KEY) is None
    assert world.compare_deep().is_complete


def test_quarantining_an_overwritten_scan_removes_what_it_was(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.ingest(KEY)
    world.objects.put(KEY, b"broken")
    assert fault_of(world.ingest(KEY)[KEY]) == "not an image"
    assert world.collection.record(KEY) is None
    assert world.collection.stored_generations() == {}
    assert world.pictures() == []
    world.objects.delete(KEY)
    assert world.ingest(KEY) == {KEY: Removed(object_key=KEY)}
    assert world.site.quarantine.get(KEY) is None


def test_contradictory_metadata_refuses_its_scan_until_it_is_corrected(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.put(OTHER, flat())
    world.put_table(f"object_key,porosity\n{KEY},0.1\n{KEY},0.2\n")
    outcomes = world.ingest(KEY, OTHER)
    assert fault_of(outcomes[KEY]) == "metadata"
    assert isinstance(outcomes[OTHER], Indexed)
    assert world.ingest(KEY) == {KEY: outcomes[KEY]}
    world.put_table(f"object_key,porosity\n{KEY},0.1\n")
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    assert world.compare_deep().is_complete


def test_what_is_indexed_keeps_its_metadata_while_the_new_is_wrong(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.put_table(f"object_key,porosity\n{KEY},0.1\n")
    world.ingest(KEY)
    for text in (f"object_key,porosity\n{KEY},0.1\n{KEY},0.2\n", "object_key,porosity\nx,7 %%\n"):
        world.put_table(text)
        world.put(OTHER, flat(1, 2, 3))
        assert isinstance(world.ingest(KEY)[KEY], Deferred)
        ((row, _),) = world.collection.slices(KEY)
        assert row.numbers["porosity"] == 0.1
    assert isinstance(world.ingest(OTHER)[OTHER], Deferred)  # a broken table may be about it
    assert world.site.quarantine.get(OTHER) is None
    assert world.site.quarantine.get(KEY) is None


@pytest.mark.parametrize("key", ["scans/a.png", "scans/E1/a.png", "scans/E1/S1/%FF.png"])
def test_keys_that_are_no_scans_are_refused_not_guessed_at(world: IngestSite, key: str) -> None:
    world.put(key, flat())
    assert fault_of(world.ingest(key)[key]) == "bad key"
    assert world.compare().quarantined == (key,)
    assert world.compare_deep().is_complete


def test_a_name_that_is_no_unicode_is_refused_and_harms_no_other(world: IngestSite) -> None:
    former = world.put("scans/E1/S1/former.png", flat(1, 2, 3))
    world.ingest(former)
    world.put(KEY, flat())
    world.objects.delete(former)
    folder = world.site.settings.bucket_folder / "scans/E1/S1"
    (folder / os.fsdecode(b"a\xfe.png")).write_bytes((folder / "a.png").read_bytes())
    key = os.fsdecode(b"scans/E1/S1/a\xfe.png")
    outcomes = {each.object_key: each for each in world.reconcile()}
    assert fault_of(outcomes[key]) == "bad key"
    assert outcomes[KEY] == Indexed(object_key=KEY, n_slices=1)
    assert outcomes[former] == Removed(object_key=former)
    assert world.compare().quarantined == (key,)
    assert world.compare_deep().is_complete
    (folder / os.fsdecode(b"a\xfe.png")).unlink()
    assert list(world.reconcile()) == []
    assert world.site.quarantine.get(key) is None


def test_a_name_that_the_index_does_not_take_refuses_its_scan_alone(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.put(OTHER, flat())
    world.put_table(f"object_key,note\n{KEY},{'x' * 70_000}\n")
    outcomes = world.ingest(KEY, OTHER)
    assert fault_of(outcomes[KEY]) == "index"
    assert isinstance(outcomes[OTHER], Indexed)
    assert world.compare_deep().is_complete


def test_a_scan_beyond_the_limit_is_not_fetched(world: IngestSite) -> None:
    world.objects.put(KEY, bytes(3 << 20))
    settings = world.site.settings.model_copy(update={"decode": DecodeSettings(download_mib=2)})
    world.site.settings = settings
    assert fault_of(world.ingest(KEY)[KEY]) == "too large"


def test_a_vector_that_is_not_finite_refuses_its_scan_alone(
    world: IngestSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(KEY, flat(200, 0, 0))
    world.put(OTHER, flat(10, 20, 30))

    def encode(batch: Tensor) -> Tensor:
        vectors = batch.float().mean(dim=(1, 2))
        return torch.where(vectors[:, :1] > 150, torch.nan, vectors)

    monkeypatch.setattr(world.encoder, "encode", encode)
    outcomes = world.ingest(KEY, OTHER)
    assert fault_of(outcomes[KEY]) == "not encoded"
    assert isinstance(outcomes[OTHER], Indexed)


def test_the_steps_have_their_order(world: IngestSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at, attempt counted, fetched; pictures before the commit; looked at again."""
    world.put(KEY, flat())
    world.store.calls.clear()
    indexed_at: list[int] = []
    commit = world.collection.commit

    def committed(scans: Iterable[IndexedScan]) -> None:
        indexed_at.append(len(world.store.calls))
        commit(scans)

    monkeypatch.setattr(world.collection, "commit", committed)
    world.ingest(KEY)
    names = [name for name, _ in world.store.calls]
    assert names == ["stat", "begin", "get", "clear", "put", "put", "stat", "clear"]
    assert indexed_at == [6]


def test_a_store_that_is_away_is_waited_for(world: IngestSite) -> None:
    world.put(KEY, flat())
    error = StoreAwayError("the store is away")
    for name in ("stat", "get", "put"):
        world.store.before[name] = times(2, error)
    assert isinstance(world.ingest(KEY)[KEY], Indexed)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("stat", StoreAwayError("away")),
        ("get", StoreAwayError("away")),
        ("put", StoreAwayError("away")),
        ("get", LocalFileError("full")),
    ],
)
def test_nothing_is_quarantined_for_what_no_scan_is_to_blame_for(
    world: IngestSite, name: str, error: Exception
) -> None:
    world.put(KEY, flat())
    world.store.before[name] = times(1000, error)
    with pytest.raises(type(error)):
        world.ingest(KEY)
    world.store.before.clear()
    assert world.site.quarantine.get(KEY) is None
    assert world.site.attempts.counts({KEY: world.objects.stat(KEY).etag}) == {KEY: 0}
    assert isinstance(world.ingest(KEY)[KEY], Indexed)
    assert world.compare_deep().is_complete


def test_an_object_that_the_store_refuses_is_quarantined(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.store.before["get"] = times(1000, StoreRefusedError("not yours"))
    assert fault_of(world.ingest(KEY)[KEY]) == "refused by the store"


class FlakyIndex(MemoryStore):
    """An index that is away for its next few writes."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        if self.failures:
            self.failures -= 1
            raise IndexUnavailableError("the index is away")
        super().upsert(table, rows)


@pytest.mark.parametrize("failures", [2, 10_000])
def test_an_index_that_is_away_is_waited_for(world: IngestSite, failures: int) -> None:
    index = FlakyIndex(failures)
    world.site.index = VectorIndex(index)
    world.context = world.context_for(world.site, world.encoder, pool=world.context.pool)
    world.put(KEY, flat())
    if failures == 2:
        assert isinstance(world.ingest(KEY)[KEY], Indexed)
        return
    with pytest.raises(IndexUnavailableError):
        world.ingest(KEY)
    assert world.site.quarantine.get(KEY) is None
    index.failures = 0
    assert isinstance(world.ingest(KEY)[KEY], Indexed)
    assert world.compare_deep().is_complete


@pytest.mark.parametrize("name", ["get", "put"])
def test_a_scan_that_is_overwritten_meanwhile_is_ingested_again(
    world: IngestSite, name: str
) -> None:
    world.put(KEY, flat(10, 20, 30))
    left = [2]

    def overwrite(_: str) -> None:
        if left[0]:
            left[0] -= 1
            world.store.before.clear()
            world.put(KEY, flat(60, 70, 80 + left[0]))
            world.store.before[name] = overwrite

    world.store.before[name] = overwrite
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    ((_, vector),) = world.collection.slices(KEY)
    assert vector == pytest.approx([61, 71, 81], abs=0.5)
    assert world.compare_deep().is_complete


def test_a_scan_that_is_removed_meanwhile_leaves_nothing(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.store.before["put"] = lambda _: world.objects.delete(KEY)
    assert world.ingest(KEY) == {KEY: Removed(object_key=KEY)}
    assert world.compare_deep().is_complete
    assert world.pictures() == []


def test_a_scan_that_keeps_changing_is_left_to_the_next_run(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.put(OTHER, flat())
    level = iter(range(1, 200))

    def overwrite(key: str) -> None:
        if key == KEY:
            world.store.before.clear()
            world.put(KEY, flat(next(level), 5, 6))
            world.store.before["get"] = overwrite

    world.store.before["get"] = overwrite
    outcomes = world.ingest(KEY, OTHER)
    assert isinstance(outcomes[KEY], Deferred)
    assert isinstance(outcomes[OTHER], Indexed)
    assert world.site.quarantine.get(KEY) is None


def test_a_scan_that_kills_its_worker_is_quarantined_after_three_deaths(world: IngestSite) -> None:
    world.put(KEY, flat())
    etags = {KEY: world.objects.stat(KEY).etag}
    for death in range(1, 4):
        assert world.site.attempts.begin(etags) == {KEY: death}
    (first,) = world.site.attempts.first_times(etags).values()
    outcome = world.ingest(KEY)[KEY]
    assert fault_of(outcome) == "crashed the worker"
    record = world.site.quarantine.get(KEY)
    assert record is not None
    assert record.attempts == 3
    assert record.first_attempt == first
    assert record.first_attempt < record.last_attempt
    world.put(KEY, flat(7, 8, 9))  # other content begins anew
    assert isinstance(world.ingest(KEY)[KEY], Indexed)


def test_a_refusal_ends_the_attempts_that_it_tells(world: IngestSite) -> None:
    """So whoever drops the record has the scan tried, and its deaths counted from one."""
    world.put(KEY, flat())
    etags = {KEY: world.objects.stat(KEY).etag}
    for _ in range(3):
        world.site.attempts.begin(etags)
    assert fault_of(world.ingest(KEY)[KEY]) == "crashed the worker"
    assert world.site.attempts.counts(etags) == {KEY: 0}
    world.site.quarantine.drop(KEY)
    assert isinstance(world.ingest(KEY)[KEY], Indexed)


def test_a_scan_that_is_refused_after_a_death_tells_its_first_attempt(world: IngestSite) -> None:
    world.objects.put(KEY, b"no image")
    etags = {KEY: world.objects.stat(KEY).etag}
    world.site.attempts.begin(etags)
    (first,) = world.site.attempts.first_times(etags).values()
    world.ingest(KEY)
    record = world.site.quarantine.get(KEY)
    assert record is not None
    assert (record.attempts, record.first_attempt) == (2, first)
    assert record.first_attempt < record.last_attempt


def test_what_a_worker_died_of_is_tried_alone_and_last(world: IngestSite) -> None:
    """Of what was in flight at a death, most is innocent, and must not share the next one."""
    keys = [world.put(f"scans/E1/S1/{number}.png", flat(number, 5, 9)) for number in range(6)]
    for key, deaths in ((keys[0], 2), (keys[1], 1), (keys[4], 1)):
        for _ in range(deaths):
            world.site.attempts.begin({key: world.objects.stat(key).etag})
    world.store.calls.clear()
    outcomes = world.ingest(*keys)
    assert {type(outcome) for outcome in outcomes.values()} == {Indexed}
    steps = [(name, key) for name, key in world.store.calls if name in ("begin", "clear")]
    begun = [key for name, key in steps if name == "begin"]
    assert sorted(begun[:3]) == sorted([keys[2], keys[3], keys[5]])
    assert begun[3:] == [keys[1], keys[4], keys[0]]
    for key in begun[3:]:
        before = steps[: steps.index(("begin", key))]
        in_flight = {each for name, each in before if name == "begin"}
        assert in_flight == {each for name, each in before if name == "clear"}


def test_attempts_that_are_given_up_are_forgotten(world: IngestSite) -> None:
    keys = [world.put(f"scans/E1/S1/{number}.png", flat(number, 5, 9)) for number in range(20)]
    outcomes = ingest_objects(keys, replace(world.context))
    next(outcomes)
    outcomes.close()
    etags = {key: world.objects.stat(key).etag for key in keys}
    assert set(world.site.attempts.counts(etags).values()) == {0}
    assert list((world.site.settings.home / "scratch").iterdir()) == []
    assert {type(outcome).__name__ for outcome in world.ingest(*keys).values()} <= {
        "Indexed",
        "Unchanged",
    }
    assert np.sum([record.n_slices for record in world.collection.records()]) == 20
