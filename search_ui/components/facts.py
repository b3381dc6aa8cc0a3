"""Facts as a list of names and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from search_ui.components.wording import safe

if TYPE_CHECKING:
    from collections.abc import Mapping


def facts(values: Mapping[str, str]) -> None:
    """Show values by name; both may be anybody's text."""
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in values.items())
    st.html(f'<dl class="litho-facts">{rows}</dl>')
