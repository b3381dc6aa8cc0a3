"""Which dataset of an uploaded file is looked for, where it holds several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import printable
from search_ui import resources
from search_ui.components.state import page_state
from search_ui.markdown import escaped
from search_ui.requests import UploadQuery

if TYPE_CHECKING:
    from encoder.errors import ScanError


def dataset_form(error: ScanError) -> None:
    """Ask for it; nothing is shown unless the error names datasets of an uploaded file.

    Args:
        error: Why there is no answer.

    Raises:
        LithoscopeError: The file has lapsed, or can't be kept so.
    """
    query = _query_of(error)
    if query is None:
        return
    with st.form("query_dataset", border=True):
        st.markdown(f"**Which dataset of {escaped(error.source)} is to be looked for?**")
        chosen = st.selectbox(
            "Dataset", error.datasets, format_func=printable, key=f"dataset_{query.token}"
        )
        has_sent = st.form_submit_button("Look for this dataset", type="primary")
    if has_sent:
        _look_for(query, chosen)
        st.rerun()


def _query_of(error: ScanError) -> UploadQuery | None:
    """The upload that an error is about: the first of its name that no dataset is told of."""
    if not error.datasets:
        return None
    kept = resources.service().kept
    for query in page_state().wish.queries:
        if isinstance(query, UploadQuery):
            with kept.open(query.token) as file:
                is_told = file.read is not None and file.read.dataset is not None
                if printable(file.path.name) == error.source and not is_told:
                    return query
    return None


def _look_for(query: UploadQuery, dataset: str) -> None:
    state = page_state()
    token = resources.service().kept.keep_dataset(query.token, dataset)
    name = state.name_of(query)
    if name is not None:
        state.names[token] = name
    told = replace(query, token=token)
    state.look_for(told if each == query else each for each in state.wish.queries)
