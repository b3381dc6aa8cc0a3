"""Numbers in words: none is cut, and none is scaled silently."""

from __future__ import annotations

import pytest

from search_ui.query_words import Names, understand

NAMES = Names(
    reservoirs=("E1", "E2"),
    samples=("S1",),
    modalities=("micro_ct", "thin_section"),
    numbers=("porosity", "permeability_md", "pixel_size_um", "depth_m"),
)


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f", "\u2009", "'", "\u2019"])
def test_groups_of_three_digits_are_one_number(space: str) -> None:
    for text, told in (
        (f"permeability above 1{space}000 mD", "permeability at least 1000 mD"),
        (f"permeability 1{space}234 mD", "permeability exactly 1234 mD"),
        (f"10 - 1{space}000 mD", "permeability 10 to 1000 mD"),
        (f"12{space}345{space}678.5 mD or less", "permeability at most 12345678.5 mD"),
        (f"12{space}345,5 mD or less", "permeability at most 12345.5 mD"),
    ):
        found = understand(text, NAMES)
        assert ([chip.text for chip in found.chips], found.not_understood) == ([told], ())


@pytest.mark.parametrize(
    "text",
    [
        "permeability above 1 0000 mD",
        "permeability 1 2345 mD",
        "permeability 12 34 mD",
        "permeability above 0 123 mD",
        "permeability above 10^3 mD",
        "permeability above 1·10³ mD",
        "porosity 0.2 5 hits",
        "1 000 hits",
        "1 100 hits",
        "k=1 000",
        "permeability 1.234,5 mD",
    ],
)
def test_a_number_that_is_written_in_pieces_is_none(text: str) -> None:
    found = understand(text, NAMES)
    assert found.chips == ()
    assert f'"{text}"' in " | ".join(found.not_understood)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,234 mD", ["permeability exactly 1234 mD"]),
        ("porosity 0.15, 1,234 mD", ["porosity exactly 0.15", "permeability exactly 1234 mD"]),
        ("porosity 0,15, 1,234 mD", ["porosity exactly 0.15", "permeability exactly 1.234 mD"]),
        ("1,500-2,500 mD, porosity 0,2", ["permeability 1.5 to 2.5 mD", "porosity exactly 0.2"]),
        ("porosity 0,15, 1 234,5 mD", ["porosity exactly 0.15", "permeability exactly 1234.5 mD"]),
        ("porosity 0,15, 1.5 mD", ["porosity exactly 0.15", "permeability exactly 1.5 mD"]),
        ("porosity 0,15, permeability 1.234 mD", ["porosity exactly 0.15"]),
        ("porosity 0,15, permeability 1,234.5 mD", ["porosity exactly 0.15"]),
        ("permeability above 10 mD 5 hits", ["permeability at least 10 mD", "5 hits"]),
    ],
)
def test_where_one_comma_is_decimal_all_are(text: str, told: list[str]) -> None:
    found = understand(text, NAMES)
    assert [chip.text for chip in found.chips] == told
    assert len(found.not_understood) == (len(told) == 1 and "0,15" in text)
