"""A hit, looked at closely: beside the query on its scale, through its scan, with all metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from search_ui.results import SearchHit, SearchResult


@st.dialog("A closer look", width="large")
def hit_dialog(hit: SearchHit, result: SearchResult) -> None:
    """Show it.

    Args:
        hit: The hit.
        result: The answer that it is of.
    """
    st.write(hit.row.object_key, result.ranked)
