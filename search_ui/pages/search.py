"""The search page: what is looked for, filters beside it, and the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import ScanError
from search_ui import resources
from search_ui.components.answer import answer
from search_ui.components.dataset_form import dataset_form
from search_ui.components.filters import filter_panel
from search_ui.components.links import forget_link, open_link, write_link
from search_ui.components.messages import guarded
from search_ui.components.query_picker import query_picker
from search_ui.components.query_strip import query_strip
from search_ui.components.state import Answered, page_state
from search_ui.components.theme import STYLE
from search_ui.components.words_box import words_box
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.library import LibraryOverview

_HALF = 340
"""Narrowest half of what is above an answer, in pixels: on tablets one is below the other."""


def render() -> None:
    """Show the page."""
    st.html(STYLE)
    live = resources.site().index.live()
    if live is None:
        _nothing_indexed()
        return
    overview = resources.service().library.overview()
    if not overview.scans:
        _nothing_indexed()
        return
    open_link()
    state = page_state()
    if state.result is not None and state.result.model.collection != live:
        state.answered = None  # another model is live by now
    if state.has_query:
        _look(overview)
    else:
        forget_link()
        _begin(overview)


def _nothing_indexed() -> None:
    with st.container(key="begin"):
        st.markdown("# Nothing is indexed yet")
        st.markdown(
            "Add scans on the library page, and search as soon as the first of them is indexed. "
            "Or index a whole folder, and publish a trained model, with these commands:"
        )
        st.code("lithoscope ingest FOLDER --encoder dsnn --init seed:0\nlithoscope demo", "sh")
        st.link_button("Go to the library", "library", icon=":material/grid_view:")


def _begin(overview: LibraryOverview) -> None:
    with st.container(key="begin"):
        st.markdown("# What is this rock like?")
        st.markdown(
            "Show Lithoscope a picture of a rock, and see which samples of the library look and "
            "behave like it, in other reservoirs first of all."
        )
        query_picker(overview)


def _look(overview: LibraryOverview) -> None:
    state = page_state()
    st.empty()  # in the place of what is shown at first, which else stays until all is done
    with st.sidebar:
        filter_panel(overview)
    with st.container(border=True, key="head"):
        halves = st.grid(2, min_column_width=_HALF, gap="medium", key="head_halves")
        looked_for, said = halves.cell(), halves.cell()
    with said:
        words_box(overview)
    with st.container(key="busy"), guarded():
        try:
            _ask()
        except ScanError as error:
            tell(error)
            dataset_form(error)
    with looked_for:
        query_strip(state.result, overview)
    write_link(state.result)
    if state.result is not None:
        with st.container(key="answer"):
            answer(state.result, overview)


def _ask() -> None:
    """Have the wish answered, unless it is already.

    Raises:
        LithoscopeError: It can't be answered.
    """
    state = page_state()
    if state.result is None:
        told = st.empty()
        told.caption(":material/hourglass_top: Looking through the library…")
        try:
            with st.skeleton(height=420):
                found = resources.service().search(state.wish)
        finally:
            told.empty()
        state.answered = Answered(state.wish, found)
