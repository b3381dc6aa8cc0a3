"""An answer to take along: a link, and files of four kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from search_ui import resources
from search_ui.components.links import address
from search_ui.components.state import page_state
from search_ui.exports import Answer, to_csv, to_html, to_json, to_png

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_ui.results import SearchResult

_NAME = "lithoscope-analogs"


def take_along(result: SearchResult) -> None:
    """Offer it.

    Args:
        result: The answer that is shown.
    """
    with st.popover("Take it with you", icon=":material/ios_share:"):
        link = address()
        if link is not None:
            st.caption("A link that opens this search again, for anybody who may see this site:")
            st.code(link, language=None, wrap_lines=True)
        st.caption("Files of what is shown:")
        for label, kind, mime, made in _files(result):
            st.download_button(
                label,
                data=made,
                file_name=f"{_NAME}.{kind}",
                mime=mime,
                icon=":material/download:",
                key=f"download_{kind}",
                on_click="ignore",
                width="stretch",
            )


def _files(
    result: SearchResult,
) -> list[tuple[str, str, str, Callable[[], str | bytes]]]:
    """What is offered: its label, its suffix, its kind, and how it is made once it is wanted."""
    service, request, link = resources.service(), page_state().wish, address()
    objects = service.site.objects

    def answer() -> Answer:
        return Answer.of(request, result, service=service, link=link)

    return [
        ("Report (HTML, one page)", "html", "text/html", lambda: to_html(answer(), objects)),
        ("Pictures (PNG)", "png", "image/png", lambda: to_png(answer(), objects)),
        ("Table (CSV)", "csv", "text/csv", lambda: to_csv(answer())),
        ("Everything (JSON)", "json", "application/json", lambda: to_json(answer())),
    ]
