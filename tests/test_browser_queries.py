"""Ways to ask in a real browser: several images, a part of one, a hit, two models, the plots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from browser_pages import MEASURED, Library, Visitor, grey, served, usual_images, visiting
from encoder.ranking import GroupBy
from search_site import texture
from search_ui.comparing import ModelComparer
from search_ui.components.two_models import place_text, shift_text
from search_ui.requests import FileQuery, ObjectQuery, SearchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, FloatRect

    from search_ui.comparing import Comparison

pytest_plugins = ("ui_server",)

SCAN = "scans/E1/S1/a.png"
_POINT = """row => {
    for (const plot of document.querySelectorAll('.js-plotly-plot')) {
        for (const trace of plot._fullData) {
            const place = [...(trace.customdata || [])].findIndex(told => told[0] === row);
            if (place < 0) continue;
            const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            return {
                x: box.left + xaxis._offset + xaxis.d2p(trace.x[place]),
                y: box.top + yaxis._offset + yaxis.d2p(trace.y[place]),
                size: trace.marker.size[place],
            };
        }
    }
    return null;
}"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("queries")
    others = ("siamese-resnet18",)
    with served(folder, usual_images(), measured=MEASURED, others=others) as library:
        yield library


@pytest.fixture
def visitor(chromium: Browser, library: Library) -> Iterator[Visitor]:
    with visiting(chromium, library) as visitor:
        yield visitor


def test_several_images_are_looked_for_as_one(visitor: Visitor) -> None:
    library = visitor.library
    files = [library.file(name, grey(seed)) for name, seed in (("one.png", 61), ("two.png", 62))]
    visitor.open().upload(*files).wait_for_answer()
    queries = tuple(FileQuery(path=file, name=file.name) for file in files)
    both = library.service.search(SearchRequest(queries=queries))
    visitor.sees(both.hits)
    third = library.file("three.tif", texture(63))
    visitor.press("Change or add")
    visitor.dialog().get_by_text("Look for it as well").click()
    visitor.settle().upload(third, within=visitor.dialog())
    queries = (*queries, FileQuery(path=third, name=third.name))
    visitor.sees(library.service.search(SearchRequest(queries=queries)).hits)
    head = visitor.page.locator(".st-key-head").inner_text()
    assert all(name in head for name in ("one.png", "two.png", "three.tif"))
    visitor.press("Leave out")
    visitor.sees(library.service.search(SearchRequest(queries=queries[1:])).hits)


def test_a_part_is_looked_for(visitor: Visitor) -> None:
    library = visitor.library
    visitor.open().upload(library.file("part.png", grey(64, (400, 500)))).wait_for_answer()
    visitor.sees_the_answer()
    visitor.press("Look for a part")
    plot = visitor.dialog().locator(".nsewdrag").first
    plot.wait_for()
    drag(visitor, plot.bounding_box(), start=(0.25, 0.25), end=(0.75, 0.5))
    visitor.dialog().get_by_text("Chosen: 50 % of its width").wait_for()
    visitor.press("Look for this part")
    visitor.page.locator(".litho-region").wait_for()
    (query,) = library.request(visitor.settle().address()).queries
    region = query.region
    assert region is not None
    found = (region.left, region.top, region.right, region.bottom)
    assert found == pytest.approx((0.25, 0.25, 0.75, 0.5), abs=0.02)
    visitor.sees_the_answer()
    visitor.press("Look for all of it")
    visitor.page.locator(".litho-region").wait_for(state="detached")
    assert library.request(visitor.address()).queries == (replace(query, region=None),)


def drag(
    visitor: Visitor,
    box: FloatRect | None,
    *,
    start: tuple[float, float],
    end: tuple[float, float],
) -> None:
    """Drag a box over a plot; places are fractions of it."""
    assert box is not None
    mouse = visitor.page.mouse
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    mouse.move(*places[0])
    mouse.down()
    mouse.move(*places[1], steps=8)
    mouse.up()


def test_more_like_a_hit(visitor: Visitor) -> None:
    first = visitor.look_for(SCAN).sees_the_answer().hits[0].row
    visitor.press("More like this")
    asked = ObjectQuery(object_key=first.object_key, slice_index=first.slice_index)
    hits = visitor.library.service.search(SearchRequest(queries=(asked,))).hits
    visitor.sees(hits)
    assert (first.reservoir, first.sample) not in {(it.row.reservoir, it.row.sample) for it in hits}


def test_a_reservoir_is_left_out_from_a_hit_and_comes_back_by_its_chip(visitor: Visitor) -> None:
    before = visitor.look_for(SCAN).sees_the_answer()
    gone = before.hits[0].row.reservoir
    visitor.press(f"Exclude reservoir {gone}").said(f"not from reservoir {gone}")
    left = visitor.sees_the_answer()
    assert left.hits
    assert gone not in {hit.row.reservoir for hit in left.hits}
    assert not [text for _, text in visitor.cards() if f"{gone} ·" in text]
    visitor.press(f"not from reservoir {gone}")
    visitor.sees(before.hits)
    assert visitor.chips() == []


def test_three_rows_and_what_two_models_say(visitor: Visitor) -> None:
    visitor.look_for(SCAN).show("Three rows")
    visitor.page.locator(".st-key-gallery_other_reservoirs").wait_for()
    rows = visitor.sees_the_answer()
    assert all(rows.views.values())
    visitor.show("Two models")
    visitor.page.get_by_text("found by both").first.wait_for()
    visitor.settle()
    with ModelComparer(visitor.library.service) as comparer:
        (other,) = comparer.others()
        request = visitor.library.request(visitor.address())
        compared = comparer.compare(request, other.bundle_id)
    assert request.three_rows
    visitor.finds(lambda: strips(visitor, compared), wanted_strips(compared))
    assert other.bundle_id in visitor.page.locator(".st-key-answer").inner_text()
    params = dict(parse_qsl(urlsplit(visitor.address()).query))
    assert params["page.other"] == other.bundle_id
    visitor.open("/", **params | {"page.other": "dsnn-gone"})
    visitor.page.get_by_text("The model dsnn-gone is live by now, or has no index").wait_for()
    visitor.finds(lambda: strips(visitor, compared), wanted_strips(compared))


def strips(visitor: Visitor, compared: Comparison) -> dict[str, list[str]]:
    """What is written under and on the pictures of each strip."""
    return {
        key: visitor.page.locator(f".st-key-{key} img").evaluate_all("all => all.map(it => it.alt)")
        for key in wanted_strips(compared)
    }


def wanted_strips(compared: Comparison) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for view, moves in compared.views.items():
        of_hit = {(move.object_key, move.slice_index): move for move in moves}
        for name, result in (("live", compared.ours), ("other", compared.theirs)):
            text = shift_text if name == "live" else place_text
            wanted[f"two_{view}_{name}"] = [
                f"Hit {hit.rank} of {result.model.bundle_id}: {hit.row.reservoir} · "
                f"{hit.row.sample}, {text(of_hit[hit.row.object_key, hit.row.slice_index])}"
                for hit in result.views[view]
            ]
    return wanted


def test_plot_and_cards_mark_each_other(visitor: Visitor) -> None:
    request = SearchRequest(queries=(ObjectQuery(object_key=SCAN),), group_by=GroupBy.SAMPLE)
    result = visitor.ask(request).sees_the_answer()
    first, second = (hit.row.row_id for hit in result.hits[:2])
    visitor.press("Mark in the plots")
    visitor.page.locator(".litho-marked").wait_for()
    visitor.finds(lambda: point(visitor, first)["size"] > point(visitor, second)["size"])
    visitor.press("Unmark all")
    visitor.page.locator(".litho-marked").wait_for(state="detached")
    visitor.finds(lambda: point(visitor, first)["size"] == point(visitor, second)["size"])

    place = point(visitor, second)
    visitor.page.mouse.move(place["x"] - 2, place["y"] - 2)
    visitor.page.mouse.move(place["x"], place["y"], steps=4)
    visitor.page.mouse.click(place["x"], place["y"])
    card = visitor.page.locator(f".st-key-card_best_{second} .litho-marked")
    card.wait_for()
    assert visitor.page.locator(".litho-marked").count() == 1
    visitor.page.get_by_text("Only the 1 marked").click()
    visitor.sees(result.hits[1:2])


def point(visitor: Visitor, row_id: str) -> dict[str, float]:
    """Where a hit is in the cross plot, which is scrolled to, and how large."""
    visitor.page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    found: dict[str, float] | None = visitor.page.evaluate(_POINT, row_id)
    return found or {"x": 0.0, "y": 0.0, "size": 0.0}
