"""Errors: what they quote can be shown."""

from __future__ import annotations

import pytest

from encoder.errors import printable

LOST = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grès des Vosges, 10\N{NO-BREAK SPACE}µm", "Grès des Vosges, 10\N{NO-BREAK SPACE}µm"),
        ("two\nlines\r\x85\u2028\u2029", f"two{LOST}lines{LOST * 4}"),
        ("\x1b[31mred\x07\x9b", f"{LOST}[31mred{LOST * 2}"),
        ("a\u202egnp.exe\u2066\u200f", f"a{LOST}gnp.exe{LOST * 2}"),
        ("caf\udce9.raw", f"caf{LOST}.raw"),
        ("", ""),
    ],
    ids=["words", "line breaks", "control characters", "direction", "undecodable", "nothing"],
)
def test_only_what_is_safe_to_show_is_left(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
