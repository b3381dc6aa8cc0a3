"""The frame around every page: who may see it, the way between pages, and errors as one line."""

from __future__ import annotations

import importlib
import logging
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError
from encoder.sandbox.scratch import without_scratch
from search_ui import resources
from search_ui.access import User, has_lapsed, user_of
from search_ui.markdown import escaped, without_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.navigation.page import StreamlitPage

    from infra.settings import Settings

TITLE = "Lithoscope"

_ICON = "\N{ROCK}"
"""Drawn by the browser itself: nothing is fetched from elsewhere."""

_LOG = logging.getLogger(__name__)
PAGES = {
    "search": ("Search", ":material/search:"),
    "library": ("Library", ":material/grid_view:"),
    "model": ("Model", ":material/model_training:"),
}
"""Title and icon of each page, by its module in `search_ui.pages`; the first one comes first."""


def show() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title=TITLE, page_icon=_ICON, layout="wide")
    try:
        settings = resources.site().settings
    except LithoscopeError as error:
        tell(error)
        return
    somebody = _somebody(settings)
    if somebody is None:  # whatever the address names, and nobody learns which pages there are
        ask = partial(_ask_to_log_in, settings)
        st.navigation([_page(name, ask) for name in PAGES], position="hidden").run()
        return
    chosen = st.navigation([_page(name, partial(render, name)) for name in PAGES], position="top")
    if settings.ui.has_login:
        _offer_to_log_out(somebody)
    chosen.run()


def tell(error: LithoscopeError) -> None:
    """Say what is wrong and what helps, in one line; where things are is for the log."""
    text = str(error)
    _LOG.info("%s", text)
    st.error(escaped(without_options(_without_places(text))), icon=":material/error:")


def tell_unexpected(error: Exception) -> bool:
    """Answer for an error that nothing foresaw, so that nobody sees a traceback.

    Returns:
        True: it is dealt with.
    """
    _LOG.error("a page failed", exc_info=error)
    st.error(
        "Something went wrong on our side, and the log tells what. Reload the page; if that does "
        "not help, tell whoever runs this site.",
        icon=":material/error:",
    )
    return True


def _page(name: str, show: Callable[[], None]) -> StreamlitPage:
    title, icon = PAGES[name]
    return st.Page(show, title=title, icon=icon, url_path=name, default=name == next(iter(PAGES)))


def render(name: str) -> None:
    """Show a page; what is wrong with it is one line.

    Args:
        name: Of a module of `search_ui.pages`.
    """
    # Imported when it is shown: the first page need not wait for the others.
    page = importlib.import_module(f"search_ui.pages.{name}")
    try:
        page.render()
    except LithoscopeError as error:
        tell(error)


def _without_places(text: str) -> str:
    """Leave out where this machine keeps things."""
    try:
        settings = resources.site().settings
    except LithoscopeError:
        return "The site can't be opened: its settings or its object store; the log tells which."
    for place, name in (
        (settings.bucket_folder, "the bucket"),
        (settings.home, "the home folder"),
    ):
        for spelling in {str(place), str(place.absolute())}:
            text = text.replace(spelling, name)
    return without_scratch(text)


def _somebody(settings: Settings) -> User | None:
    has_come = settings.ui.has_login and st.user.is_logged_in
    return user_of(settings.ui, dict(st.user) if has_come else None)


def _ask_to_log_in(settings: Settings) -> None:
    st.title(TITLE)
    has_come = st.user.is_logged_in
    if has_come and not has_lapsed(settings.ui, dict(st.user)):
        st.warning(
            "You are logged in, but your address has no role here or was not verified. Ask whoever "
            "runs this site to add it, or log in with another one.",
            icon=":material/lock:",
        )
        st.button("Log out", on_click=st.logout)
        return
    text = "Your login has ended." if has_come else "Find the analogs of a rock sample."
    st.markdown(f"{text} Log in to search.")
    st.button("Log in", type="primary", on_click=st.login)


def _offer_to_log_out(somebody: User) -> None:
    with st.sidebar:
        st.caption(f"{escaped(somebody.name)}, {somebody.role.name.lower()}")
        st.button("Log out", on_click=st.logout)
