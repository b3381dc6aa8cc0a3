"""The address of a search: whoever opens it sees the same, or what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.components.state import Mode, page_state
from search_ui.markdown import escaped
from search_ui.permalinks import Link, changes, from_params, possible, to_params
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.components.state import PageState
    from search_ui.results import SearchResult

_SHOW, _MODELS = "show", "models"


def open_link() -> None:
    """Take over the search that the address names, unless it is the page's own."""
    state = page_state()
    params = st.query_params.to_dict()
    if not params or params == state.written:
        return
    state.written = params
    try:
        link = from_params(params)
        if link is not None:
            _take_over(state, link)
    except LithoscopeError as error:
        tell(error)


def write_link(result: SearchResult) -> None:
    """Let the address name the search that is shown; say what has changed since its link.

    Args:
        result: Its answer.
    """
    state = page_state()
    if state.link is not None:
        state.notes = changes(state.link, resources.service(), result=result)
        state.link = None
    page = {_SHOW: _MODELS} if state.mode is Mode.MODELS else {}
    try:
        params = to_params(Link.of(state.wish, result, page=page))
    except LithoscopeError as error:  # it is too long for an address
        tell(error)
        params = {}
    if params != st.query_params.to_dict():
        st.query_params.from_dict(params)
    state.written = params


def address() -> str | None:
    """The whole address of the search that is shown; None where it has none."""
    params = page_state().written
    if not params:
        return None
    return f"{(st.context.url or '').split('?', 1)[0]}?{urlencode(params)}"


def _take_over(state: PageState, link: Link) -> None:
    service = resources.service()
    wish = possible(link, service)
    if wish is None:
        state.look_for(())
        for change in changes(link, service):
            st.warning(escaped(change[:1].upper() + change[1:]), icon=":material/link_off:")
        return
    state.look_for(wish.queries)
    state.wish = wish
    state.mode = Mode.MODELS if link.page.get(_SHOW) == _MODELS else Mode.of(wish)
    if wish == link.request:
        state.link = link
    else:
        state.notes = changes(link, service)
