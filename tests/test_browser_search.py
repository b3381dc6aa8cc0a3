"""A search in a real browser, from an upload to what is taken along, as its visitor sees it."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from browser_pages import (
    MEASURED,
    PLANES,
    Library,
    Visitor,
    grey,
    served,
    usual_images,
    visiting,
    volume,
)
from infra.pictures import preview_key
from search_site import texture
from search_ui.requests import FileQuery, Filters, ObjectQuery, PropertyRange, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, Locator

    from infra.indexing.records import SliceRow

pytest_plugins = ("ui_server",)

QUERY = ObjectQuery(object_key="scans/E1/S1/a.png")
VOLUME = "scans/E2/S3/volume.tif"
WITHOUT_E2 = SearchRequest(queries=(QUERY,), filters=Filters(exclude_reservoirs=("E2",)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with served(tmp_path_factory.mktemp("search"), usual_images(), measured=MEASURED) as library:
        yield library


@pytest.fixture
def visitor(chromium: Browser, library: Library) -> Iterator[Visitor]:
    with visiting(chromium, library) as visitor:
        yield visitor


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("grey.png", grey(77)), ("sixteen-bit.tif", texture(78)), ("stack.tif", volume(900))],
)
def test_an_upload_is_answered_as_in_python(
    visitor: Visitor, name: str, pixels: NDArray[np.generic]
) -> None:
    file = visitor.library.file(name, pixels)
    visitor.open().upload(file).wait_for_answer()
    asked = SearchRequest(queries=(FileQuery(path=file, name=name),))
    visitor.sees(visitor.library.service.search(asked).hits)
    assert name in visitor.page.locator(".st-key-head").inner_text()
    visitor.page.get_by_text(re.compile(rf"^{name}: its sample is not known")).wait_for()


def test_one_visit_from_an_upload_to_a_link_in_another_browser(
    visitor: Visitor, chromium: Browser
) -> None:
    library = visitor.library
    visitor.open().upload(library.file("mine.tif", texture(79))).wait_for_answer()
    assert {hit.row.reservoir for hit in visitor.sees_the_answer().hits} == {"E1", "E2", "E3"}
    leave_out(visitor, "E3")
    visitor.said("not from reservoir E3")
    visitor.say("exclude reservoir E2").said("not from reservoir E3", "not from reservoir E2")
    left = visitor.sees_the_answer()
    assert {hit.row.reservoir for hit in left.hits} == {"E1"}
    visitor.press("Open hit 1:")
    assert f"E1 · {left.hits[0].row.sample}" in visitor.dialog().inner_text()
    visitor.page.keyboard.press("Escape")
    visitor.page.get_by_role("dialog").wait_for(state="detached")
    link = visitor.link()
    assert library.request(link) == library.request(visitor.address())
    with visiting(chromium, library) as other:
        other.page.goto(link)
        other.wait_for_answer().sees(left.hits)
        other.said("not from reservoir E3", "not from reservoir E2")
        said = other.page.locator("[data-testid=stAlert]").all_inner_texts()
        own = "its sample is not known"
        assert [text for text in said if own not in text] == [], "nothing has changed"
        rows = rows_of(other.download("Table (CSV)"))
        assert {row["reservoir"] for row in rows} == {"E1"}


def leave_out(visitor: Visitor, reservoir: str) -> None:
    """Choose a reservoir in the side bar."""
    visitor.field("Without reservoirs").click()
    visitor.page.get_by_role("option", name=reservoir).click()


@pytest.mark.parametrize("way", ["words", "click"])
def test_a_reservoir_that_is_excluded_is_not_shown(visitor: Visitor, way: str) -> None:
    visitor.look_for(QUERY.object_key).sees_the_answer()
    assert [text for _, text in visitor.cards() if "E2 ·" in text]
    if way == "words":
        visitor.say("exclude reservoir E2")
    else:
        leave_out(visitor, "E2")
    visitor.said("not from reservoir E2")
    visitor.sees(visitor.library.service.search(WITHOUT_E2).hits)
    texts = [text for _, text in visitor.cards()]
    assert texts
    assert not [text for text in texts if "E2 ·" in text]
    assert "reservoir E2" in visitor.page.locator(".litho-funnel").inner_text()


def test_what_is_said_while_the_page_is_busy_counts(visitor: Visitor) -> None:
    visitor.look_for(QUERY.object_key)
    leave_out(visitor, "E3")
    visitor.say("exclude reservoir E2")
    visitor.said("not from reservoir E3", "not from reservoir E2")
    assert {hit.row.reservoir for hit in visitor.sees_the_answer().hits} == {"E1"}


def test_words_are_chips_that_can_be_taken_away(visitor: Visitor) -> None:
    service = visitor.library.service
    visitor.look_for(QUERY.object_key).say("porosity 0.15 to 0.25, at most 1 per sample, purple")
    visitor.said("porosity 0.15 to 0.25", "at most 1 per sample")
    visitor.page.get_by_text('Not understood: "purple"').wait_for()
    ranges = (PropertyRange(name="porosity", low=0.15, high=0.25),)
    asked = SearchRequest(queries=(QUERY,), filters=Filters(ranges=ranges), per_sample=1)
    visitor.sees(service.search(asked).hits)
    texts = " ".join(text for _, text in visitor.cards())
    assert "Porosity 18 %" in texts
    assert "Porosity 22 %" in texts
    assert not [gone for gone in ("10 %", "14 %", "26 %") if f"Porosity {gone}" in texts]
    assert visitor.field("At most of one sample").input_value() == "1"
    visitor.press("porosity 0.15 to 0.25").said("at most 1 per sample")
    visitor.sees(service.search(replace(asked, filters=Filters())).hits)


def test_a_volume_is_gone_through_slice_by_slice(visitor: Visitor) -> None:
    filters = Filters(only_objects=(VOLUME,))
    hits = visitor.ask(SearchRequest(queries=(QUERY,), filters=filters)).sees_the_answer().hits
    assert sorted(hit.row.slice_index for hit in hits) == list(range(PLANES))
    visitor.press("Open hit 1:")
    dialog, row = visitor.dialog(), hits[0].row
    visitor.finds(lambda: shows(visitor, dialog, row))
    last = next(hit.row for hit in hits if hit.row.slice_index == PLANES - 1)
    handle = dialog.get_by_role("slider").first
    for _ in range(PLANES - 1 - row.slice_index):
        handle.press("ArrowRight")
    visitor.finds(lambda: shows(visitor, dialog, last))
    assert f"plane {PLANES} of {PLANES}" in dialog.inner_text()
    first = next(hit.row for hit in hits if hit.row.slice_index == 0)
    for _ in range(PLANES - 1):
        handle.press("ArrowLeft")
    visitor.finds(lambda: shows(visitor, dialog, first))
    assert f"plane 1 of {PLANES}" in dialog.inner_text()
    visitor.press("More like this", within=dialog)
    dialog.wait_for(state="detached")
    asked = SearchRequest(queries=(ObjectQuery(object_key=VOLUME, slice_index=0),), filters=filters)
    visitor.finds(lambda: visitor.library.request(visitor.address()), asked)


def shows(visitor: Visitor, dialog: Locator, row: SliceRow) -> bool:
    """Whether the last picture of a dialog is that of a slice."""
    library = visitor.library
    address = dialog.locator("image").last.get_attribute("href") or ""
    drawn = visitor.page.request.get(f"{library.server.address}{address}")
    key = preview_key(row.object_key, row.generation, slice_index=row.slice_index)
    return drawn.ok and drawn.body() == library.site.objects.read(key)


def test_what_is_taken_along_is_what_is_seen(visitor: Visitor) -> None:
    result = visitor.ask(replace(WITHOUT_E2, k=4)).sees_the_answer()
    cards = [text for _, text in visitor.cards()]
    rows = rows_of(visitor.download("Table (CSV)"))
    for row, card, hit in zip(rows, cards, result.hits, strict=True):
        assert (row["object_key"], row["slice_index"]) == (
            hit.row.object_key,
            str(hit.row.slice_index),
        )
        assert f"{row['reservoir']} · {row['sample']}" in card
        assert f"Similarity {float(row['similarity']):.3f}" in card
        assert f"#{row['absolute_rank']}" in card
        assert f"Porosity {100 * float(row['porosity']):.3g} %" in card
    told = json.loads(visitor.download("Everything (JSON)"))
    assert told["hits"] == [hit.to_dict() for hit in result.hits]
    assert told["funnel"] == result.funnel.to_dict()
    assert [row["distance"] for row in rows] == [str(hit["distance"]) for hit in told["hits"]]


def test_of_what_is_marked_alone_nothing_else_is_taken_along(visitor: Visitor) -> None:
    result = visitor.ask(WITHOUT_E2).sees_the_answer()
    visitor.press("Mark in the plots")
    visitor.page.get_by_text("Only the 1 marked").click()
    visitor.sees(result.hits[:1])
    (row,) = rows_of(visitor.settle().download("Table (CSV)"))
    assert row["object_key"] == result.hits[0].row.object_key
    told = json.loads(visitor.download("Everything (JSON)"))
    assert told["notes"] == [*result.notes, "of 4 hits the 1 that was marked is shown"]


def test_a_row_of_one_hit_is_no_larger_than_others(visitor: Visitor) -> None:
    visitor.ask(replace(WITHOUT_E2, k=1, three_rows=True)).sees_the_answer()
    cards = visitor.page.locator('.st-key-gallery_other_reservoirs [class*="st-key-card_"]')
    (width,) = cards.evaluate_all("all => all.map(it => it.getBoundingClientRect().width)")
    assert width < 300


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_the_sheet_and_the_report_show_the_same_hits(visitor: Visitor) -> None:
    result = visitor.ask(replace(WITHOUT_E2, k=3)).sees_the_answer()
    sheet = Image.open(io.BytesIO(visitor.download("Pictures (PNG)"))).convert("L")
    pixels = np.asarray(sheet)
    assert pixels.std() > 20, "rocks are drawn on it"
    report = visitor.library.folder / "report.html"
    report.write_bytes(visitor.download("Report (HTML, one page)"))
    address = visitor.link()
    page = visitor.page
    page.goto(report.as_uri())
    cells = page.locator("table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    assert [(row[1], row[2], row[3], row[8]) for row in cells] == [
        (
            hit.row.reservoir,
            hit.row.sample,
            f"{hit.similarity:.3f}",
            f"{hit.row.object_key}#{hit.row.slice_index}",
        )
        for hit in result.hits
    ]
    widths = page.locator("img").evaluate_all("all => all.map(it => it.naturalWidth)")
    assert len(widths) == 1 + len(result.hits)
    assert all(widths)
    assert page.locator(".bar").count() == len(widths), "every pixel size is known"
    assert page.locator(".chips").inner_text().splitlines()[0] == "not from reservoir E2"
    text = page.locator("body").inner_text()
    assert result.model.bundle_id is not None
    assert result.model.bundle_id in text
    assert page.get_by_role("link").get_attribute("href") == address
