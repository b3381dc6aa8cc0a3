"""What is looked for, above its answer: pictures, what is known, and ways to say it better."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui.components.cards import properties_html, scale_bar_html
from search_ui.components.palette import QUERY
from search_ui.components.picture_data import data_url, drawn
from search_ui.components.query_picker import query_dialog
from search_ui.components.region_dialog import region_dialog
from search_ui.components.state import page_state
from search_ui.components.told_form import told_form
from search_ui.components.wording import (
    query_title,
    rock,
    safe,
)
from search_ui.requests import ObjectQuery
from search_ui.resources import Picture, picture_url

if TYPE_CHECKING:
    from encoder.regions import Region
    from search_ui.library import LibraryOverview
    from search_ui.requests import Query
    from search_ui.results import QueryFacts, SearchResult

_SIDE = 320
_SHOWN = 4


def query_strip(result: SearchResult | None, overview: LibraryOverview) -> None:
    """Show the queries.

    Args:
        result: Their answer; None while there is none.
        overview: What is indexed.
    """
    state = page_state()
    queries = state.wish.queries
    facts = (None,) * len(queries) if result is None else result.queries
    shown = list(zip(queries, facts, strict=True))[:_SHOWN]
    is_alone = len(shown) == 1
    columns: int | Literal["auto"] = 1 if is_alone else "auto"
    with st.grid(columns, min_column_width=240, gap="small", key="queries"):
        for number, (query, known) in enumerate(shown):
            with st.container(gap="xsmall", key=f"query_{number}"):
                _query(query, known, number=number, is_alone=is_alone)
    if len(queries) > len(shown):
        st.caption(f"and {len(queries) - len(shown)} more, looked for as one")
    _actions(result, overview)


def _query(query: Query, facts: QueryFacts | None, *, number: int, is_alone: bool) -> None:
    state = page_state()
    picture = _picture_html(query, facts)
    name = state.name_of(query)
    if facts is None:
        told = f"<b>{safe(name or '…')}</b>"
    else:
        properties = properties_html(facts.properties)
        told = (
            f'<div class="line"><span style="color:{QUERY.color}" aria-hidden="true">{QUERY.sign}'
            f"</span> <b>{safe(query_title(facts, name))}</b></div>"
            f'<div class="line">{safe(rock(facts.reservoir, facts.sample))}</div>'
            f"{properties}"
        )
        if query.region is not None:
            told += '<div class="dim">a part of it is looked for</div>'
    st.html(
        f'<div class="litho-query"><div class="litho-query-pic">{picture}</div>'
        f'<div class="litho-text">{told}</div></div>'
    )
    if not is_alone:
        st.button(
            "Leave out",
            key=f"leave_{number}",
            type="tertiary",
            icon=":material/close:",
            on_click=lambda: state.look_for(
                each for place, each in enumerate(state.wish.queries) if place != number
            ),
        )


def _picture_html(query: Query, facts: QueryFacts | None) -> str:
    name = page_state().name_of(query) or "an indexed scan"
    alt = safe(f"What is looked for: {name}")
    bar = box = ""
    if isinstance(query, ObjectQuery):
        key = None if facts is None else facts.picture_key
        source = "" if key is None else picture_url(key, kind=Picture.THUMB)
        if source and facts is not None and facts.picture_width_um:
            bar = scale_bar_html(facts.picture_width_um, facts.picture_width_um)
    else:
        try:
            picture = drawn(replace(query, region=None), max_side=_SIDE)
        except LithoscopeError:  # the answer tells why
            return '<div class="litho-pic"><span class="none">no picture</span></div>'
        source = data_url(picture.pixels)
        if picture.width_um:
            bar = scale_bar_html(picture.width_um, picture.width_um)
    if query.region is not None:
        box = _region_html(query.region)
    image = f'<img src="{safe(source)}" alt="{alt}">' if source else ""
    return f'<div class="litho-pic litho-whole">{image}{box}{bar}</div>'


def _region_html(region: Region) -> str:
    edges = (
        f"left:{100 * region.left:.2f}%;top:{100 * region.top:.2f}%;"
        f"width:{100 * (region.right - region.left):.2f}%;"
        f"height:{100 * (region.bottom - region.top):.2f}%"
    )
    return f'<span class="litho-region" style="{edges}"></span>'


def _actions(result: SearchResult | None, overview: LibraryOverview) -> None:
    state = page_state()
    queries = state.wish.queries
    with st.container(horizontal=True, gap="xsmall", key="query_actions"):
        if st.button("Change or add", icon=":material/add_photo_alternate:", key="change_query"):
            query_dialog(overview, serial=state.serial)
        if st.button(
            "Look for a part",
            icon=":material/crop:",
            key="part",
            type="tertiary",
            disabled=result is None,
        ):
            region_dialog()
        if any(each.region is not None for each in queries):
            st.button(
                "Look for all of it",
                icon=":material/crop_free:",
                key="whole",
                type="tertiary",
                on_click=lambda: state.look_for(replace(each, region=None) for each in queries),
            )
        if any(not isinstance(each, ObjectQuery) for each in queries):
            with st.popover("What is known", icon=":material/edit_note:", type="tertiary"):
                told_form(result)
        st.button(
            "Begin anew",
            icon=":material/restart_alt:",
            key="anew",
            type="tertiary",
            on_click=lambda: state.look_for(()),
        )
