"""An answer to take along: every form tells what the page tells, and names stay text."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from encoder.ranking import View
from encoder.regions import Region
from search_ui import report_page
from search_ui.exports import Answer, to_csv, to_html, to_json, to_png
from search_ui.query_pictures import QueryPicture
from search_ui.requests import FileQuery, Filters, ObjectQuery, PropertyRange, SearchRequest
from search_ui.sheet import result_sheet
from search_world import World, make_scan

if TYPE_CHECKING:
    from pathlib import Path

    from search_ui.results import SearchResult

pytest_plugins = ["search_world"]

HOSTILE = '</td><script>alert("x")</script><img src=x onerror=alert(1)>\u202e\n&amp; "\''
MOMENT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture(side: int = 16) -> bytes:
    content = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("L").save(content, "WEBP")
    return content.getvalue()


@pytest.fixture
def answer(indexed: World) -> Answer:
    """A query of its own sample, with analogs, one of them hostile."""
    facts = {"scan": {"format": "PNG", "height": 100, "width": 200, "n_planes": 1}}
    scans = [
        make_scan("scans/q", reservoir="E1", sample="S1", porosity=0.1, pixel_size_um=2.0),
        make_scan("scans/a", reservoir="E1", sample="S2", porosity=0.125, permeability_md=1500.0),
        make_scan("scans/b", reservoir=HOSTILE, sample=HOSTILE, pixel_size_um=2.0),
        make_scan("scans/c", reservoir="E3", sample="=1+1", predicted_porosity=0.2),
    ]
    scans = [
        replace(one, slices=[replace(row, extra=facts) for row in one.slices]) for one in scans
    ]
    indexed.add(*scans)
    filters = Filters(
        exclude_reservoirs=("E4",),
        ranges=(PropertyRange(name="porosity", low=0.05),),
        keep_unmeasured=True,
    )
    indexed.add(make_scan("scans/d", reservoir="E4"))
    query = ObjectQuery(object_key="scans/q")
    request = SearchRequest(queries=(query,), filters=filters, three_rows=True)
    result = indexed.service.search(request)
    for hit in result.hits[:2]:
        indexed.site.objects.put(hit.thumbnail_key, picture())
    return Answer(
        request=request, result=result, moment=MOMENT, link="https://rocks.example/?v=1&q=scans/q"
    )


def test_csv_has_a_line_for_each_hit(answer: Answer) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(answer.result))))
    shown = [(str(view), hit) for view, hits in answer.result.views.items() for hit in hits]
    assert {hit.row.row_id for hit in answer.result.hits} <= {hit.row.row_id for _, hit in shown}
    assert [(row["list"], row["object_key"]) for row in rows] == [
        (name, hit.row.object_key) for name, hit in shown
    ]
    for row, (_, hit) in zip(rows, shown, strict=True):
        assert row["reservoir"] == hit.row.reservoir
        assert row["sample"].removeprefix("'") == hit.row.sample
        assert not row["sample"].startswith("=")
        assert float(row["similarity"]) == hit.similarity
        measured = hit.row.numbers["porosity"]
        assert row["porosity"] == ("" if measured is None else repr(measured))


def test_without_rows_the_hits_are_told(answer: Answer, indexed: World) -> None:
    request = replace(answer.request, three_rows=False)
    result = indexed.service.search(request)
    plain = replace(answer, request=request, result=result)
    rows = list(csv.DictReader(io.StringIO(to_csv(plain.result))))
    assert [row["object_key"] for row in rows] == [hit.row.object_key for hit in result.hits]
    page = Page(to_html(plain, indexed.site.objects))
    assert "Most alike" in page.text
    assert len(page.of("tr")) == 1 + len(result.hits)


def test_json_is_the_whole_answer(answer: Answer) -> None:
    assert json.loads(to_json(answer.result)) == json.loads(json.dumps(answer.result.to_dict()))


def test_a_rank_that_was_not_counted_is_explained_where_there_is_one(
    answer: Answer, indexed: World
) -> None:
    note = "Rank among all slices, without filters: beyond 653, as far as was counted"
    assert note not in Page(to_html(answer, indexed.site.objects)).text
    views = {
        view: tuple(replace(hit, absolute_rank=None) for hit in hits)
        for view, hits in answer.result.views.items()
    }
    beyond = replace(answer, result=replace(answer.result, views=views, ranked=653))
    assert f">653: {note}" in Page(to_html(beyond, indexed.site.objects)).text


def test_png_is_a_sheet(answer: Answer, indexed: World) -> None:
    content = to_png(answer, indexed.site.objects)
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 400


def test_a_sheet_shows_no_more_than_there_is_room_for(
    answer: Answer, indexed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = replace(answer.result, views={}, hits=answer.result.hits * 20)
    few = replace(many, hits=many.hits[:12])
    sizes = [result_sheet(each, indexed.site.objects).size for each in (many, few)]
    assert sizes[0] > sizes[1]
    monkeypatch.setattr("search_ui.sheet.MAX_PICTURES", 12)
    assert result_sheet(many, indexed.site.objects).size == sizes[1]


def test_html_tells_everything_and_needs_nothing(answer: Answer, indexed: World) -> None:
    page = Page(to_html(answer, indexed.site.objects))
    for text in (
        *("Analogs of q", "2026-03-04 05:06 UTC", "not from reservoir E4", "keep unmeasured"),
        *("porosity at least 0.05", "12.5 %", "1,500 mD", "not measured", "predicted 20 %"),
        *("Same sample", "Other reservoirs", answer.result.model.collection),
        *("scans/c#0", "the whole image", "not from reservoir E4", "Open this search again"),
        *("not the query itself", "shown. Shown: the 10 nearest of each row."),
    ):
        assert text in page.text, text
    assert "Most alike" not in page.text
    assert "own sample" not in page.text
    assert len(page.of("tr")) == 1 + sum(map(len, answer.result.views.values()))
    images = page.of("img")
    shown = [hit for hits in answer.result.views.values() for hit in hits]
    with_picture = {hit.thumbnail_key for hit in answer.result.hits[:2]}
    assert len(images) == sum(hit.thumbnail_key in with_picture for hit in shown)
    for image in images:
        assert (image["src"] or "").startswith("data:image/webp;base64,")
        assert (image["alt"] or "").startswith("Hit ")
    (link,) = page.of("a")
    assert link["href"] == answer.link
    policy = next(each for each in page.of("meta") if "http-equiv" in each)
    assert "default-src 'none'" in (policy["content"] or "")


def test_hostile_names_are_text(answer: Answer, indexed: World) -> None:
    page = Page(to_html(answer, indexed.site.objects))
    tags = {tag for tag, _ in page.elements}
    assert tags <= {
        *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1"),
        *("h2", "p", "a", "ul", "li", "div", "figure", "figcaption", "img", "strong", "span"),
        *("table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"),
    }
    assert '<script>alert("x")</script>' in page.text
    assert "\u202e" not in page.text
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    stranger = replace(answer, link="javascript:alert(1)")
    assert Page(to_html(stranger, indexed.site.objects)).of("a") == []


def test_scale_bars_are_to_scale(answer: Answer, indexed: World) -> None:
    drawn = QueryPicture(
        pixels=np.zeros((50, 100), np.uint8),
        slice_index=None,
        n_slices=1,
        is_volume=False,
        width_px=1000,
        height_px=500,
        pixel_size_um=3.0,
        format="PNG",
    )
    text = to_html(replace(answer, pictures=(drawn,)), indexed.site.objects)
    page = Page(text)
    bars = [each["style"] for each in page.of("div") if each.get("class") == "bar"]
    assert "width:33.33%" in bars  # 1 mm of 3 mm
    assert "1 mm" in page.text
    assert any((each["src"] or "").startswith("data:image/png") for each in page.of("img"))


def test_a_part_of_an_indexed_slice_is_shown_as_the_part_that_is_looked_for(
    answer: Answer, indexed: World
) -> None:
    (facts,) = answer.result.queries
    assert facts.picture_key is not None
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[50:, 100:] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    indexed.site.objects.put(facts.picture_key, content.getvalue())
    region = Region(left=0.5, top=0.5, right=1.0, bottom=1.0)
    request = replace(
        answer.request, queries=(ObjectQuery(object_key="scans/q", slice_index=0, region=region),)
    )
    (part,) = Answer.of(request, answer.result, service=indexed.service).pictures
    assert part is not None
    assert part.pixels.shape == (50, 100, 3)
    assert part.pixels.min() == 255
    assert facts.picture_width_um == 400.0
    assert part.width_um == 200.0
    whole = Answer.of(answer.request, answer.result, service=indexed.service)
    assert whole.pictures == (None,)


def test_an_answer_whose_file_is_gone_is_taken_along_without_its_picture(
    answer: Answer, indexed: World, tmp_path: Path
) -> None:
    gone = FileQuery(path=tmp_path / "gone.png")
    request = replace(answer.request, queries=(gone,))
    left = Answer.of(request, answer.result, service=indexed.service)
    assert left.pictures == (None,)
    assert to_png(left, indexed.site.objects)
    assert "E3" in to_html(left, indexed.site.objects)


def test_no_more_pictures_than_there_is_room_for(
    answer: Answer, indexed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hit in answer.result.hits:
        indexed.site.objects.put(hit.thumbnail_key, picture())
    monkeypatch.setattr(report_page, "MAX_PICTURES", 1)
    page = Page(to_html(answer, indexed.site.objects))
    assert len({each["src"] for each in page.of("img")}) <= 1
    assert "no picture" in page.text


def test_an_answer_without_hits(answer: Answer, indexed: World) -> None:
    result: SearchResult = replace(
        answer.result, hits=(), views={View.OTHER_RESERVOIRS: ()}, notes=("<b>nothing</b>",)
    )
    empty = replace(answer, result=result, link=None)
    page = Page(to_html(empty, indexed.site.objects))
    assert "no slice passes these filters" in page.text
    assert "<b>nothing</b>" in page.text
    assert to_csv(empty.result).count("\n") == 1
    assert to_png(empty, indexed.site.objects)
