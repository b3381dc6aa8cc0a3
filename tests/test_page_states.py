"""Every page where something is not as it should be: empty, away, damaged, busy. One line each."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from index_contract import CrashError, Crashing
from infra.quarantine import QUARANTINE_PREFIX
from infra.rollout import ROLLOUT_KEY, begin_rollout
from infra.settings import Settings
from infra.settings_groups import IndexSettings
from infra.site import Site
from infra.vector_index import VectorIndex
from memory_site import AwayStore, index_scan, memory_site, put_scans
from search_ui import resources
from search_ui.shell import PAGES
from search_world import make_scan, open_world
from ui_server import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion

pytest_plugins = ("two_models",)

GONE = "http://127.0.0.1:9"
"""Where nobody listens."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "home" / "bucket").mkdir(parents=True)
    store = AwayStore(tmp_path / "home" / "bucket")
    with memory_site(tmp_path / "home", store) as site, resources.serving(site):
        yield site


def page(name: str) -> AppTest:
    script = f"from search_ui.shell import render\nrender({name!r})\n"
    return AppTest.from_string(script, default_timeout=SECONDS).run()


def text(app: AppTest) -> str:
    """All that a page says, as people read it."""
    assert not app.exception
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    said = "\n".join(str(each.value) for kind in kinds for each in getattr(app, kind))
    return said.replace("\\", "")


def png() -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24), np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("name", PAGES)
def test_an_index_that_is_away_is_one_line(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    settings = Settings(home=home, index=IndexSettings(address=GONE))
    with Site(settings, AwayStore(home / "bucket")) as away, resources.serving(away):
        app = page(name)
    (error,) = app.error
    assert "does not answer" in error.value
    assert "Traceback" not in text(app)
    assert str(home) not in text(app)


@pytest.mark.parametrize(("name", "told"), [("search", "Nothing"), ("library", "Nothing")])
def test_a_model_that_has_indexed_nothing_yet_says_how_to_begin(
    site: Site, models: list[ModelVersion], name: str, told: str
) -> None:
    del site, models
    assert f"{told} is indexed yet" in text(page(name))


def test_an_upload_while_the_store_is_away_is_one_line(
    site: Site, models: list[ModelVersion]
) -> None:
    index_scan(site, models[0], key=put_scans(site, "a")[0])
    assert isinstance(site.objects, AwayStore)
    app = page("search")
    assert "What is this rock like" in text(app)
    site.objects.stores_before_it_is_away = 0
    app.file_uploader[0].set_value([("a.png", png(), "image/png")]).run()
    (error,) = app.error
    assert "does not answer" in error.value
    assert str(site.settings.home) not in text(app)
    assert "What is this rock like" in text(app), "and the page is there as before"
    site.objects.stores_before_it_is_away = 99
    app.file_uploader[0].set_value([("b.png", png(), "image/png")]).run()
    assert "does not answer" not in text(app)


def test_a_model_whose_record_is_damaged_is_told_and_the_index_still_answers(
    site: Site, models: list[ModelVersion]
) -> None:
    keys = put_scans(site, "a", "b")
    for key in keys:
        index_scan(site, models[0], key=key)
    live = models[0]
    site.objects.put(f"models/{live.encoder}/{live.version}/model.json", b"{")
    app = page("model")
    assert "model.json" in text(app)
    assert [each["Model"] for each in app.dataframe[0].value.to_dict("records")] == [
        models[1].bundle_id
    ]
    app = page("search")
    app.file_uploader[0].set_value([("a.png", png(), "image/png")]).run()
    assert [each.value for each in app.error]
    assert "model.json" in text(app)
    assert "Traceback" not in text(app)
    app = page("search")
    next(each for each in app.button if each.label.startswith("Look for a")).click().run()
    assert [each.value for each in app.error] == []
    assert "1 hit" in text(app) or "hits" in text(app)
    assert "Nothing is indexed yet" not in text(page("library"))


def test_a_scan_whose_refusal_can_not_be_read_waits_to_be_tried_again(
    site: Site, models: list[ModelVersion]
) -> None:
    del models
    (key,) = put_scans(site, "a")
    site.objects.put(f"{QUARANTINE_PREFIX}{key}.json", b"{")
    app = page("library")
    assert {each.label: each.value for each in app.metric}["Waiting"] == "1"
    assert "1 new" in text(app)
    assert not app.error


def test_a_model_that_is_being_filled_is_shown_with_how_far_it_is(
    site: Site, models: list[ModelVersion]
) -> None:
    keys = put_scans(site, *"abcd")
    for key in keys:
        index_scan(site, models[0], key=key)
    begin_rollout(site, models[1])
    index_scan(site, models[1], key=keys[0])
    app = page("model")
    assert f"{models[1].bundle_id} is filled in the background: 1 of 4 scans" in text(app)
    assert [each.proto.value for each in app.get("progress")] == [25]
    site.objects.put(ROLLOUT_KEY, b"{")
    assert "filled in the background" not in text(page("model"))


def test_what_waits_is_shown_as_a_share(site: Site, models: list[ModelVersion]) -> None:
    keys = put_scans(site, *"abcd")
    index_scan(site, models[0], key=keys[0])
    app = page("library")
    assert [each.proto.value for each in app.get("progress")] == [25]
    assert "3 new" in text(app)


def test_an_answer_while_scans_are_written_says_so(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    world.add(*(make_scan(f"scans/E/S/{name}", reservoir="E", sample=name) for name in "ab"))
    half = make_scan("scans/E/S/c", reservoir="E", sample="c", n=3)
    crashing: Any = Crashing(world.site.index.store, 1)
    with world.site, resources.serving(world.site):
        with pytest.raises(CrashError):
            VectorIndex(crashing).open(world.collection.name).commit([half])
        app = page("search")
        next(each for each in app.button if each.label.startswith("Look for")).click().run()
        assert "scans are being written" in text(app).casefold()
        assert not app.error
