"""An answer to take along: a link, and files of four kinds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from search_ui import resources
from search_ui.components.links import address
from search_ui.components.state import page_state
from search_ui.exports import Answer, moves_text, to_csv, to_html, to_json, to_png

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_ui.comparing import Comparison
    from search_ui.results import SearchResult

_NAME = "lithoscope-analogs"


def take_along(result: SearchResult, comparison: Comparison | None = None) -> None:
    """Offer it.

    Args:
        result: The answer that is shown.
        comparison: What is shown of two models, where that is.
    """
    with st.popover("Take it with you", icon=":material/ios_share:"):
        link = address()
        if link is not None:
            st.caption("A link that opens this search again, for anybody who may see this site:")
            st.code(link, language=None, wrap_lines=True)
        st.caption("Files of what is shown:")
        for label, kind, mime, made in _files(result, comparison):
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
    result: SearchResult, comparison: Comparison | None
) -> list[tuple[str, str, str, Callable[[], str | bytes]]]:
    """What is offered: its label, its suffix, its kind, and how it is made once it is wanted."""
    service, request, link = resources.service(), page_state().wish, address()
    objects = service.site.objects

    def answer() -> Answer:
        return Answer.of(request, result, service=service, link=link)

    whose = "" if comparison is None else " of the live model"
    table: Callable[[], str]
    whole: Callable[[], str]
    pictures: list[tuple[str, str, str, Callable[[], str | bytes]]] = [
        (
            f"Report{whose} (HTML, one page)",
            "html",
            "text/html",
            lambda: to_html(answer(), objects),
        ),
        (f"Pictures{whose} (PNG)", "png", "image/png", lambda: to_png(answer(), objects)),
    ]
    if comparison is None:
        table, whole = partial(to_csv, result), partial(to_json, result)
    else:
        table, whole = (partial(moves_text, comparison, form) for form in ("csv", "json"))
    return [
        *pictures,
        ("Table (CSV)", "csv", "text/csv", table),
        ("Everything (JSON)", "json", "application/json", whole),
    ]
