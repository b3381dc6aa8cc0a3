"""Filters in words, and everything that is asked for as chips."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui.components.state import blank, page_state
from search_ui.markdown import escaped
from search_ui.query_words import Understood, chips_of, understand, without
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.components.state import PageState
    from search_ui.library import LibraryOverview
    from search_ui.query_words import Chip, Names

_KEY = "words"
_HINT = "such as: not from this reservoir"
_EXAMPLES = (
    "Names, ranges, kinds of imaging: “exclude reservoir E2”, “porosity 0.15 to 0.25”, "
    "“at most 3 per sample”, “only micro-CT”."
)


def words_box(overview: LibraryOverview) -> None:
    """Ask for words, show what was understood of them, and what was not.

    Args:
        overview: What is indexed, and can be named.
    """
    state = page_state()
    with st.form("words_form", clear_on_submit=True, border=False):
        line = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
        line.text_input(
            "Filter in your own words", key=_KEY, placeholder=_HINT, icon=":material/edit:"
        )
        line.form_submit_button(
            "Apply", icon=":material/keyboard_return:", on_click=_apply, args=(overview,)
        )
    if state.refused is not None:
        tell(state.refused)
    _chips()
    for words in state.not_understood:
        st.warning(f"Not understood: {escaped(words)}", icon=":material/help:")


def _apply(overview: LibraryOverview) -> None:
    """Ask for what was said: called before the page, so that no later click can overtake it."""
    state = page_state()
    text = st.session_state[_KEY]
    if not text:
        return
    understood = understand(text, _names(state, overview))
    try:
        state.change(understood.apply(state.wish))
    except LithoscopeError as error:
        state.refused = error
    state.not_understood = understood.not_understood


def _names(state: PageState, overview: LibraryOverview) -> Names:
    """What can be named, the query's own reservoirs as "this reservoir"."""
    queries = () if state.result is None else state.result.queries
    own = dict.fromkeys(each.reservoir for each in queries if each.reservoir)
    return replace(overview.names, own_reservoirs=tuple(own))


def _chips() -> None:
    state = page_state()
    chips = chips_of(replace(state.wish, three_rows=False))
    if not chips:
        st.caption(_EXAMPLES)
        return
    with st.container(horizontal=True, gap="xsmall", key="chips"):
        for number, chip in enumerate(chips):
            st.button(
                escaped(chip.text),
                key=f"chip_{number}",
                icon=":material/close:",
                icon_position="right",
                help="No longer ask for this",
                on_click=_remove,
                args=(chips, chip),
            )


def _remove(chips: tuple[Chip, ...], gone: Chip) -> None:
    state = page_state()
    fresh = replace(blank(), queries=state.wish.queries, three_rows=state.wish.three_rows)
    left = Understood(chips=without(chips, gone))
    state.change(left.apply(fresh))
