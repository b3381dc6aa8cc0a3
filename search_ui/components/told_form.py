"""What somebody knows of an image of their own, typed in."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui.components.state import page_state
from search_ui.requests import ObjectQuery, Told
from search_ui.shell import tell

if TYPE_CHECKING:
    from search_ui.requests import Query
    from search_ui.results import SearchResult

_NUMBERS = (
    ("pixel_size_um", "Pixel size in µm", 1.0),
    ("porosity", "Porosity in %", 100.0),
    ("permeability_md", "Permeability in mD", 1.0),
)
"""Fields, what they are asked for as, and how much of that is one of ours."""


def told_form(result: SearchResult | None) -> None:
    """Ask for what is known of the uploaded images; it wins over what the files tell.

    Args:
        result: The answer, which tells what is known already.
    """
    state = page_state()
    told = next(
        (
            each.told
            for each in state.wish.queries
            if not isinstance(each, ObjectQuery) and each.told is not None
        ),
        Told(),
    )
    known = None if result is None or not result.queries else result.queries[0]
    with st.form("told", border=False):
        st.caption("Of every image that you uploaded. Leave out what is not known.")
        texts = {
            name: st.text_input(
                label,
                value=getattr(told, name) or "",
                placeholder=(None if known is None else getattr(known, name)) or "not known",
            )
            for name, label in (("reservoir", "Reservoir"), ("sample", "Sample"))
        }
        numbers = {
            name: st.number_input(
                label,
                value=_scaled(getattr(told, name), factor),
                format="%g",
                placeholder="not known",
            )
            for name, label, factor in _NUMBERS
        }
        if st.form_submit_button("Use it", type="primary"):
            _use(texts, numbers)


def _use(texts: dict[str, str], numbers: dict[str, float | None]) -> None:
    state = page_state()
    factors = {name: factor for name, _, factor in _NUMBERS}
    try:
        told = Told(
            reservoir=texts["reservoir"].strip() or None,
            sample=texts["sample"].strip() or None,
            **{
                name: None if value is None else value / factors[name]
                for name, value in numbers.items()
            },
        )
    except LithoscopeError as error:
        tell(error)
        return
    is_empty = all(getattr(told, each.name) is None for each in fields(told))

    def with_it(query: Query) -> Query:
        if isinstance(query, ObjectQuery):
            return query
        return replace(query, told=None if is_empty else told)

    state.ask(queries=tuple(map(with_it, state.wish.queries)))
    st.rerun()


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
