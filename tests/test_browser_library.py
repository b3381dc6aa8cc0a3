"""A scan that is added on the library page, and found by a search: all of it in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from browser_pages import MEASURED, Library, Visitor, grey, served, usual_images, visiting
from search_site import texture
from search_ui.requests import FileQuery, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytest_plugins = ("ui_server",)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder, words = tmp_path_factory.mktemp("added"), ("up", "--no-browser")
    with served(folder, usual_images(), *words, measured=MEASURED) as library:
        yield library


@pytest.fixture
def visitor(chromium: Browser, library: Library) -> Iterator[Visitor]:
    with visiting(chromium, library) as visitor:
        yield visitor


def test_a_scan_is_added_with_what_is_known_and_then_found(visitor: Visitor) -> None:
    library = visitor.library
    added = library.file("added.tif", texture(700))
    add(visitor, added, Reservoir="New field", Sample="Plug 7", numbers=(33.0, 1234.0, 2.5))
    visitor.finds(lambda: bool(library.service.library.overview().find("added")))
    (scan,) = library.service.library.overview().find("added")
    assert (scan.reservoir, scan.sample) == ("New field", "Plug 7")
    visitor.open().upload(library.file("like it.png", grey(701))).wait_for_answer()
    visitor.say('only reservoir "New field"')
    visitor.said('only reservoir "New field"')
    (hit,) = visitor.sees_the_answer().hits
    assert hit.row.object_key == scan.object_key
    ((_, text),) = visitor.cards()
    assert "New field · Plug 7" in text
    assert "Porosity 33 %" in text
    assert "Permeability 1,234 mD" in text
    visitor.press("Open hit 1:")
    assert "2.5 µm" in visitor.dialog().inner_text()


def test_what_was_added_is_picked_by_its_name_and_is_not_its_own_analog(visitor: Visitor) -> None:
    library, page = visitor.library, visitor.page
    twin = library.file("twin.tif", texture(702))
    add(visitor, twin, Reservoir="E1", Sample="S1", numbers=(None, None, None))
    visitor.finds(lambda: bool(library.service.library.overview().find("twin")))
    visitor.open()
    page.get_by_label("Find a scan by name, reservoir or sample").fill("twin")
    visitor.press("Look for twin.tif of E1")
    result = visitor.wait_for_answer().sees_the_answer()
    assert ("E1", "S1") not in {(hit.row.reservoir, hit.row.sample) for hit in result.hits}
    visitor.open().upload(twin).wait_for_answer()
    query = FileQuery(path=twin, name=twin.name)
    again = library.service.search(SearchRequest(queries=(query,)))
    visitor.sees(again.hits)
    assert [hit.row for hit in again.hits] == [hit.row for hit in result.hits]


def add(
    visitor: Visitor,
    *files: Path,
    numbers: tuple[float | None, float | None, float | None],
    **names: str,
) -> None:
    """Fill the form in and send it."""
    page = visitor.open("/library").page
    page.get_by_role("tab", name="Add scans").click()
    page.locator("input[type=file]").first.set_input_files(files)
    for label, name in names.items():
        visitor.field(label).fill(name)
        visitor.field(label).press("Enter")
    labels = ("Porosity in %", "Permeability in mD", "Pixel size in µm")
    for label, value in zip(labels, numbers, strict=True):
        if value is not None:
            visitor.field(label).fill(str(value))
    visitor.press("Add to the library")
    for file in files:
        page.get_by_text(f"{file.name} stored").wait_for()
