"""A model for people: where it comes from, how it was measured, what it has indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from infra.model_versions import GATE, GATE_AGAINST, GATE_OUTCOME
from search_ui.components.facts import facts_html
from search_ui.markdown import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.model_versions import ModelVersion
    from search_ui.model_state import ModelState

_GATE = {
    "passed": "It passed the release gate.",
    "first": "It was the first to pass the release gate.",
    "forced": "The release gate refused it, and it was published by force.",
}
_METRICS = {"l2": "Euclidean distance", "ip": "inner product"}
_OWN = (GATE, GATE_OUTCOME, GATE_AGAINST)


def model_card(version: ModelVersion) -> None:
    """Show the live model."""
    with st.container(border=True):
        st.subheader(escaped(version.bundle_id), anchor=False)
        compared = version.metric.value
        words = _METRICS.get(compared.casefold(), compared)
        told = [
            ("Encoder", version.encoder),
            ("Weights", version.init),
            ("Vectors", f"{version.dimension:,} numbers, compared by {words}"),
            ("Published", f"{version.published:%Y-%m-%d %H:%M} UTC"),
        ]
        st.html(facts_html(told))
        _gate(version)
        left, right = st.columns(2, gap="large")
        with left:
            _metrics(version)
        with right:
            _provenance(version)


def model_table(found: ModelState) -> None:
    """List every published model."""
    st.subheader("Published models")
    rows = [
        {
            "Live": "●" if each.is_live else "",
            "Model": each.version.bundle_id,
            "Weights": each.version.init,
            "Scans indexed": each.scans,
            "Published": each.version.published,
        }
        for each in found.entries
    ]
    st.dataframe(
        rows,
        hide_index=True,
        key="models",
        column_config={
            "Published": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "Weights": st.column_config.TextColumn(width="large"),
        },
    )


def _gate(version: ModelVersion) -> None:
    outcome = version.provenance.get(GATE_OUTCOME)
    if GATE not in version.provenance:
        st.caption("No release gate has measured it.")
        return
    st.markdown(f"{_GATE.get(outcome or '', '')} {escaped(version.provenance[GATE])}")
    if against := version.provenance.get(GATE_AGAINST):
        st.caption(f"Compared with {escaped(against)}.")


def _metrics(version: ModelVersion) -> None:
    st.markdown("**How good it is**")
    if not version.metrics:
        st.caption("Its bundle tells no figures: `lithoscope evaluate` measures a model.")
        return
    table = _columns(version.metrics, "Measure", value="Value")
    st.dataframe(
        table,
        hide_index=True,
        key="metrics",
        column_config={"Value": st.column_config.NumberColumn(format="%.4g")},
    )


def _provenance(version: ModelVersion) -> None:
    st.markdown("**Where it comes from**")
    told = {name: text for name, text in version.provenance.items() if name not in _OWN}
    if not told:
        st.caption("Its bundle does not tell.")
        return
    table = _columns(told, "What", value="Is")
    st.dataframe(table, hide_index=True, key="provenance")


def _columns(values: Mapping[str, object], name: str, *, value: str) -> dict[str, object]:
    return {name: sorted(values), value: [values[each] for each in sorted(values)]}
