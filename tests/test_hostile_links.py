"""Links that were made up: what they say is text, and what can't be is told in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from search_site import SearchSite, search_site
from search_ui import resources
from ui_server import ROOT, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["search_site"]
MAIN = ROOT / "search_ui" / "app" / "main.py"
QUERY = {"v": "1", "q": "scans/E1/S1/b.png"}
PICTURE = "**Log in again** [here](http://evil/) ![x](http://evil/b.png) :red[now]"


@pytest.fixture(autouse=True)
def service(search_site: SearchSite) -> Iterator[None]:
    with resources.serving(search_site.site):
        yield


def opened(**params: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=SECONDS)
    for name, value in {**QUERY, **params}.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def test_a_modality_that_is_none_is_left_out_and_told_as_text() -> None:
    app = opened(modality=f"micro_ct,{PICTURE}")
    labels = [option.content for pills in app.get("button_group") for option in pills.proto.options]
    assert labels
    assert not any("evil" in label or "*" in label for label in labels)
    told = "\n".join(str(each.value) for each in (*app.warning, *app.info, *app.caption))
    assert "Modality" in told
    assert "is not indexed any more" in told
    assert "![x](http" not in told


@pytest.mark.parametrize("size", ["1e308", "5e-324", "-1", "0"])
def test_pixel_sizes_that_no_picture_has_are_told_in_a_line(size: str) -> None:
    app = opened(**{"q2.slice": "0", "u2": "0" * 32, "u2.pixel_size_um": size})
    (error,) = app.error
    assert "expected a pixel size from" in error.value.replace("\\", "")
