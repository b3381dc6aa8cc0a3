"""Pictures to think with and to look at closely, free of pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from encoder.ranking import View
from encoder.regions import Region
from search_ui.chips import shown_words, words_of
from search_ui.comparing import Move
from search_ui.components.figures import cross_plot, distance_plot
from search_ui.components.palette import MARKS, QUERY
from search_ui.components.picture_figures import Shown, Zoom, region_figure, side_by_side
from search_ui.components.property_ranges import histogram_html
from search_ui.components.region_dialog import region_of
from search_ui.components.thinking import funnel_html
from search_ui.components.two_models import place_text, shift_text
from search_ui.components.wording import property_words, short
from search_ui.filtering import steps_of
from search_ui.library import SamplePoint
from search_ui.markdown import without_options
from search_ui.printing import rank_help
from search_ui.requests import Filters, ObjectQuery, PropertyRange, SearchRequest
from search_ui.results import Funnel, FunnelStep, QueryFacts, SearchHit
from search_ui.rock_properties import RockProperties
from search_world import make_scan

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def hit(
    rank: int,
    *,
    view: View | None = View.OTHER_RESERVOIRS,
    measured: tuple[float | None, float | None] = (None, None),
    predicted: tuple[float | None, float | None] = (None, None),
) -> SearchHit:
    scan = make_scan(
        f"scans/{rank}",
        reservoir="E<1>",
        sample=f"S{rank}",
        porosity=measured[0],
        permeability_md=measured[1],
        predicted_porosity=predicted[0],
        predicted_permeability_md=predicted[1],
    )
    return SearchHit(
        rank=rank,
        absolute_rank=rank,
        similarity=1 / rank,
        distance=float(rank),
        view=view,
        row=scan.slices[0],
    )


def facts(**known: float) -> QueryFacts:
    properties = RockProperties(**known)
    return QueryFacts(name="q", n_slices=1, reservoir=None, sample=None, properties=properties)


def sample(number: int) -> SamplePoint:
    known = RockProperties(porosity=0.1 * number, permeability_md=10.0 * number)
    return SamplePoint(
        reservoir="E<1>", sample=f"S{number}", object_keys=(), n_slices=1, properties=known
    )


def names(figure: Figure) -> list[str]:
    return [trace.name for trace in figure.data]


def test_a_hit_takes_its_samples_place_in_the_cross_plot() -> None:
    found = [hit(1, measured=(0.1, 10.0)), hit(3)]
    figure = cross_plot(
        [facts(porosity=0.2, permeability_md=5.0)],
        found,
        library=[sample(1), sample(2)],
        marks=frozenset({found[0].row.row_id}),
    )
    library, hits, query = figure.data
    assert list(library.x) == [0.2]
    assert [point[0] for point in hits.customdata] == [found[0].row.row_id]
    assert hits.marker.line.color == (QUERY.color,)
    assert "E&lt;1&gt;" in hits.text[0]
    assert list(query.y) == [5.0]


def test_what_is_predicted_is_hollow_and_measured_wins() -> None:
    hits = [hit(1, predicted=(0.2, 3.0)), hit(2, measured=(0.1, 1.0), predicted=(0.2, 3.0))]
    query = facts(predicted_porosity=0.2, predicted_permeability_md=3.0)
    figure = cross_plot([query], hits, library=[], marks=frozenset())
    symbol = MARKS[View.OTHER_RESERVOIRS].symbol
    assert figure.data[0].marker.symbol == (f"{symbol}-open", symbol)
    assert names(figure)[-1].endswith("predicted")


def test_a_large_library_is_thinned_and_says_so() -> None:
    library = [sample(number) for number in range(1, 6002)]
    figure = cross_plot([], [], library=library, marks=frozenset())
    assert len(figure.data[0].x) == 2001
    assert "2,001 of 6,001" in names(figure)[0]


def test_distances_are_told_apart_by_origin() -> None:
    figure = distance_plot([hit(1, view=View.SAME_SAMPLE), hit(2), hit(3, view=None)], metric="L2")
    assert len(figure.data) == 3
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert distance_plot([], metric="L2").data == ()


def test_hits_stand_out_among_their_neighbours() -> None:
    found = [hit(1), hit(2)]
    near = {each.row.row_id: each.distance for each in found} | {"a": 3.0, "b": 4.0, "c": 5.0}
    hits, others = distance_plot(found, metric="L2", neighbours=near).data
    assert len(hits.x) == 2
    assert tuple(others.x) == (3.0, 4.0, 5.0)
    assert "not shown" in others.name


def test_colours_and_symbols_differ() -> None:
    marks = [*MARKS.values(), QUERY]
    assert len({mark.color for mark in marks}) == len({mark.symbol for mark in marks}) == len(marks)


def shown(width_um: float | None, *, width: int = 100) -> Shown:
    return Shown(title="t", source="/p", width_px=width, height_px=50, width_um=width_um)


def test_two_pictures_of_known_scale_share_it() -> None:
    layout = side_by_side([shown(200.0), shown(400.0, width=800)]).layout
    assert layout.xaxis2.matches == "x"
    assert [image.sizex for image in layout.images] == [200.0, 400.0]
    assert tuple(layout.xaxis.range) == (-100.0, 300.0)
    assert len(layout.shapes) == 2  # a scale bar each


def test_pictures_of_unknown_scale_are_moved_alone() -> None:
    layout = side_by_side([shown(None), shown(400.0, width=800)]).layout
    assert layout.xaxis2.matches is None
    assert [image.sizex for image in layout.images] == [100.0, 800.0]
    (bar,) = layout.shapes  # of the one whose scale is known: 100 of its 400 µm
    assert (bar.xref, bar.x1 - bar.x0) == ("x2", pytest.approx(200.0))


def test_titles_of_pictures_are_text() -> None:
    picture = replace(shown(200.0), title="Hit 1: <b>E1</b>")
    texts = [each.text for each in side_by_side([picture]).layout.annotations]
    assert "Hit 1: &lt;b&gt;E1&lt;/b&gt;" in texts


def test_what_was_zoomed_to_is_shown_of_every_slice() -> None:
    box = {"xref": "x2", "yref": "y2", "x": [150.0, 50.0], "y": [20.0, 60.0]}
    zoom = Zoom.of({"selection": {"box": [box]}})
    assert zoom == Zoom(picture=1, x=(50.0, 150.0), y=(20.0, 60.0))
    for width_um in (200.0, 300.0):
        layout = side_by_side([shown(200.0), shown(width_um)], zoom).layout
        assert tuple(layout.xaxis.range) == tuple(layout.xaxis2.range) == (50.0, 150.0)
        assert tuple(layout.yaxis.range) == (60.0, 20.0)
    apart = side_by_side([shown(None), shown(400.0)], zoom).layout
    assert tuple(apart.xaxis.range) == (0.0, 100.0)
    assert tuple(apart.xaxis2.range) == (50.0, 150.0)


def test_no_box_is_no_zoom() -> None:
    flat = {"xref": "x", "yref": "y", "x": [5.0, 5.0], "y": [2.0, 6.0]}
    events: list[object] = [None, {"selection": {"box": []}}, {"selection": {"box": [flat]}}]
    for event in events:
        assert Zoom.of(event) is None


def test_a_dragged_box_is_a_region_within_the_picture() -> None:
    event = {"selection": {"box": [{"x": [50.0, -10.0], "y": [10.0, 30.0]}]}}
    assert region_of(event, (100, 40)) == Region(left=0.0, top=0.25, right=0.5, bottom=0.75)
    assert region_of({"selection": {"box": []}}, (100, 40)) is None
    assert region_of({"selection": {"box": [{"x": [-9, -1], "y": [1, 2]}]}}, (9, 9)) is None
    assert region_of(None, (100, 40)) is None


def test_a_chosen_region_is_drawn() -> None:
    region = Region(left=0.1, top=0.2, right=0.5, bottom=1.0)
    (box,) = region_figure("/p", size=(200, 100), region=region).layout.shapes
    assert (box.x0, box.y0, box.x1, box.y1) == (20, 20, 100, 100)


def test_a_histogram_lights_what_is_chosen() -> None:
    text = histogram_html([0.1, 0.1, 0.9], stops=[0.0, 0.5, 1.0], lit=(0.0, 0.5))
    assert text.count('class="in"') == text.count('class="out"') == 16
    assert "height:100.0%" in text


def test_a_funnel_is_bars_and_text() -> None:
    steps = (FunnelStep(step="indexed", slices=1000), FunnelStep(step="<not> E2", slices=250))
    text = funnel_html(Funnel(steps=steps, hidden_own=0, exact=False))
    assert "width:25.00%" in text
    assert "1,000" in text
    assert "&lt;not&gt;" in text
    assert "being written" in text


def test_what_is_shown_of_what_passes_is_told() -> None:
    queries = (ObjectQuery(object_key="scans/q"),)
    assert shown_words(SearchRequest(queries=queries, k=10)) == "Shown: the 10 nearest."
    asked = SearchRequest(
        queries=queries, k=1, three_rows=True, per_sample=2, min_similarity=0.6, group_by=None
    )
    assert shown_words(asked) == (
        "Shown: the nearest one of each row, at most 2 of each sample, of a similarity of at least "
        "0.6."
    )


def test_a_funnel_says_what_the_chips_say() -> None:
    filters = Filters(
        only_reservoirs=("E1", "E 2"),
        exclude_reservoirs=("E3",),
        exclude_samples=("S1", "S2"),
        only_objects=("scans/a",),
        modalities=("micro_ct",),
        ranges=(PropertyRange(name="porosity", low=0.05, high=0.2),),
    )
    chips = words_of(SearchRequest(queries=(ObjectQuery(object_key="scans/q"),), filters=filters))
    steps = [step.name for step in steps_of(filters)]
    assert steps == [
        'only reservoirs E1 or "E 2"',
        "not from reservoir E3",
        "not from sample S1 or S2",
        'only scan "scans/a"',
        "only micro-CT",
        "porosity 0.05 to 0.2",
    ]
    assert set(steps) - set(chips) == {"not from sample S1 or S2"}, "two chips, one step"


def test_a_rank_that_was_not_counted_says_why() -> None:
    assert rank_help(7, 653) == "Rank among all slices, without filters"
    assert "beyond 653, as far as was counted" in rank_help(None, 653)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (1, 4, ("↑3", "live 1")),
        (4, 1, ("↓3", "live 4")),
        (2, 2, ("=", "live 2")),
        (None, 1, ("gone", "not live")),
        (1, None, ("new", "live 1")),
    ],
)
def test_moves_in_words(ours: int | None, theirs: int | None, words: tuple[str, str]) -> None:
    move = Move(object_key="k", slice_index=0, ours=ours, theirs=theirs, hit=hit(1))
    assert (shift_text(move), place_text(move)) == words


def test_properties_have_units_and_what_is_not_measured_says_so() -> None:
    known = RockProperties(porosity=0.213, predicted_permeability_md=1234.5)
    assert property_words(known) == (
        ("Porosity", "21.3 %", None),
        ("Permeability", "not measured", "1,234 mD"),
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("or raise the limit (--max-pixels) if", "or raise the limit if"),
        ("as the raw layout (--raw 1000x1000x1000:uint16)", "as the raw layout"),
        ("name the one to read (--dataset)", "name the one to read"),
        ("E2 (-- odd) stays", "E2 (-- odd) stays"),
    ],
)
def test_pages_name_no_options_of_commands(text: str, shown: str) -> None:
    assert without_options(text) == shown


def test_long_names_keep_both_ends() -> None:
    assert short("abcdefgh", 5) == "ab…gh"
    assert short("abc", 5) == "abc"
