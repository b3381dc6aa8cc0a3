"""Looking for a part of an image: a box that is dragged over it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from encoder.errors import LithoscopeError
from encoder.regions import Region
from infra.pictures import PictureKey
from search_ui.components.messages import for_viewers
from search_ui.components.picture_data import data_url, drawn, picture_size
from search_ui.components.picture_figures import PICTURE_CONFIG, region_figure
from search_ui.components.state import page_state
from search_ui.components.wording import query_title
from search_ui.requests import ObjectQuery, SearchError
from search_ui.resources import Picture, picture_url
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_ui.requests import Query
    from search_ui.results import QueryFacts

_SIDE = 1024


@st.dialog("Look for a part of it", width="large")
@for_viewers
def region_dialog() -> None:
    """Let a box be dragged over a query, and look for what is in it."""
    state = page_state()
    result = state.result
    if result is None:
        return
    number = 0
    if len(result.queries) > 1:
        number = st.selectbox(
            "Of",
            range(len(result.queries)),
            format_func=lambda place: query_title(
                result.queries[place], state.name_of(state.wish.queries[place])
            ),
        )
    query, facts = state.wish.queries[number], result.queries[number]
    st.caption("Drag a box over the part that matters.")
    try:
        source, size = _picture(query, facts)
    except LithoscopeError as error:
        tell(error)
        return
    event = st.plotly_chart(
        region_figure(source, size=size, region=query.region),
        key=f"region_{state.serial}_{number}",
        on_select="rerun",
        selection_mode="box",
        config=PICTURE_CONFIG,
        alt="The image that is looked for; drag a box over a part of it",
    )
    chosen = region_of(event, size)
    if chosen is not None:
        width, height = chosen.right - chosen.left, chosen.bottom - chosen.top
        st.caption(f"Chosen: {100 * width:.0f} % of its width, {100 * height:.0f} % of its height")
    if st.button("Look for this part", type="primary", disabled=chosen is None) and chosen:
        whole = [*state.wish.queries]
        whole[number] = replace(_one_slice(query, facts), region=chosen)
        state.look_for(whole)
        st.rerun()


def region_of(event: Any, size: tuple[int, int]) -> Region | None:  # noqa: ANN401  plotly's own
    """Read the box that was dragged.

    Args:
        event: What the chart tells of its selection.
        size: Width and height of the picture, in the chart's units.
    """
    boxes: list[Mapping[str, list[float]]] = event["selection"].get("box", []) if event else []
    if not boxes:
        return None
    (left, right), (top, bottom) = (
        sorted(min(max(value / length, 0.0), 1.0) for value in boxes[-1][axis])
        for axis, length in zip("xy", size, strict=True)
    )
    if left >= right or top >= bottom:
        return None
    return Region(left=left, top=top, right=right, bottom=bottom)


def _picture(query: Query, facts: QueryFacts) -> tuple[str, tuple[int, int]]:
    """Address of the query's picture, and its size."""
    if not isinstance(query, ObjectQuery):
        picture = drawn(replace(query, region=None), max_side=_SIDE)
        return data_url(picture.pixels), (picture.width_px, picture.height_px)
    key = facts.picture_key or ""
    size = picture_size(key)
    if size is None:
        raise SearchError("picture: it is missing; look for the whole scan, or index it again")
    return picture_url(key, kind=Picture.PREVIEW), size


def _one_slice(query: Query, facts: QueryFacts) -> Query:
    """The slice that is shown, of an indexed scan: a box on it means nothing on others."""
    if not isinstance(query, ObjectQuery) or facts.picture_key is None:
        return query
    key = PictureKey.parse(facts.picture_key)
    return query if key is None else replace(query, slice_index=key.slice_index)
