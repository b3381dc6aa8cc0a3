"""An answer: hits as cards or in the paper's three rows, and pictures to think with."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError
from encoder.ranking import View
from search_ui.chips import similarity_chip
from search_ui.components.cards import gallery
from search_ui.components.hit_dialog import hit_dialog
from search_ui.components.palette import MARKS
from search_ui.components.state import Mode, page_state
from search_ui.components.take_along import take_along
from search_ui.components.thinking import pictures_to_think_with
from search_ui.components.two_models import newest_other, two_models
from search_ui.components.wording import sentence
from search_ui.markdown import escaped, without_options
from search_ui.printing import VIEW_TITLES

if TYPE_CHECKING:
    from search_ui.components.state import PageState
    from search_ui.library import LibraryOverview
    from search_ui.results import SearchHit, SearchResult

_EMPTY = {
    View.SAME_SAMPLE: "No other slice of its sample is indexed, or passes the filters.",
    View.SAME_RESERVOIR: "No other sample of its reservoir is indexed, or passes the filters.",
    View.OTHER_RESERVOIRS: "Nothing of other reservoirs is indexed, or passes the filters.",
}


def answer(result: SearchResult, overview: LibraryOverview) -> None:
    """Show an answer.

    Args:
        result: The answer to the wish.
        overview: What is indexed.
    """
    state = page_state()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        _mode(state)
        st.caption(_summary(result), help=_timings(result))
        taken = st.container(width="content")
    names = tuple(each.name for each in result.queries)
    for note in (*state.notes, *result.notes):
        st.info(escaped(without_options(sentence(note, names))), icon=":material/info:")
    comparison, narrowed = None, result
    if state.mode is Mode.MODELS:
        comparison = two_models(result)
    else:
        narrowed = _narrowed(state, result)
        _hits(state, result, narrowed=narrowed)
    with taken:  # what is taken along is what is shown below it
        take_along(narrowed, comparison)
    pictures_to_think_with(result, overview)
    opened = next((hit for hit in result.shown if hit.row.row_id == state.opened), None)
    if opened is not None:
        hit_dialog(opened, result)


def _mode(state: PageState) -> None:
    if state.wish.three_rows is (state.mode is Mode.BEST):  # a link or words decided
        state.mode = Mode.of(state.wish)
    st.session_state["mode"] = str(state.mode)
    st.segmented_control(
        "Show",
        [str(each) for each in Mode],
        key="mode",
        required=True,
        label_visibility="collapsed",
        on_change=_show,
    )


def _show() -> None:
    state = page_state()
    state.show(Mode(st.session_state["mode"]))
    if state.mode is Mode.MODELS and state.other is None:
        with suppress(LithoscopeError):  # the page tells, which is drawn next
            state.other = newest_other()  # a link must name it: a newer one may come


def _hits(state: PageState, result: SearchResult, *, narrowed: SearchResult) -> None:
    _marks_line(state, result.shown)
    if result.views:
        _rows(result, narrowed)
    elif result.hits:
        gallery(narrowed.hits, name="best", ranked=result.ranked)
    else:
        _nothing(state, result)


def _summary(result: SearchResult) -> str:
    count = len(result.shown)
    hits = "1 hit" if count == 1 else f"{count:,} hits"
    hidden = result.funnel.hidden_own
    own = f" · {hidden:,} of its own sample hidden" if hidden else ""
    model = result.model.bundle_id or result.model.collection
    seconds = result.timings_ms["total"] / 1000
    return f"{hits}{own} · {seconds:.2f} s · {escaped(model)}"


def _timings(result: SearchResult) -> str:
    stages = [
        f"{name} {spent:,.0f} ms" for name, spent in result.timings_ms.items() if name != "total"
    ]
    return f"How long each stage took: {', '.join(stages)}."


def _rows(result: SearchResult, narrowed: SearchResult) -> None:
    for view, hits in result.views.items():
        mark = MARKS[view]
        st.html(
            f'<h3 class="litho-head"><span style="color:{mark.color}" aria-hidden="true">'
            f"{mark.sign}</span> {VIEW_TITLES[view].capitalize()}</h3>"
        )
        if narrowed.views[view]:
            gallery(narrowed.views[view], name=str(view), ranked=result.ranked, is_row=True)
        elif hits:
            st.caption("None of these is marked.")
        else:
            st.caption(_EMPTY[view])


def _marks_line(state: PageState, hits: tuple[SearchHit, ...]) -> None:
    marked = sum(hit.row.row_id in state.marks for hit in hits)
    if not marked:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.toggle(f"Only the {marked:,} marked", key="only_marked")
        st.button("Unmark all", type="tertiary", on_click=_unmark)


def _unmark() -> None:
    state = page_state()
    state.marks = frozenset()
    state.serial += 1


def _narrowed(state: PageState, result: SearchResult) -> SearchResult:
    """Leave the marked hits, if no others are asked for; all where none that is shown is marked.

    The switch is not drawn then, and what it said last outlives it by a run of the page.
    """
    marked = state.marks & {hit.row.row_id for hit in result.shown}
    if not marked or not st.session_state.get("only_marked"):
        return result

    def kept(hits: tuple[SearchHit, ...]) -> tuple[SearchHit, ...]:
        return tuple(hit for hit in hits if hit.row.row_id in marked)

    were, are = ("was", "is") if len(marked) == 1 else ("were", "are")
    note = f"of {len(result.shown):,} hits the {len(marked):,} that {were} marked {are} shown"
    return replace(
        result,
        hits=kept(result.hits),
        views={view: kept(hits) for view, hits in result.views.items()},
        notes=(*result.notes, note),
    )


def _nothing(state: PageState, result: SearchResult) -> None:
    with st.container(border=True, horizontal_alignment="center", key="no_hits"):
        st.markdown("### Nothing passes these filters")
        steps = result.funnel.steps
        lost = next(
            (
                later.step
                for earlier, later in pairwise(steps)
                if earlier.slices and not later.slices
            ),
            None,
        )
        least = state.wish.min_similarity
        if lost == "shown":  # nothing but too little similarity leaves none of those that pass
            lost = similarity_chip(least).text if least else None
        if lost is not None:
            st.markdown(f"After “{escaped(lost)}” none is left.")
        st.button("Clear all filters", on_click=state.clear_filters, key="clear_from_empty")
