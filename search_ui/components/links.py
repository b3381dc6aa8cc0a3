"""The address of a search: whoever opens it sees the same, or what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.components.state import page_state
from search_ui.permalinks import Link, changes, from_params, to_params
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.results import SearchResult


def open_link() -> None:
    """Take over the search that the address names, unless it is the page's own."""
    state = page_state()
    params = st.query_params.to_dict()
    if not params or params == state.written:
        return
    state.written = params
    try:
        link = from_params(params)
    except LithoscopeError as error:
        tell(error)
        return
    if link is not None:
        state.look_for(link.request.queries)
        state.wish = link.request
        state.link = link


def write_link(result: SearchResult) -> None:
    """Let the address name the search that is shown; say what has changed since its link.

    Args:
        result: Its answer.
    """
    state = page_state()
    if state.link is not None:
        state.notes = changes(state.link, resources.service(), result=result)
        state.link = None
    params = to_params(Link.of(state.wish, result))
    if params != st.query_params.to_dict():
        st.query_params.from_dict(params)
    state.written = params


def address() -> str:
    """The whole address of the search that is shown."""
    base = (st.context.url or "").split("?", 1)[0]
    return f"{base}?{urlencode(page_state().written)}"
