"""Who visits the pages: by keyboard alone, two at once, and names that would do harm."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from browser_pages import Library, Visitor, grey, served, visiting
from search_site import texture
from search_ui.requests import FileQuery, Filters, ObjectQuery, SearchRequest
from ui_server import SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, FileChooser, Page

pytest_plugins = ("ui_server",)

SCRIPT, LINK, FORMULA = (
    "<img src=x onerror=alert(1)>",
    "**bold** [x](javascript:alert(1))",
    "=cmd()",
)
NAMES = (SCRIPT, LINK, FORMULA, "E1")
_FOCUSED = """() => {
    const it = document.activeElement;
    if (it.matches('main, body')) return '';  // it holds all the others
    return it.getAttribute('aria-label') || it.innerText || it.getAttribute('placeholder') || '';
}"""
_MOST_TABS = 120


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    images = {
        f"{reservoir}/{sample}/{name}.png": grey(10 * number + ord(name))
        for number, reservoir in enumerate(NAMES)
        for sample, name in (("S1", "a"), (SCRIPT, "b"))
    }
    measured = {f"{name}/S1": (0.1 + 0.05 * at, 10.0**at) for at, name in enumerate(NAMES)}
    with served(tmp_path_factory.mktemp("visitors"), images, measured=measured) as library:
        yield library


@pytest.fixture
def visitor(chromium: Browser, library: Library) -> Iterator[Visitor]:
    with visiting(chromium, library) as visitor:
        yield visitor


@pytest.fixture
def another(chromium: Browser, library: Library) -> Iterator[Visitor]:
    with visiting(chromium, library) as visitor:
        yield visitor


def test_two_at_once_never_see_each_others_query(visitor: Visitor, another: Visitor) -> None:
    library = visitor.library
    mine = library.file("mine-alone.png", grey(300))
    theirs = library.file("theirs-alone.tif", texture(301))
    for each in (visitor, another):
        each.open()
        each.page.locator(".st-key-begin").wait_for()
    visitor.upload(mine)
    another.upload(theirs)
    for each, file in ((visitor, mine), (another, theirs)):
        query = FileQuery(path=file, name=file.name)
        each.wait_for_answer()
        each.sees(library.service.search(SearchRequest(queries=(query,))).hits)
    visitor.say("exclude reservoir E1").said("not from reservoir E1")
    another.press("Mark in the plots")
    another.page.locator(".litho-marked").wait_for()
    visitor.sees_the_answer()
    for each, own, other in ((visitor, mine, theirs), (another, theirs, mine)):
        text = each.page.content()
        assert own.name in text
        assert other.name not in text
    assert another.chips() == []
    assert visitor.page.locator(".litho-marked").count() == 0
    for path in ("/", "/library"):
        another.open(path)
        another.page.get_by_role("heading").first.wait_for()
        another.settle()
        assert mine.name not in another.page.content()
        assert "not from reservoir" not in another.page.content()


def test_everything_is_reached_by_keyboard(visitor: Visitor) -> None:
    library, page = visitor.library, visitor.page
    visitor.open()
    page.locator(".st-key-begin").wait_for()
    visitor.settle()
    chosen: list[FileChooser] = []
    page.on("filechooser", lambda chooser: chosen.append(chooser))  # noqa: PLW0108  it wants Python

    def is_open() -> bool:
        tab_to(page, "pload")
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        return bool(chosen)

    until(is_open, SECONDS)
    chosen[0].set_files(library.file("by-keyboard.png", grey(302)))
    first = visitor.wait_for_answer().sees_the_answer().hits[0]
    tab_to(page, "Filter in your own words")
    page.keyboard.type("not from E1")
    page.keyboard.press("Enter")
    visitor.said("not from reservoir E1")
    first = visitor.sees_the_answer().hits[0]
    tab_to(page, "Open hit 1:")
    page.keyboard.press("Enter")
    text = visitor.dialog().inner_text()
    assert f"{first.row.reservoir} · {first.row.sample}" in text
    tab_to(page, "More like this")
    assert page.evaluate("document.activeElement.closest('[role=dialog]') !== null")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    tab_to(page, "not from reservoir E1")
    page.keyboard.press("Enter")
    page.locator(".st-key-chips").wait_for(state="detached")
    visitor.sees_the_answer()


def tab_to(page: Page, label: str) -> None:
    """Press Tab until what is focused says this."""
    seen: list[str] = []
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(_FOCUSED))
        if label in seen[-1]:
            return
    raise AssertionError((label, seen))


def test_names_stay_text_wherever_they_are_shown(visitor: Visitor, another: Visitor) -> None:
    page = visitor.page
    visitor.look_for("scans/E1/S1/a.png")
    result = visitor.sees_the_answer()
    assert {hit.row.reservoir for hit in result.hits} == set(NAMES)
    visitor.show("Three rows")
    page.locator(".st-key-gallery_other_reservoirs").wait_for()
    visitor.sees_the_answer()
    visitor.show("Best matches")
    page.locator(".st-key-gallery_best").wait_for()
    harmless(page)
    for name in (SCRIPT, LINK):
        number = next(it.rank for it in result.hits if it.row.reservoir == name)
        visitor.press(f"Open hit {number}:")
        dialog = visitor.dialog()
        assert f"{name} · " in dialog.inner_text()
        dialog.locator("image").last.wait_for()
        harmless(page)
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
    visitor.press(f"Exclude reservoir {SCRIPT}")
    visitor.finds(lambda: [SCRIPT in each for each in visitor.chips()], [True])
    left = visitor.sees_the_answer()
    assert {hit.row.reservoir for hit in left.hits} == {LINK, FORMULA, "E1"}
    harmless(page)
    another.page.goto(visitor.link())
    another.wait_for_answer().sees(left.hits)
    harmless(another.page)


def test_names_do_no_harm_in_what_is_taken_along(visitor: Visitor) -> None:
    filters = Filters(only_reservoirs=(SCRIPT, LINK, FORMULA))
    query = ObjectQuery(object_key="scans/E1/S1/a.png")
    result = visitor.ask(SearchRequest(queries=(query,), filters=filters)).sees_the_answer()
    table = io.StringIO(visitor.download("Table (CSV)").decode())
    found = [row["reservoir"] for row in csv.DictReader(table)]
    assert found == [
        f"'{FORMULA}" if hit.row.reservoir == FORMULA else hit.row.reservoir for hit in result.hits
    ]
    assert visitor.download("Pictures (PNG)")
    report = visitor.library.folder / "hostile.html"
    report.write_bytes(visitor.download("Report (HTML, one page)"))
    visitor.page.goto(report.as_uri())
    text = visitor.page.locator("body").inner_text()
    assert all(name in text for name in (SCRIPT, LINK, FORMULA))
    harmless(visitor.page)


def test_names_stay_text_on_the_library_page(visitor: Visitor) -> None:
    visitor.open("/library")
    visitor.page.get_by_role("heading", name="Library").wait_for()
    # Tables are drawn; the names are in the page for those who can't see them.
    cells = visitor.page.locator("canvas [role=gridcell]")
    cells.get_by_text(LINK, exact=True).first.wait_for(state="attached")
    visitor.settle()
    harmless(visitor.page)
    visitor.open("/")
    visitor.page.get_by_text(f"{LINK} · S1").first.wait_for()
    harmless(visitor.page)


def harmless(page: Page) -> None:
    """No name became part of the page."""
    assert page.locator("img[src=x], [onerror], a[href^='javascript']").count() == 0
    assert page.get_by_text("bold", exact=True).count() == 0
