"""The filters beside an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from encoder.ranking import GroupBy
from search_ui.components.property_ranges import property_ranges
from search_ui.components.state import blank, page_state
from search_ui.components.wording import modality_text
from search_ui.markdown import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from search_ui.components.state import PageState
    from search_ui.library import LibraryOverview

_EACH = "slice"
_MOST_HITS = 100


def filter_panel(overview: LibraryOverview) -> None:
    """Show every filter, as the wish has it.

    Args:
        overview: What is indexed.
    """
    state = page_state()
    head = st.container(horizontal=True, horizontal_alignment="distribute")
    head.markdown("### Filters")
    head.button(
        "Clear all",
        type="tertiary",
        icon=":material/filter_alt_off:",
        on_click=state.clear_filters,
        disabled=not _is_filtered(state),
    )
    _own_sample(state)
    _names(state, overview)
    _modalities(state, overview)
    property_ranges(state, overview)
    _answer(state)


def _own_sample(state: PageState) -> None:
    _keyed("own", not state.wish.include_own_sample)
    st.toggle(
        "Hide the query's own sample",
        key="own",
        disabled=state.wish.three_rows,
        help="The first of the three rows is that sample."
        if state.wish.three_rows
        else "A plug is most like itself: its other slices are no analogs.",
        on_change=lambda: state.ask(include_own_sample=not st.session_state["own"]),
    )


def _names(state: PageState, overview: LibraryOverview) -> None:
    filters = state.wish.filters
    counts = {each.name: each.n_slices for each in overview.reservoirs if each.name}
    reservoirs = _with((*filters.exclude_reservoirs, *filters.only_reservoirs), counts)
    samples = _with(
        (*filters.exclude_samples, *filters.only_samples),
        sorted({each.sample for each in overview.samples if each.sample}),
    )

    def counted(name: str) -> str:
        return f"{name} · {counts.get(name, 0):,}"

    _several("Without reservoirs", "exclude_reservoirs", options=reservoirs, write=counted)
    _several("Only reservoirs", "only_reservoirs", options=reservoirs, write=counted)
    wants_samples = bool(filters.exclude_samples or filters.only_samples)
    with st.expander("Samples", expanded=wants_samples):
        _several("Without samples", "exclude_samples", options=samples, write=str)
        _several("Only samples", "only_samples", options=samples, write=str)


def _several(label: str, name: str, *, options: Sequence[str], write: Callable[[str], str]) -> None:
    state = page_state()
    _keyed(name, list(getattr(state.wish.filters, name)))
    st.multiselect(
        label,
        options,
        key=name,
        format_func=write,
        placeholder="any" if name.startswith("only") else "none",
        on_change=lambda: state.filter_by(**{name: tuple(st.session_state[name])}),
    )


def _modalities(state: PageState, overview: LibraryOverview) -> None:
    known = [each.name for each in overview.modalities if each.name]
    options = _with(state.wish.filters.modalities, known)
    if len(options) < 2 and not state.wish.filters.modalities:
        return
    _keyed("modalities", list(state.wish.filters.modalities))
    st.pills(
        "Imaged by",
        options,
        selection_mode="multi",
        key="modalities",
        format_func=lambda name: escaped(modality_text(name)),  # they are Markdown
        on_change=lambda: state.filter_by(modalities=tuple(st.session_state["modalities"])),
    )


def _answer(state: PageState) -> None:
    wish = state.wish
    st.markdown("### Answer")
    _keyed("k", wish.k)
    st.number_input(
        "Hits",
        min_value=1,
        max_value=max(_MOST_HITS, wish.k),
        key="k",
        on_change=lambda: state.ask(k=int(st.session_state["k"])),
    )
    _keyed("group_by", _EACH if wish.group_by is None else str(wish.group_by))
    st.segmented_control(
        "Each hit is a",
        [_EACH, *map(str, GroupBy)],
        key="group_by",
        required=True,
        help="The nearest slice of each sample, or of each reservoir, or every slice.",
        on_change=lambda: state.ask(group_by=_group(st.session_state["group_by"])),
    )
    _keyed("per_sample", wish.per_sample)
    st.number_input(
        "At most of one sample",
        min_value=1,
        key="per_sample",
        placeholder="any number",
        value=None,
        on_change=lambda: state.ask(per_sample=st.session_state["per_sample"]),
    )
    _keyed("min_similarity", wish.min_similarity)
    st.slider(
        "Similarity, at least",
        min_value=0.0,
        max_value=1.0,
        step=0.01,
        key="min_similarity",
        on_change=lambda: state.ask(min_similarity=float(st.session_state["min_similarity"])),
    )


def _group(text: str) -> GroupBy | None:
    return None if text == _EACH else GroupBy(text)


def _keyed(key: str, value: Any) -> None:  # noqa: ANN401  a widget's value
    """Let a widget show the wish."""
    st.session_state[key] = value


def _with(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """Options: what is known, and what is wanted though it no longer is."""
    return list(dict.fromkeys((*known, *wanted)))


def _is_filtered(state: PageState) -> bool:
    fresh = blank()
    return replace(state.wish, queries=fresh.queries, three_rows=fresh.three_rows) != fresh
