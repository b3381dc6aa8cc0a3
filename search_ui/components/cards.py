"""A hit as a card: its picture, whose it is, how alike, what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from encoder.scale_bars import length_label, scale_bar_um
from infra.pictures import thumbnail_key
from search_ui.components.palette import MARKS
from search_ui.components.state import page_state
from search_ui.components.wording import (
    place_of,
    property_words,
    rock,
    safe,
)
from search_ui.markdown import escaped
from search_ui.places import size_um
from search_ui.printing import VIEW_TITLES, rank_help, rank_text
from search_ui.requests import ObjectQuery
from search_ui.resources import Picture, picture_url
from search_ui.rock_properties import of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.indexing.records import SliceRow
    from search_ui.results import SearchHit
    from search_ui.rock_properties import RockProperties

CARD_WIDTH = 172
"""Narrowest card, in pixels."""

_LEAST_COLUMNS, _MOST_COLUMNS = 6, 24


def gallery(hits: Sequence[SearchHit], *, name: str, ranked: int, is_row: bool = False) -> None:
    """Show hits as cards, as many side by side as there is room for.

    Args:
        hits: The hits.
        name: Tells this gallery from others of the page.
        ranked: See `SearchResult.ranked`.
        is_row: Whether they stay in one row, which then scrolls.
    """
    grid = st.grid(
        min(max(len(hits), _LEAST_COLUMNS), _MOST_COLUMNS) if is_row else "auto",
        wrap=not is_row,
        min_column_width=CARD_WIDTH,
        gap="small",
        key=f"gallery_{name}",
    )
    with grid:
        for hit in hits:
            with st.container(border=True, key=f"card_{name}_{hit.row.row_id}", gap="xsmall"):
                _card(hit, name=name, ranked=ranked)


def picture_html(row: SliceRow, *, alt: str, badges: str = "") -> str:
    """A slice's small picture with its scale bar.

    Args:
        row: The slice.
        alt: What it shows, in words.
        badges: What lies on it, as HTML.
    """
    key = thumbnail_key(row.object_key, row.generation, slice_index=row.slice_index)
    source = picture_url(key, kind=Picture.THUMB)
    image = f'<img src="{safe(source)}" alt="{safe(alt)}" loading="lazy" decoding="async">'
    return f'<div class="litho-pic">{image}{badges}{_scale_bar(row)}</div>'


def scale_bar_html(width_um: float, height_um: float) -> str:
    """A bar of a known length on a picture that fills its square's longer side.

    Args:
        width_um: Width of what is shown, in micrometres.
        height_um: Its height.
    """
    if not width_um > 0:
        return ""
    length = scale_bar_um(width_um)
    share = 100 * min(1.0, width_um / height_um) * length / width_um
    return (
        f'<span class="litho-bar">{safe(length_label(length))}'
        f'<i style="width:{share:.1f}cqw"></i></span>'
    )


def meter_html(similarity: float) -> str:
    """A similarity as a bar."""
    share = f"{100 * min(max(similarity, 0.0), 1.0):.1f}%"
    return f'<div class="litho-meter" aria-hidden="true"><i style="width:{share}"></i></div>'


def properties_html(known: RockProperties) -> str:
    """Measured properties, and below each what is predicted of it."""
    return "".join(
        f'<div><span class="dim">{name}</span> {safe(measured)}</div>'
        + ("" if predicted is None else f'<div class="dim sub">predicted {safe(predicted)}</div>')
        for name, measured, predicted in property_words(known)
    )


def _card(hit: SearchHit, *, name: str, ranked: int) -> None:
    state = page_state()
    row = hit.row
    key = f"{name}_{row.row_id}"
    whose = rock(row.reservoir, row.sample)
    place = place_of(row)
    st.html(_card_html(hit, ranked=ranked, is_marked=row.row_id in state.marks))
    st.button(
        f"Open hit {hit.rank}: {escaped(whose)} {escaped(place)}",
        key=f"open_{key}",
        on_click=_open,
        args=(row.row_id,),
    )
    with st.container(horizontal=True, gap="xsmall", wrap=False, key=f"actions_{key}"):
        st.button(
            "More like this",
            key=f"like_{key}",
            type="tertiary",
            on_click=state.look_for,
            args=((ObjectQuery(object_key=row.object_key, slice_index=row.slice_index),),),
        )
        if row.reservoir is not None:
            st.button(
                f"Exclude reservoir {escaped(row.reservoir)}",
                key=f"icon_out_{key}",
                type="tertiary",
                icon=":material/block:",
                help=f"Show nothing of reservoir {escaped(row.reservoir)}",
                on_click=state.exclude_reservoir,
                args=(row.reservoir,),
            )
        is_marked = row.row_id in state.marks
        st.button(
            "Unmark" if is_marked else "Mark in the plots",
            key=f"icon_mark_{key}",
            type="tertiary",
            icon=":material/bookmark_remove:" if is_marked else ":material/bookmark_add:",
            help="No longer mark it" if is_marked else "Mark it in the cross plot",
            on_click=state.toggle_mark,
            args=(row.row_id,),
        )


def _card_html(hit: SearchHit, *, ranked: int, is_marked: bool) -> str:
    row = hit.row
    mark = MARKS[hit.view]
    place = place_of(row)
    whose = rock(row.reservoir, row.sample)
    alt = f"Hit {hit.rank}: {whose}, {place or 'whole image'}, similarity {hit.similarity:.3f}"
    badges = f'<span class="rank">{hit.rank}</span>'
    if place:
        badges += f'<span class="place">{safe(place)}</span>'
    view = "" if hit.view is None else VIEW_TITLES[hit.view]
    rank = rank_text(hit.absolute_rank, ranked)
    return (
        f"{picture_html(row, alt=alt, badges=badges)}"
        f'<div class="litho-text{" litho-marked" if is_marked else ""}">'
        f'<div class="whose" title="{safe(f"{whose} ({view})")}">'
        f'<span style="color:{mark.color}" aria-hidden="true">{mark.sign}</span> '
        f"<b>{safe(whose)}</b></div>"
        f'<div class="litho-sim"><span>Similarity {hit.similarity:.3f}</span>'
        f'<span class="dim" title="{safe(rank_help(hit.absolute_rank, ranked))}">#{rank}</span>'
        "</div>"
        f"{meter_html(hit.similarity)}{properties_html(of_rows([row]))}</div>"
    )


def _scale_bar(row: SliceRow) -> str:
    size = size_um(row)
    return "" if size is None else scale_bar_html(*size)


def _open(row_id: str) -> None:
    page_state().opened = row_id
