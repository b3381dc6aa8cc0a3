"""Text of anybody, made safe for pages: names of rocks are no markup."""

from __future__ import annotations

import re

from encoder.errors import printable

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^=@/\"'])")
"""Signs that mean something in Streamlit's Markdown, its directives and formulas."""


_OPTION = re.compile(r"\s?\(--[a-z][a-z-]*(?: [^()\s]+)?\)")


def without_options(text: str) -> str:
    """Leave out what only a command takes, such as "(--max-pixels)", of a text for pages."""
    return _OPTION.sub("", text)


def escaped(text: str) -> str:
    """Spell a text so that Markdown shows it as it is, on one line."""
    return _SIGNS.sub(r"\\\1", printable(text))
