"""How far the index is behind and how fast it catches up, which models there are: for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from infra.model_versions import ModelRegistryError
from ingest_worker.models import open_target
from memory_site import index_scan, memory_site, put_scans, refuse
from search_ui.ingest_state import IngestMeter, retry
from search_ui.model_state import make_live, model_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site


class Clock:
    """Time that passes when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with memory_site(tmp_path / "home") as site:
        yield site


def publish(site: Site, folder: Path, *, seed: int = 0) -> ModelVersion:
    version = site.models.publish(made_bundle(folder / str(seed), seed=seed))
    open_target(site, version)
    return version


def test_without_a_model_everything_waits_and_the_remedy_is_told(site: Site) -> None:
    put_scans(site, "a", "b")
    found = IngestMeter(site).look()
    assert (found.model, found.scans, found.waiting) == (None, 2, 2)
    assert "lithoscope ingest" in found.problem


def test_what_waits_what_is_refused_and_how_long_it_will_take(site: Site, tmp_path: Path) -> None:
    clock = Clock()
    meter = IngestMeter(site, clock=clock)
    version = publish(site, tmp_path)
    keys = put_scans(site, *"abcdefgh")
    refuse(site, keys[0])
    first = meter.look()
    assert (first.scans, first.indexed, first.waiting) == (8, 0, 7)
    assert first.behind == {"missing": 7}
    assert [each.object_key for each in first.refused] == keys[:1]
    assert first.per_minute is None
    for key in keys[1:3]:
        index_scan(site, version, key=key)
    assert meter.look() == first, "asked again at once, nothing is looked at"
    clock.now += 30
    second = meter.look()
    assert (second.indexed, second.waiting) == (2, 5)
    assert second.per_minute == pytest.approx(4)
    assert second.seconds_left == pytest.approx(75)
    for key in keys[3:]:
        index_scan(site, version, key=key)
    clock.now += 30
    last = meter.look()
    assert (last.waiting, last.seconds_left, last.is_complete) == (0, None, True)


def test_what_is_tried_again_waits_again(site: Site, tmp_path: Path) -> None:
    publish(site, tmp_path)
    keys = put_scans(site, "a", "b")
    for key in keys:
        refuse(site, key)
    assert len(IngestMeter(site).look().refused) == 2
    assert retry(site, [keys[0], keys[0]]) == 1
    found = IngestMeter(site).look()
    assert [each.object_key for each in found.refused] == keys[1:]
    assert found.behind == {"missing": 1}


def test_the_models_and_which_was_live_when(site: Site, tmp_path: Path) -> None:
    assert model_state(site).entries == ()
    first, second = (publish(site, tmp_path, seed=seed) for seed in range(2))
    index_scan(site, first, key=put_scans(site, "a")[0])
    found = model_state(site)
    assert found.live == first
    assert [each.version for each in found.entries] == [second, first]
    assert [each.scans for each in found.entries] == [0, 1]
    assert found.former is None
    assert make_live(site, second, expected=first.bundle_id) is False
    found = model_state(site)
    assert (found.live, found.former) == (second, first)
    assert [each.model for each in found.history] == [second.bundle_id, first.bundle_id]


def test_nobody_switches_from_another_model_than_they_saw(site: Site, tmp_path: Path) -> None:
    first, second = (publish(site, tmp_path, seed=seed) for seed in range(2))
    with pytest.raises(ModelRegistryError, match="choose again"):
        make_live(site, second, expected=second.bundle_id)
    unused = site.models.publish(made_bundle(tmp_path / "third", seed=3))
    with pytest.raises(ModelRegistryError, match="reindex"):
        make_live(site, unused, expected=first.bundle_id)
    assert model_state(site).live == first
