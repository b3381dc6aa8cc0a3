"""Cross plot, distances and funnel of an answer; the plot and the cards mark each other's hits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from search_ui.chips import shown_words
from search_ui.components.cards import picture_html
from search_ui.components.figures import cross_plot, distance_plot, has_point
from search_ui.components.state import page_state
from search_ui.components.wording import rock, safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from search_ui.library import LibraryOverview
    from search_ui.results import Funnel, SearchHit, SearchResult

_CONFIG: dict[str, Any] = {"displaylogo": False}


def pictures_to_think_with(result: SearchResult, overview: LibraryOverview) -> None:
    """Show them.

    Args:
        result: The answer.
        overview: What is indexed.
    """
    hits = list(result.shown)
    plot, beside = st.columns([3, 2], gap="large")
    with plot:
        _cross_plot(result, hits, overview=overview)
    with beside:
        st.markdown("### How far away")
        if hits:
            st.plotly_chart(
                distance_plot(hits, metric=result.model.metric, neighbours=result.neighbours),
                key="distances",
                config=_CONFIG,
                alt="Histogram of the distances of the hits, by where they come from, among the "
                "nearest slices that pass the filters",
            )
            st.caption(
                f"The hits, in colour, among the {len(result.neighbours):,} nearest slices that "
                "pass the filters."
            )
        else:
            st.caption("There are no hits.")
        st.markdown("### From all slices to these")
        st.html(funnel_html(result.funnel))
        st.caption(shown_words(page_state().wish))


def funnel_html(funnel: Funnel) -> str:
    """What each filter leaves, as bars."""
    most = max((each.slices for each in funnel.steps), default=1) or 1
    rows = "".join(
        f'<div><div class="step"><span>{safe(each.step)}</span>'
        f'<span class="n">{each.slices:,}</span></div><span class="track" aria-hidden="true">'
        f'<i style="width:{100 * each.slices / most:.2f}%"></i></span></div>'
        for each in funnel.steps
    )
    how = "Slices, exact." if funnel.exact else "Slices; scans are being written: about so many."
    return f'<div class="litho-funnel">{rows}</div><div class="litho-dim">{how}</div>'


def _cross_plot(result: SearchResult, hits: list[SearchHit], *, overview: LibraryOverview) -> None:
    state = page_state()
    st.markdown("### Porosity and permeability")
    placed = sum(map(has_point, hits))
    is_known = any(each.properties.permeability_md for each in overview.samples)
    if not placed and not is_known:
        st.caption("Neither is measured or predicted of anything that is indexed.")
        return
    key = f"cross_{state.serial}"
    st.plotly_chart(
        cross_plot(result.queries, hits, library=overview.samples, marks=state.marks),
        key=key,
        config=_CONFIG,
        selection_mode=("points", "box", "lasso"),
        on_select=lambda: _selected(key),
        alt="Cross plot of porosity and permeability of the query, the hits and the library",
    )
    missing = len(hits) - placed
    lacking = f" {missing:,} of {len(hits):,} hits have no place in it." if missing else ""
    st.caption(
        f"Click on hits, or draw round them (lasso, above the plot), to mark them; hollow ones "
        f"are predicted.{lacking}"
    )
    _marked(hit for hit in hits if hit.row.row_id in state.marks)


def _selected(key: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    chosen = frozenset(str(point["customdata"][0]) for point in points if point.get("customdata"))
    state = page_state()
    if chosen:
        state.marks = chosen
    elif not points:
        state.marks = frozenset()


def _marked(hits: Iterable[SearchHit]) -> None:
    shown = list(hits)
    if not shown:
        return
    with st.grid("auto", min_column_width=88, gap="xsmall", key="marked_strip"):
        for hit in shown:
            name = rock(hit.row.reservoir, hit.row.sample)
            badge = f'<span class="rank">{hit.rank}</span>'
            st.html(
                picture_html(hit.row, alt=f"Marked hit {hit.rank}: {name}", badges=badge)
                + f'<div class="litho-text"><div class="line">{safe(name)}</div></div>'
            )
