"""The library page: what is indexed, what is about to be, and more scans for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from search_ui import resources
from search_ui.access import Role
from search_ui.components.adding_form import adding_form
from search_ui.components.holdings import holdings
from search_ui.components.indexing import indexing
from search_ui.components.theme import STYLE
from search_ui.requests import SearchError

if TYPE_CHECKING:
    from search_ui.library import LibraryOverview


def render() -> None:
    """Show the page."""
    st.html(STYLE)
    st.title("Library")
    overview = _overview()
    tabs = st.tabs(["What is indexed", "Add scans", "Indexing"])
    with tabs[0]:
        if overview is None or not overview.scans:
            st.info(
                "Nothing is indexed yet. Add scans beside this tab, and see under “Indexing” how "
                "far they are.",
                icon=":material/inbox:",
            )
        else:
            holdings(overview)
    with tabs[1]:
        if resources.user().may(Role.EDITOR):
            adding_form(overview)
        else:
            st.info("Adding scans is for editors; ask one of them.", icon=":material/lock:")
    with tabs[2], st.container(key="indexing"):
        indexing()


def _overview() -> LibraryOverview | None:
    """What is indexed; None where no model is live."""
    try:
        return resources.service().library.overview()
    except SearchError:  # the page says what to do
        return None
