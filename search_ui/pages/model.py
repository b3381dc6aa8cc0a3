"""The model page: which model answers, how good it is, which were before it, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from search_ui import resources
from search_ui.components.model_card import model_card, model_table
from search_ui.components.model_switch import model_switch
from search_ui.components.theme import STYLE
from search_ui.markdown import escaped
from search_ui.model_state import model_state

if TYPE_CHECKING:
    from search_ui.model_state import ModelState


def render() -> None:
    """Show the page."""
    st.html(STYLE)
    st.title("Model")
    found = model_state(resources.site())
    for problem in found.problems:
        st.warning(escaped(problem), icon=":material/warning:")
    if found.live is None:
        st.info(
            "No model is live yet, so nothing can be searched. An operator names one to begin "
            "with: `lithoscope ingest PATH --encoder dsnn --init imagenet`, or publishes a trained "
            "one: `lithoscope publish RUN`.",
            icon=":material/model_training:",
        )
    else:
        model_card(found.live)
    _rollout(found)
    if found.entries:
        model_table(found)
    model_switch(found)
    _history(found)


def _rollout(found: ModelState) -> None:
    """Tell how far a model is that is being brought into use."""
    rollout = found.rollout
    if rollout is None:
        return
    scans = resources.meter().look().scans or rollout.indexed
    st.subheader("Rollout")
    st.progress(min(rollout.indexed / scans, 1.0) if scans else 1.0)
    st.markdown(escaped(rollout.text(scans)))


def _history(found: ModelState) -> None:
    if not found.history:
        return
    st.subheader("History")
    for each in found.history[:_TOLD]:
        st.markdown(f"{each.at:%Y-%m-%d %H:%M} UTC: **{escaped(each.model)}** became live")


_TOLD = 20
