"""Choosing another live model, for operators, once it was confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from search_ui import resources
from search_ui.access import Role
from search_ui.components.messages import for_viewers, guarded
from search_ui.markdown import escaped
from search_ui.model_state import make_live

if TYPE_CHECKING:
    from infra.model_versions import ModelVersion
    from search_ui.model_state import ModelState

_TOLD = "switched_model"


def model_switch(found: ModelState) -> None:
    """Offer what an operator may do."""
    if told := st.session_state.pop(_TOLD, ""):
        st.success(told, icon=":material/check_circle:")
    if not resources.user().may(Role.OPERATOR):
        st.caption("Choosing the live model is for operators.")
        return
    others = [each.version for each in found.entries if not each.is_live and each.scans is not None]
    if not others:
        return
    st.subheader("Change the live model")
    expected = None if found.live is None else found.live.bundle_id
    if found.former is not None and st.button(
        f"Roll back to {escaped(found.former.bundle_id)}", icon=":material/undo:", key="roll_back"
    ):
        _confirm(found.former, expected, is_back=True)
    by_name = {each.bundle_id: each for each in others}
    chosen = st.selectbox("Or another one", list(by_name), index=None, key="other_model")
    if chosen is not None and st.button("Make it live", key="make_live"):
        _confirm(by_name[chosen], expected)


@st.dialog("Change the live model?")
@for_viewers
def _confirm(version: ModelVersion, expected: str | None, *, is_back: bool = False) -> None:
    st.markdown(
        f"Searches ask **{escaped(version.bundle_id)}** at once, instead of "
        f"**{escaped(expected or 'none')}**. What came since it was live is missing until it has "
        "caught up."
    )
    yes, no = st.columns(2)
    if no.button("Leave it as it is", key="leave_model", width="stretch"):
        st.rerun()
    if yes.button("Make it live", type="primary", key="confirm_model", width="stretch"):
        with guarded():
            resources.require(Role.OPERATOR)
            is_caught_up = make_live(resources.site(), version, expected=expected, is_back=is_back)
            resources.meter().forget()
            how = (
                "workers catch it up in the background"
                if is_caught_up
                else "the watcher catches it up, or `lithoscope reconcile` does"
            )
            st.session_state[_TOLD] = f"{escaped(version.bundle_id)} is live; {how}."
            st.rerun()
