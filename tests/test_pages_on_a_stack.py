"""The library and model pages beside workers: on a real broker, whose content is known."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from bundle_samples import made_bundle
from infra.broker import open_broker
from infra.quarantine import ENCODER_FAULT
from infra.rollout import current_rollout
from infra.sweep_notes import SweepNotes
from infra.task_names import MAINTENANCE
from infra.task_queue import TaskQueue
from ingest_worker.models import open_target
from memory_site import index_scan, memory_site, put_scans, refuse
from search_ui import resources
from search_ui.ingest_state import IngestMeter, retry
from search_ui.model_state import make_live
from stack_parts import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site
    from stack_parts import RedisServer

pytest_plugins = ("stack_parts", "two_models")


@pytest.fixture
def site(tmp_path: Path, broker: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("LITHOSCOPE_BROKER__URL", f"redis://127.0.0.1:{broker.port}/0")
    monkeypatch.setenv("LITHOSCOPE_BROKER__PASSWORD", PASSWORD)
    with memory_site(tmp_path / "home") as site, resources.serving(site):
        yield site


def page(name: str) -> AppTest:
    script = f"from search_ui.shell import render\nrender({name!r})\n"
    app = AppTest.from_string(script, default_timeout=60).run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    found = [*app.markdown, *app.caption, *app.warning, *app.error, *app.success]
    return "\n".join(each.value for each in found).replace("\\", "")


def fill(site: Site, live: ModelVersion) -> list[str]:
    """One scan is indexed, though not by another model; three wait, one is refused."""
    keys = put_scans(site, *"abcde")
    index_scan(site, live, key=keys[0])
    refuse(site, keys[4])
    refuse(site, keys[0], fault=ENCODER_FAULT, model="another")
    with TaskQueue(site.settings) as queue:
        queue.send(keys[1:4], collection=live.collection)
    with closing(open_broker(site.settings)) as client:
        counts = {"objects": 5, "slices": 3, "indexed": 1, "missing": 3, "quarantined": 1}
        SweepNotes(client).write(live.collection, counts)
    return keys


def test_what_workers_told_is_shown_without_listing_the_bucket(
    site: Site, models: list[ModelVersion]
) -> None:
    keys = fill(site, models[0])
    found = IngestMeter(site).look()
    assert (found.scans, found.indexed, found.waiting) == (5, 1, 3)
    assert [each.object_key for each in found.refused] == keys[4:]
    assert (found.behind, found.is_complete) == ({"missing": 3}, False)
    app = page("library")
    assert {each.label: each.value for each in app.metric}["Waiting"] == "3"
    told = text(app)
    assert "no worker runs" in told
    assert "encode: 3 scans in" in told
    assert "ago: 3 new." in told
    assert "Everything" not in told


def test_all_is_indexed_only_where_a_comparison_found_so(
    site: Site, models: list[ModelVersion]
) -> None:
    (key,) = put_scans(site, "a")
    index_scan(site, models[0], key=key)
    assert "Everything" not in text(page("library")), "nobody has compared yet"
    with closing(open_broker(site.settings)) as client:
        counts = {"objects": 1, "slices": 3, "indexed": 1, "missing": 0}
        SweepNotes(client).write(models[0].collection, counts)
    resources.meter().forget()
    assert "Everything that can be read is indexed" in text(page("library"))


def test_what_is_tried_again_is_looked_for_by_workers(
    site: Site, models: list[ModelVersion]
) -> None:
    keys = fill(site, models[0])
    with TaskQueue(site.settings) as queue:
        before = queue.waiting(MAINTENANCE).tasks
        assert retry(site, keys[4:]) == 1
        assert queue.waiting(MAINTENANCE).tasks == before + 1
    assert site.quarantine.get(keys[4]) is None


def test_workers_catch_up_a_model_that_was_made_live(
    site: Site, models: list[ModelVersion]
) -> None:
    first, second = models
    fill(site, first)
    assert make_live(site, second, expected=first.bundle_id)
    rollout = current_rollout(site.objects)
    assert rollout is not None
    assert rollout.model == second.bundle_id
    assert f"{second.bundle_id} is live, and is caught up in the background" in text(page("model"))


def test_a_broker_that_is_away_is_one_line(
    site: Site, models: list[ModelVersion], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del site, models
    monkeypatch.setenv("LITHOSCOPE_BROKER__URL", "redis://127.0.0.1:9/0")
    with memory_site(tmp_path / "other") as away, resources.serving(away):
        for seed in range(2):
            version = away.models.publish(made_bundle(tmp_path / f"o{seed}", seed=seed))
            open_target(away, version)
        told = text(page("library"))
        assert "127.0.0.1:9" in told
        assert "Traceback" not in told
