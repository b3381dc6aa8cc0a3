"""The address of a search: whoever opens it sees the same, or what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.components.state import Mode, page_state
from search_ui.components.wording import sentence
from search_ui.markdown import escaped
from search_ui.permalinks import Link, changes, from_params, possible, to_params
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.components.state import PageState
    from search_ui.results import SearchResult

_SHOW, _MODELS, _OTHER = "show", "models", "other"


def open_link() -> None:
    """Take over the search that the address names, unless it is the page's own.

    Nor where something was chosen on the page just now: a browser that is busy tells of a click
    with the address from before the last one, which would undo that. Going back tells of none.
    """
    state = page_state()
    params = st.query_params.to_dict()
    has_chosen = state.shown is not None and state.shown != state.chosen
    if not params or params == state.written or has_chosen:
        return
    state.written = params
    try:
        link = from_params(params)
        if link is not None:
            _take_over(state, link)
    except LithoscopeError as error:
        tell(error)


def forget_link() -> None:
    """Let the address name nothing, once what it named is looked for no more."""
    state = page_state()
    if state.shown is not None:
        st.query_params.clear()
        state.written, state.shown = {}, None


def write_link(result: SearchResult | None) -> None:
    """Let the address name the search that is shown; say what has changed since its link.

    Args:
        result: Its answer; None where it could not be answered.
    """
    state = page_state()
    if result is None:
        state.shown = state.chosen
        return
    if state.link is not None:
        state.notes = changes(state.link, resources.service(), result=result)
        state.link = None
    try:
        params = to_params(Link.of(state.wish, result, page=_page(state)))
    except LithoscopeError as error:  # it is too long for an address
        tell(error)
        params = {}
    if params != st.query_params.to_dict():
        st.query_params.from_dict(params)
    state.written, state.shown = params, state.chosen


def address() -> str | None:
    """The whole address of the search that is shown; None where it has none."""
    params = page_state().written
    if not params:
        return None
    return f"{(st.context.url or '').split('?', 1)[0]}?{urlencode(params)}"


def _page(state: PageState) -> dict[str, str]:
    if state.mode is not Mode.MODELS:
        return {}
    return {_SHOW: _MODELS} | ({} if state.other is None else {_OTHER: state.other})


def _take_over(state: PageState, link: Link) -> None:
    service = resources.service()
    wish = possible(link, service)
    if wish is None:
        state.look_for(())
        for change in changes(link, service):
            st.warning(escaped(sentence(change)), icon=":material/link_off:")
        return
    state.look_for(wish.queries)
    state.wish = wish
    state.mode = Mode.MODELS if link.page.get(_SHOW) == _MODELS else Mode.of(wish)
    state.other = link.page.get(_OTHER)
    if wish == link.request:
        state.link = link
    else:
        state.notes = changes(link, service)
