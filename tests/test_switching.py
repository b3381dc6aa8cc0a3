"""Switching models: at once, and told as what it is whatever fails around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from encoder.errors import LithoscopeError
from infra.bucket_metadata import BucketMetadata
from infra.commands.models import roll_back, use_model
from infra.readiness import readiness
from infra.rollout import begin_rollout, current_rollout
from infra.store_errors import StoreAwayError, StoreRefusedError
from ingest_site import WatchedStore
from ingest_worker.commands.reindex import fill_what_came_since, tell_filling
from ingest_worker.commands.report import Report
from ingest_worker.models import open_target
from ingest_worker.reindex import Filling
from ingest_worker.tally import Tally
from memory_site import index_scan, memory_site, put_scans, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site

pytest_plugins = ("two_models",)


@pytest.fixture
def store(tmp_path: Path) -> WatchedStore:
    (tmp_path / "home" / "bucket").mkdir(parents=True)
    return WatchedStore(tmp_path / "home" / "bucket")


@pytest.fixture
def site(tmp_path: Path, store: WatchedStore) -> Iterator[Site]:
    with memory_site(tmp_path / "home", store) as site:
        yield site


def test_a_switch_that_can_not_be_noted_is_a_switch(
    site: Site,
    store: WatchedStore,
    models: list[ModelVersion],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fill_up(key: str) -> None:
        raise StoreRefusedError(f"{key}: disk full; make room")

    store.before["put"] = fill_up
    site.models.switch(site.index, models[1])
    assert site.index.live() == models[1].collection
    assert f"{models[1].bundle_id} is live, but that can't be noted" in caplog.text
    assert "disk full" in caplog.text


@pytest.mark.parametrize("way", ["rollback", "use --now"])
def test_going_back_waits_for_no_comparison(
    site: Site,
    store: WatchedStore,
    models: list[ModelVersion],
    capsys: pytest.CaptureFixture[str],
    way: str,
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    store.put("metadata/t.csv", b"object_key,porosity\n")

    def fall_silent(key: str) -> None:
        if key.startswith("metadata/"):
            raise StoreAwayError(f"{key}: the store does not answer; try again later")

    store.before["get"] = store.before["stat"] = fall_silent
    if way == "rollback":
        roll_back(site)
    else:
        assert use_model(site, first.bundle_id, now=True) == 0
    assert site.index.live() == first.collection
    told = capsys.readouterr()
    assert told.out == f"{first.bundle_id} is live\n"
    assert "note: how far behind it is can't be told: metadata/t.csv: the store" in told.err


def test_what_fails_after_a_switch_says_that_there_was_one(
    site: Site, store: WatchedStore, models: list[ModelVersion]
) -> None:
    store.put("scans/E1/S1/a.png", b"came since")
    target = open_target(site, models[0])
    told = rf"{models[0].bundle_id} is live, but what came since .*`lithoscope reconcile`"
    with pytest.raises(LithoscopeError, match=told):  # this bundle's network can't be built
        fill_what_came_since(target, Tally(), lost={})


def test_using_a_model_protects_what_reindexing_protects(
    site: Site, models: list[ModelVersion], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = models
    (key,) = put_scans(site, "a")
    index_scan(site, first, key=key)
    refuse(site, key)
    target = open_target(site, second)
    assert target.compare(BucketMetadata.read(site.objects)).is_complete  # as far as that goes
    assert use_model(site, second.bundle_id, now=False) == 1
    assert site.index.live() == first.collection
    told = capsys.readouterr().err
    assert f"refused 1 scan that the live model has, such as {key} (truncated: ends early" in told
    assert use_model(site, second.bundle_id, now=True) == 0


def test_a_model_is_used_whose_scans_have_former_metadata(
    site: Site, store: WatchedStore, models: list[ModelVersion]
) -> None:
    (key,) = put_scans(site, "a")
    for version in models:
        index_scan(site, version, key=key)
    rows = f"{key},0.1\n{key},0.2\n"
    store.put("metadata/t.csv", f"object_key,porosity\n{rows}".encode())
    assert use_model(site, models[1].bundle_id, now=False) == 0
    assert site.index.live() == models[1].collection


def test_a_model_that_is_named_is_not_replaced_by_what_was_being_filled(
    site: Site, models: list[ModelVersion], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = models
    begin_rollout(site, second)
    site.models.switch(site.index, second)
    begin_rollout(site, second)
    assert use_model(site, first.bundle_id, now=False) == 0
    assert current_rollout(site.objects) is None
    assert f"{second.bundle_id} is not filled any more" in capsys.readouterr().out


def test_a_rollback_beside_a_stack_gives_up_what_that_was_filling(
    site: Site, models: list[ModelVersion]
) -> None:
    first, second = models
    site.models.switch(site.index, second)
    begin_rollout(site, second)
    roll_back(site)  # where no broker is set
    assert site.index.live() == first.collection
    assert current_rollout(site.objects) is None


def test_to_stay_with_the_live_model_gives_up_what_was_being_filled(
    site: Site, models: list[ModelVersion], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = models
    begun = begin_rollout(site, first)
    assert use_model(site, first.bundle_id, now=False) == 0
    assert current_rollout(site.objects) == begun, "that catches it up"
    begin_rollout(site, second)
    assert use_model(site, first.bundle_id, now=False) == 0
    assert current_rollout(site.objects) is None
    assert f"{second.bundle_id} is not filled any more" in capsys.readouterr().out


@pytest.mark.parametrize("is_live", [True, False])
def test_what_a_model_misses_is_told_by_key_live_or_not(
    site: Site, models: list[ModelVersion], capsys: pytest.CaptureFixture[str], *, is_live: bool
) -> None:
    (key,) = put_scans(site, "a")
    target = open_target(site, models[0 if is_live else 1])
    metadata = BucketMetadata.read(site.objects)
    ready = readiness(site, target.compare(metadata), collection=target.collection.name)
    filling = Filling(metadata=metadata, readiness=ready, rounds=1)
    tell_filling(target, filling, report=Report("reindex", as_json=False), tally=Tally())
    told = capsys.readouterr()
    assert f"{key}: missing" in told.err
    assert ("is live, but 1 scan can't be found" in told.err) == is_live
    assert ("not switched: 1 scan" in told.err) != is_live
    assert "`lithoscope models use" not in told.out
