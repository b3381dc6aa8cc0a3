"""A model for people: where it comes from, how it was measured, what it has indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from infra.model_versions import GATE, GATE_AGAINST, GATE_OUTCOME
from search_ui import resources
from search_ui.access import Role
from search_ui.components.facts import facts_html
from search_ui.markdown import escaped
from search_ui.model_measures import measures_of
from search_ui.printing import csv_columns

if TYPE_CHECKING:
    from infra.model_versions import ModelVersion
    from search_ui.model_measures import Measure
    from search_ui.model_state import ModelState

_HALF = 420
"""Narrowest half of the card, in pixels: on tablets one is below the other."""

_METRICS = {"l2": "Euclidean distance", "ip": "inner product"}
_OWN = (GATE, GATE_OUTCOME, GATE_AGAINST)
_PLAIN = {
    "lithoscope": "Made by Lithoscope",
    "measured_on": "Measured on",
    "notes": "Notes",
    "revision": "Revision",
    "slices": "Slices learnt from",
    "torch": "With torch",
}
"""What of a model's provenance is for everybody; the rest is for operators: it may name places."""


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
        halves = st.grid(2, min_column_width=_HALF, gap="large", key="model_halves")
        with halves.cell():
            _metrics(version)
        with halves.cell():
            _provenance(version)


def model_table(found: ModelState) -> None:
    """List every published model."""
    st.subheader("Published models")
    table: dict[str, list[Any]] = {
        "Live": ["●" if each.is_live else "" for each in found.entries],
        "Model": [each.version.bundle_id for each in found.entries],
        "Weights": [each.version.init for each in found.entries],
        "Scans indexed": [each.scans for each in found.entries],
        "Published": [each.version.published for each in found.entries],
    }
    st.dataframe(
        csv_columns(table),
        hide_index=True,
        key="models",
        column_config={
            "Published": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "Weights": st.column_config.TextColumn(width="large"),
        },
    )


def _gate(version: ModelVersion) -> None:
    told = version.provenance.get(GATE)
    if told is None:
        st.caption("No release gate has measured it.")
        return
    st.markdown(f"Release gate: {escaped(told.removeprefix('gate: '))}")
    if against := version.provenance.get(GATE_AGAINST):
        st.caption(f"Compared with {escaped(against)}.")


def _metrics(version: ModelVersion) -> None:
    st.markdown("**How good it is**")
    if not version.metrics:
        st.caption("Its bundle tells no figures: `lithoscope evaluate` measures a model.")
        return
    measures = measures_of(version.metrics)
    table = {
        "Measure": [each.name for each in measures],
        "Value": [f"{each.value:.4g}" for each in measures],
        "95 % interval": [_interval_text(each) for each in measures],
    }
    st.dataframe(table, hide_index=True, key="metrics")


def _interval_text(measure: Measure) -> str:
    return "" if measure.interval is None else "{:.4g} to {:.4g}".format(*measure.interval)


def _provenance(version: ModelVersion) -> None:
    st.markdown("**Where it comes from**")
    told = {name: text for name, text in version.provenance.items() if text and name not in _OWN}
    plain = [(label, told[name]) for name, label in _PLAIN.items() if name in told]
    if plain:
        st.html(facts_html(plain))
    else:
        st.caption("Its bundle does not tell.")
    if told and resources.user().may(Role.OPERATOR):
        with st.expander("Everything that its bundle says"):
            names = sorted(told)
            table = {"What": names, "Is": [told[name] for name in names]}
            st.dataframe(csv_columns(table), hide_index=True, key="provenance")
