"""Pictures to think with, as plotly figures: no page in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from search_ui.components.palette import LIBRARY, MARKS, QUERY
from search_ui.components.wording import permeability_words, porosity_words, rock, safe
from search_ui.printing import VIEW_TITLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from encoder.ranking import View
    from search_ui.library import SamplePoint
    from search_ui.results import QueryFacts, SearchHit

_BINS = 24
_MOST_SAMPLES = 3000
"""More points than this only make a browser slow."""
_LAYOUT: dict[str, Any] = {
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "legend": {"orientation": "h", "y": -0.22, "x": 0, "title": None},
    "dragmode": "pan",  # Streamlit lets points be clicked on only while nothing else is dragged
}


def view_title(view: View | None) -> str:
    """What hits of a view are called in legends."""
    return "origin not known" if view is None else VIEW_TITLES[view]


def cross_plot(
    queries: Sequence[QueryFacts],
    hits: Sequence[SearchHit],
    *,
    library: Iterable[SamplePoint],
    marks: frozenset[str],
) -> go.Figure:
    """Porosity against permeability; what is only predicted is hollow.

    Args:
        queries: What was looked for.
        hits: What was found: their points can be selected, and tell their row's identity.
        library: Samples of the library.
        marks: Identities of marked rows.
    """
    figure = go.Figure()
    # A sample whose slices were found is there already, as what can be clicked on.
    found = {(hit.row.reservoir, hit.row.sample) for hit in hits if has_point(hit)}
    _library(figure, (each for each in library if (each.reservoir, each.sample) not in found))
    for view in MARKS:
        _hits(figure, [hit for hit in hits if hit.view == view], view=view, marks=marks)
    _queries(figure, queries)
    figure.update_layout(
        **_LAYOUT,
        height=420,
        xaxis={"title": "Porosity", "tickformat": ".0%", "rangemode": "tozero"},
        yaxis={"title": "Permeability in mD", "type": "log", "dtick": 1, "exponentformat": "power"},
    )
    return figure


def distance_plot(
    hits: Sequence[SearchHit], *, metric: str, neighbours: Mapping[str, float] | None = None
) -> go.Figure:
    """How far away what was found is, by where it comes from, among its neighbours.

    Args:
        hits: What was found.
        metric: How vectors are compared.
        neighbours: Distances of the nearest slices, hits or not, by `SliceRow.row_id`.
    """
    figure = go.Figure()
    shown = {hit.row.row_id for hit in hits}
    others = [value for identity, value in (neighbours or {}).items() if identity not in shown]
    distances = [*others, *(hit.distance for hit in hits)]
    low, high = (min(distances), max(distances)) if distances else (0.0, 1.0)
    size = (high - low) / _BINS or max(abs(high), 1.0) / _BINS
    groups = [
        (
            [hit.distance for hit in hits if hit.view == view],
            f"{mark.sign} {view_title(view)}",
            mark.color,
        )
        for view, mark in MARKS.items()
    ]
    for values, name, color in (*groups, (others, "near, not shown", LIBRARY.color)):
        if values:
            figure.add_histogram(
                x=values,
                name=name,
                marker={"color": color},
                xbins={"start": low, "end": high + size, "size": size},
                hovertemplate="%{y} at %{x}<extra></extra>",
            )
    figure.update_layout(
        **{**_LAYOUT, "dragmode": "zoom", "legend": {**_LAYOUT["legend"], "y": -0.36}},
        height=280,
        barmode="stack",
        bargap=0.08,
        showlegend=True,
        xaxis={"title": f"Distance ({metric})"},
        yaxis={"title": "Slices", "rangemode": "tozero", "tickformat": "d", "nticks": 4},
    )
    return figure


def has_point(hit: SearchHit) -> bool:
    """Whether a hit has a place in the cross plot."""
    return _point(hit) is not None


def _library(figure: go.Figure, library: Iterable[SamplePoint]) -> None:
    points = [
        (known.porosity, known.permeability_md, rock(each.reservoir, each.sample))
        for each in library
        if (known := each.properties).porosity is not None and known.permeability_md
    ]
    shown = points[:: -(-len(points) // _MOST_SAMPLES) or 1]
    if shown:
        part = "" if shown == points else f" ({len(shown):,} of {len(points):,})"
        figure.add_scatter(
            x=[point[0] for point in shown],
            y=[point[1] for point in shown],
            text=[_hover(point[0], point[1], name=point[2]) for point in shown],
            mode="markers",
            name=f"the library's samples{part}",
            marker={"color": LIBRARY.color, "size": 6, "opacity": 0.45},
            hovertemplate="%{text}<extra></extra>",
        )


def _hits(
    figure: go.Figure, hits: Sequence[SearchHit], *, view: View | None, marks: frozenset[str]
) -> None:
    points = [(hit, point) for hit in hits if (point := _point(hit)) is not None]
    if not points:
        return
    mark = MARKS[view]
    symbols = [mark.symbol if measured else f"{mark.symbol}-open" for _, (_, _, measured) in points]
    is_marked = [hit.row.row_id in marks for hit, _ in points]
    figure.add_scatter(
        x=[point[0] for _, point in points],
        y=[point[1] for _, point in points],
        customdata=[[hit.row.row_id] for hit, _ in points],
        text=[_hit_hover(hit, point) for hit, point in points],
        mode="markers",
        name=f"{mark.sign} {view_title(view)}",
        marker={
            "color": mark.color,
            "symbol": symbols,
            "size": [17 if marked else 11 for marked in is_marked],
            "line": {
                "color": [QUERY.color if marked else mark.color for marked in is_marked],
                "width": [3 if marked else 1.5 for marked in is_marked],
            },
        },
        hovertemplate="%{text}<extra></extra>",
    )


def _queries(figure: go.Figure, queries: Sequence[QueryFacts]) -> None:
    for facts in queries:
        known = facts.properties
        pairs = (
            (known.porosity, known.permeability_md, True),
            (known.predicted_porosity, known.predicted_permeability_md, False),
        )
        for porosity, permeability, is_measured in pairs:
            if porosity is None or not permeability:
                continue
            how = "measured" if is_measured else "predicted"
            figure.add_scatter(
                x=[porosity],
                y=[permeability],
                text=[_hover(porosity, permeability, name=f"the query, {how}")],
                mode="markers",
                name=f"{QUERY.sign} the query, {how}",
                marker={
                    "color": QUERY.color,
                    "symbol": QUERY.symbol if is_measured else f"{QUERY.symbol}-open",
                    "size": 17,
                    "line": {"width": 1.5, "color": QUERY.color},
                },
                hovertemplate="%{text}<extra></extra>",
            )
            break  # what was measured wins over what is predicted


def _point(hit: SearchHit) -> tuple[float, float, bool] | None:
    """Porosity, permeability, and whether both were measured; None without both."""
    numbers = hit.row.numbers
    for prefix in ("", "predicted_"):
        porosity = numbers.get(f"{prefix}porosity")
        permeability = numbers.get(f"{prefix}permeability_md")
        if porosity is not None and permeability:
            return porosity, permeability, not prefix
    return None


def _hover(porosity: float, permeability_md: float, *, name: str) -> str:
    return (
        f"{safe(name)}<br>{porosity_words(porosity)} · {safe(permeability_words(permeability_md))}"
    )


def _hit_hover(hit: SearchHit, point: tuple[float, float, bool]) -> str:
    porosity, permeability, is_measured = point
    how = "" if is_measured else ", predicted"
    name = f"hit {hit.rank}: {rock(hit.row.reservoir, hit.row.sample)}{how}"
    return _hover(porosity, permeability, name=name)
