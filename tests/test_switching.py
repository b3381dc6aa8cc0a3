"""Switching models: at once, and told as what it is whatever fails around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from encoder.errors import LithoscopeError
from infra.commands.models import roll_back, use_model
from infra.indexing.memory import MemoryStore
from infra.settings import Settings
from infra.site import Site
from infra.store_errors import StoreAwayError, StoreRefusedError
from infra.vector_index import VectorIndex
from ingest_site import WatchedStore
from ingest_worker.commands.reindex import fill_what_came_since
from ingest_worker.models import open_target
from ingest_worker.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion


@pytest.fixture
def store(tmp_path: Path) -> WatchedStore:
    (tmp_path / "home" / "bucket").mkdir(parents=True)
    return WatchedStore(tmp_path / "home" / "bucket")


@pytest.fixture
def site(tmp_path: Path, store: WatchedStore) -> Iterator[Site]:
    with Site(Settings(home=tmp_path / "home"), store) as site:
        site.index = VectorIndex(MemoryStore())
        yield site


@pytest.fixture
def models(site: Site, tmp_path: Path) -> list[ModelVersion]:
    """Two, each with a collection; the first is live."""
    made = (made_bundle(tmp_path / str(seed), seed=seed) for seed in range(2))
    versions = [site.models.publish(folder) for folder in made]
    for version in versions:
        open_target(site, version)
    return versions


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
        fill_what_came_since(target, Tally())
