"""The library and model pages: each as it begins, empty, busy, wrong, and by role."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from bundle_samples import made_bundle
from ingest_worker.models import open_target
from memory_site import AwayStore, index_scan, memory_site, put_scans, refuse
from search_ui import resources
from ui_server import ROOT, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site

pytest_plugins = ("two_models",)

MAIN = ROOT / "search_ui" / "app" / "main.py"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "home" / "bucket").mkdir(parents=True)
    store = AwayStore(tmp_path / "home" / "bucket")
    with memory_site(tmp_path / "home", store) as site, resources.serving(site):
        yield site


def page(name: str) -> AppTest:
    """A page by itself, as the shell shows it."""
    script = f"from search_ui.shell import render\nrender({name!r})\n"
    return AppTest.from_string(script, default_timeout=SECONDS).run()


def text(app: AppTest) -> str:
    """All that a page says."""
    assert not app.exception
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    return "\n".join(str(each.value) for kind in kinds for each in getattr(app, kind))


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: str(each.value) for each in app.metric}


def png(seed: int = 0) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24), np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_an_empty_site_says_how_to_begin(site: Site) -> None:
    del site
    told = text(page("library"))
    assert "Nothing is indexed yet" in told
    assert "Nothing is here yet" in told
    assert "lithoscope ingest" in text(page("model"))


def test_what_is_indexed_what_waits_and_what_is_refused(
    site: Site, models: list[ModelVersion]
) -> None:
    keys = put_scans(site, "a", "b", "c")
    index_scan(site, models[0], key=keys[0])
    refuse(site, keys[1], reason="ends early; copy it again")
    app = page("library")
    assert metrics(app) | {"Scans": "1", "Slices": "3", "Indexed": "1", "Waiting": "1"} == metrics(
        app
    )
    assert "1 new" in text(app)
    assert "read: 1" in text(app)
    refused = next(each.value for each in app.dataframe if "Scan" in each.value)
    assert list(refused["Scan"]) == [keys[1]]
    assert list(refused["Why, and what helps"]) == ["ends early; copy it again"]
    app.button(key="retry").click().run()
    assert metrics(app)["Waiting"] == "2"
    assert site.quarantine.get(keys[1]) is None


def test_nothing_in_a_table_is_a_formula_to_who_saves_it(
    site: Site, models: list[ModelVersion]
) -> None:
    del models
    (key,) = put_scans(site, "a")
    refuse(site, key, reason='=HYPERLINK("http://example.org")')
    app = page("library")
    refused = next(each.value for each in app.dataframe if "Scan" in each.value)
    assert list(refused["Why, and what helps"]) == ['\'=HYPERLINK("http://example.org")']


def test_scans_are_added_with_what_is_known_of_them(site: Site, models: list[ModelVersion]) -> None:
    del models
    app = page("library")
    table = b"Image,Reservoir,Sample\na.png,E1,S1\n"
    app.file_uploader[0].set_value(
        [
            ("a.png", png(), "image/png"),
            ("b.png", b"none", "image/png"),
            ("metadata.csv", table, "text/csv"),
        ]
    )
    app.number_input[0].set_value(21.0)
    next(each for each in app.button if each.label == "Add to the library").click()
    told = text(app.run())
    assert r"a\.png** stored" in told
    assert r"b\.png** not taken" in told
    stat = site.objects.stat("scans/E1/S1/a.png")
    assert stat.user_metadata == {"porosity": "0.21"}
    assert metrics(app)["Waiting"] == "1"


@pytest.mark.parametrize("name", ["search", "library"])
def test_how_large_files_may_be_is_told_beside_the_uploader(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_UI__UPLOAD_MIB", "1500")
    with memory_site(tmp_path / "home") as site, resources.serving(site):
        version = site.models.publish(made_bundle(tmp_path / "model"))
        open_target(site, version)
        index_scan(site, version, key=put_scans(site, "a")[0])
        app = page(name)
        assert "at most 1,500 MB each" in text(app)
        assert "“413”" in app.file_uploader[0].help


def test_a_headerless_volume_is_added_as_the_form_says(
    site: Site, models: list[ModelVersion]
) -> None:
    del models
    app = page("library")
    app.file_uploader[0].set_value([("v.raw", bytes(range(240)) * 8, "")])
    for place, side in enumerate((2, 24, 40)):
        app.number_input(key=f"add_layout_side_{place}").set_value(side)
    add = next(each for each in app.button if each.label == "Add to the library")
    told = text(add.click().run())
    assert "no type of a voxel" in told
    app.selectbox(key="add_layout_type").select("uint8")
    add = next(each for each in app.button if each.label == "Add to the library")
    assert r"v\.raw** stored" in text(add.click().run())
    assert site.objects.stat("scans/_/_/v.raw").user_metadata["shape"] == "2,24,40"


def test_what_was_stored_before_the_store_went_away_is_told(
    site: Site, models: list[ModelVersion]
) -> None:
    del models
    assert isinstance(site.objects, AwayStore)
    app = page("library")
    files = [(f"{name}.png", png(seed), "image/png") for seed, name in enumerate("abc")]
    app.file_uploader[0].set_value(files)
    site.objects.stores_before_it_is_away = 1
    next(each for each in app.button if each.label == "Add to the library").click()
    told = text(app.run())
    assert r"a\.png** stored" in told
    assert "does not answer" in told
    assert r"b\.png" not in told


def test_numbers_that_can_not_be_right_are_one_line(site: Site, models: list[ModelVersion]) -> None:
    del models
    app = page("library")
    app.file_uploader[0].set_value([("a.png", png(), "image/png")])
    app.number_input[2].set_value(0.0)
    next(each for each in app.button if each.label == "Add to the library").click()
    (error,) = app.run().error
    assert "pixel" in error.value
    assert not list(site.objects.pages("scans/"))


def test_a_store_that_is_away_is_one_line_without_its_place(site: Site) -> None:
    assert isinstance(site.objects, AwayStore)
    site.objects.is_away = True
    for name in ("library", "model"):
        app = page(name)
        told = text(app)
        assert "does not answer" in told
        assert str(site.settings.home) not in told.replace("\\", "")


def test_the_model_and_those_before_it(site: Site, models: list[ModelVersion]) -> None:
    index_scan(site, models[0], key=put_scans(site, "a")[0])
    told = text(page("model"))
    for version in models:
        assert version.bundle_id.replace("-", r"\-") in told or version is models[1]
    assert "became live" in told


def test_nothing_is_switched_before_it_is_confirmed(site: Site, models: list[ModelVersion]) -> None:
    first, second = models
    site.models.switch(site.index, second)
    app = page("model")
    app.selectbox(key="other_model").set_value(first.bundle_id).run()
    for button in ("make_live", "roll_back"):
        app.button(key=button).click().run()
        assert second.bundle_id.replace("-", r"\-") in text(app)
        app.button(key="leave_model").click().run()
        assert site.index.live() == second.collection


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_others_may_not(tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHOSCOPE_UI__ANONYMOUS", role)
    with memory_site(tmp_path / "home") as site, resources.serving(site):
        for seed in range(2):
            version = site.models.publish(made_bundle(tmp_path / str(seed), seed=seed))
            open_target(site, version)
        (key,) = put_scans(site, "a")
        refuse(site, key)
        app = page("model")
        assert "for operators" in text(app)
        assert not app.button
        app = page("library")
        assert bool(app.file_uploader) is (role == "editor")
        labels = [each.label for each in app.button]
        assert ("Try all again" in labels) is (role == "editor")


@contextmanager
def now_a_viewer(site: Site) -> Iterator[None]:
    """As where somebody's login has lapsed, or their role was taken away."""
    before = site.settings
    ui = before.ui.model_copy(update={"anonymous": "viewer"})
    site.settings = before.model_copy(update={"ui": ui})
    yield
    site.settings = before


def test_a_role_is_asked_for_again_where_it_acts(site: Site, models: list[ModelVersion]) -> None:
    first, second = models
    site.models.switch(site.index, second)
    (key,) = put_scans(site, "a")
    refuse(site, key)
    model, library = page("model"), page("library")
    model.selectbox(key="other_model").set_value(first.bundle_id).run()
    model.button(key="make_live").click().run()
    with now_a_viewer(site):
        model.button(key="confirm_model").click().run()
        assert site.index.live() == second.collection
        library.button(key="retry").click().run()
        assert site.quarantine.get(key) is not None
        assert "this is for each editor" in text(library)


def test_rows_that_were_chosen_are_none_of_another_table(
    site: Site, models: list[ModelVersion]
) -> None:
    del models
    put_scans(site, "b", "c")

    def table() -> str:
        app = page("library")
        return next(each.proto.id for each in app.dataframe if "Scan" in each.value)

    refuse(site, "scans/E1/S1/c.png")
    before = table()
    assert table() == before
    resources.meter().forget()
    refuse(site, "scans/E1/S1/b.png")  # comes before it
    resources.meter().forget()
    assert table() != before


def test_the_whole_app_begins_with_the_search(site: Site, models: list[ModelVersion]) -> None:
    del site, models
    app = AppTest.from_file(MAIN, default_timeout=SECONDS).run()
    assert not app.exception
