"""A hit, looked at closely: beside the query on its scale, through its scan, with all metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError, printable
from infra.pictures import PictureKey
from search_ui import resources
from search_ui.components.facts import facts_html, scan_facts
from search_ui.components.messages import for_viewers
from search_ui.components.picture_data import data_url, drawn, part_of_preview, picture_size
from search_ui.components.picture_figures import PICTURE_CONFIG, Shown, Zoom, side_by_side
from search_ui.components.state import page_state
from search_ui.components.wording import query_title, rock
from search_ui.markdown import escaped
from search_ui.printing import rank_help, rank_text
from search_ui.requests import ObjectQuery
from search_ui.resources import Picture, picture_url
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search_ui.library import SlicePage
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import Query
    from search_ui.results import QueryFacts, SearchHit, SearchResult

_SIDE = 1600


def _close() -> None:
    page_state().opened = None


@st.dialog("A closer look", width="large", on_dismiss=_close)
@for_viewers
def hit_dialog(hit: SearchHit, result: SearchResult) -> None:
    """Show it.

    Args:
        hit: The hit.
        result: The answer that it is of.
    """
    rank = rank_text(hit.absolute_rank, result.ranked)
    st.markdown(
        f"**{escaped(rock(hit.row.reservoir, hit.row.sample))}** · hit {hit.rank} · "
        f"similarity {hit.similarity:.3f} · rank {rank} of all slices",
        help=rank_help(None, result.ranked) if hit.absolute_rank is None else None,
    )
    try:
        page = resources.service().library.scan_page(hit.row.object_key)
    except LithoscopeError as error:
        tell(error)
        return
    shown = _scrubber(page.slices, hit)
    query = _query_picture(result)
    pictures = [_hit_picture(shown, hit)] if query is None else [query, _hit_picture(shown, hit)]
    zoom_key = f"zoom_{hit.row.row_id}"
    st.plotly_chart(
        side_by_side(pictures, st.session_state.get(zoom_key)),
        key="closer_look",
        on_select=lambda: _zoom(zoom_key),
        selection_mode="box",
        config=PICTURE_CONFIG,
        alt=printable(" beside ".join(each.title for each in pictures)),
    )
    st.caption(_scale_words(pictures))
    # A new slice is a new chart to Streamlit: only what is kept here outlasts it.
    if zoom_key in st.session_state:
        st.button(
            "See all of it",
            icon=":material/zoom_out_map:",
            key="hit_whole",
            on_click=lambda: st.session_state.pop(zoom_key, None),
        )
    _actions(hit, shown)
    st.html(facts_html(scan_facts(page, shown)))


def _zoom(key: str) -> None:
    """Keep the box that was drawn, for every slice that is shown next."""
    zoom = Zoom.of(st.session_state["closer_look"])
    if zoom is not None:
        st.session_state[key] = zoom


def _scrubber(slices: Sequence[SlicePage], hit: SearchHit) -> SlicePage:
    """Let somebody go through the slices of the scan; the hit's own at first."""
    places = {each.slice_index: number for number, each in enumerate(slices)}
    start = places.get(hit.row.slice_index, 0)
    if len(slices) < 2:
        return slices[start]
    number = st.slider(
        "Slice of the scan",
        min_value=1,
        max_value=len(slices),
        value=start + 1,
        key=f"scrub_{hit.row.row_id}",
        help="The arrow keys move it too.",
    )
    shown = slices[number - 1]
    own = " · this is the hit" if shown.slice_index == hit.row.slice_index else ""
    st.caption(f"{escaped(shown.place)}{own}")
    return shown


def _hit_picture(shown: SlicePage, hit: SearchHit) -> Shown:
    width, height = picture_size(shown.preview_key) or (1, 1)
    is_hit = shown.slice_index == hit.row.slice_index
    what = f"Hit {hit.rank}" if is_hit else f"Scan of hit {hit.rank}, {shown.place}"
    return Shown(
        title=f"{what}: {rock(hit.row.reservoir, hit.row.sample)}",
        source=picture_url(shown.preview_key, kind=Picture.PREVIEW),
        width_px=width,
        height_px=height,
        width_um=shown.width_um,
    )


def _query_picture(result: SearchResult) -> Shown | None:
    """The first query; None where there is no picture of it."""
    state = page_state()
    query, facts = state.wish.queries[0], result.queries[0]
    title = f"Query: {query_title(facts, state.name_of(query))}"
    if isinstance(query, ObjectQuery):
        return _indexed_picture(query, facts, title=title)
    try:
        picture = drawn(query, max_side=_SIDE)
    except LithoscopeError:
        return None
    return _of_picture(picture, title=title)


def _indexed_picture(query: ObjectQuery, facts: QueryFacts, *, title: str) -> Shown | None:
    key = facts.picture_key
    parsed, size = (None, None) if key is None else (PictureKey.parse(key), picture_size(key))
    if key is None or parsed is None or size is None:
        return None
    slices = resources.service().library.scan_page(query.object_key).slices
    width_um = next(
        (each.width_um for each in slices if each.slice_index == parsed.slice_index), None
    )
    if query.region is not None:
        part = part_of_preview(key, query.region, width_um=width_um)
        if part is not None:
            return _of_picture(part, title=title)
    return Shown(
        title=title,
        source=picture_url(key, kind=Picture.PREVIEW),
        width_px=size[0],
        height_px=size[1],
        width_um=width_um,
    )


def _of_picture(picture: QueryPicture, *, title: str) -> Shown:
    return Shown(
        title=title,
        source=data_url(picture.pixels),
        width_px=picture.width_px,
        height_px=picture.height_px,
        width_um=picture.width_um,
    )


def _scale_words(pictures: Sequence[Shown]) -> str:
    move = (
        "Draw a box to zoom in: it stays while you go through the slices. The wheel zooms for a "
        "moment."
    )
    if len(pictures) < 2:
        return move
    if all(each.width_um is not None for each in pictures):
        return f"Both on the same physical scale. {move}"
    unknown = [
        name
        for name, each in zip(("the query", "the hit"), pictures, strict=True)
        if each.width_um is None
    ]
    return f"Not on one scale: the pixel size of {' and '.join(unknown)} is not known. {move}"


def _actions(hit: SearchHit, shown: SlicePage) -> None:
    state = page_state()
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "More like this", type="primary", icon=":material/image_search:", key="hit_like"
        ):
            _look_for(ObjectQuery(object_key=hit.row.object_key, slice_index=shown.slice_index))
        reservoir = hit.row.reservoir
        if reservoir is not None and st.button(
            f"Exclude reservoir {escaped(reservoir)}", icon=":material/block:", key="hit_exclude"
        ):
            state.exclude_reservoir(reservoir)
            st.rerun()
        is_marked = hit.row.row_id in state.marks
        if st.button(
            "Unmark" if is_marked else "Mark in the plots",
            icon=":material/bookmark:",
            key="hit_mark",
        ):
            state.toggle_mark(hit.row.row_id)
            st.rerun()


def _look_for(query: Query) -> None:
    page_state().look_for([query])
    st.rerun()
