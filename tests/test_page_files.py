"""Files on the search page that need more to be said of them, or tell more than their bytes do."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from search_site import SearchSite, texture
from search_ui import resources
from ui_server import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["search_site"]


@pytest.fixture
def app(search_site: SearchSite) -> Iterator[AppTest]:
    with resources.serving(search_site.site):
        script = "from search_ui.shell import render\nrender('search')\n"
        yield AppTest.from_string(script, default_timeout=SECONDS).run()


def upload(app: AppTest, **files: bytes) -> None:
    told = [(name.replace("__", "."), content, "") for name, content in files.items()]
    app.file_uploader[0].set_value(told).run()
    assert not app.exception


def press(app: AppTest, label: str) -> None:
    next(each for each in app.button if each.label == label).click().run()
    assert not app.exception


def queries(app: AppTest) -> list[str]:
    """What is looked for, as the page shows it."""
    bodies = [each.proto.body for each in app.get("html")]
    return [body for body in bodies if 'class="litho-query-pic"' in body]


def errors(app: AppTest) -> list[str]:
    return [each.value.replace("\\", "") for each in app.error]


def hdf5(*names: str, seed: int = 1) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for number, name in enumerate(names):
            planes = [texture(seed + 10 * number + plane) for plane in range(4)]
            file[name] = np.stack(planes)
    return content.getvalue()


def test_the_scale_bar_of_an_upload_is_that_of_the_indexed_scan_that_it_is(
    app: AppTest, search_site: SearchSite
) -> None:
    upload(app, mine__png=(search_site.rocks / "E1/S2/a.png").read_bytes())
    (shown,) = queries(app)
    assert 'class="litho-bar">50 µm' in shown
    (size,) = (each for each in app.number_input if each.label == "Pixel size in µm")
    size.set_value(100.0)
    press(app, "Use it")
    (shown,) = queries(app)
    assert 'class="litho-bar">2 mm' in shown


def test_a_dataset_is_chosen_of_a_file_that_holds_several(app: AppTest) -> None:
    hostile = "wet **x** <b>"
    upload(app, two__h5=hdf5("dry", hostile), lone__h5=hdf5("ct"), too__h5=hdf5("one", "two"))
    for name, offered, chosen in (
        ("two.h5", ["dry", hostile], hostile),
        ("too.h5", ["one", "two"], "one"),
    ):
        (error,) = errors(app)
        assert error.startswith(f"{name}: it holds 2 datasets of 3 axes: ")
        assert any(
            f"Which dataset of {name}" in each.value.replace("\\", "") for each in app.markdown
        )
        (choice,) = (each for each in app.selectbox if each.label == "Dataset")
        assert choice.options == offered
        choice.select(chosen)
        press(app, "Look for this dataset")
    assert not app.error
    assert not any("Which dataset" in each.value for each in app.markdown)
    for name, shown in zip(("two.h5", "lone.h5", "too.h5"), queries(app), strict=True):
        assert f"{name} · 4 slices" in shown
        assert "no picture" not in shown
