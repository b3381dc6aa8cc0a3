"""Pictures of queries as addresses that a browser can show."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from infra.store_errors import ObjectMissingError
from search_ui import resources
from search_ui.components.state import page_state
from search_ui.query_pictures import part_of
from search_ui.sheet import read_picture, stored_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.regions import Region
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import FileQuery, UploadQuery

_KEPT = 6


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Write a picture as an address of itself."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", quality=88, method=0)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def drawn(query: FileQuery | UploadQuery, *, max_side: int) -> QueryPicture:
    """Draw a file that is looked for; remembered for this browser tab.

    Raises:
        LithoscopeError: It can't be drawn.
    """
    kept = page_state().pictures
    key = query, max_side
    if key not in kept:
        while len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = resources.service().draw(query, max_side=max_side)
    return kept[key]


def picture_size(key: str) -> tuple[int, int] | None:
    """Width and height of a slice's picture; None where it is missing or damaged.

    Args:
        key: Its key, which belongs to one content for ever.

    Raises:
        StoreError: The store is away.
    """
    try:
        return _picture_size(key)
    except ObjectMissingError:
        return None


def part_of_preview(key: str, region: Region, *, width_um: float | None) -> QueryPicture | None:
    """A part of a slice's large picture; None where the picture is missing or damaged.

    Args:
        key: The picture's key.
        region: The part.
        width_um: Width that the whole picture shows, in micrometres, or None.
    """
    pixels = read_picture(resources.site().objects, key)
    return None if pixels is None else part_of(pixels, region, width_um=width_um)


@st.cache_data(max_entries=4096, show_spinner=False)
def _picture_size(key: str) -> tuple[int, int] | None:
    """Likewise; what is raised is not remembered, so a picture that comes back is seen."""
    pixels = stored_picture(resources.site().objects, key)
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])
