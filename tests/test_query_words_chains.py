"""Comparisons in signs: "10 mD < k < 100 mD" is a range, and half of one is none."""

from __future__ import annotations

import pytest

from search_ui.query_words import Names, understand

NAMES = Names(numbers=("porosity", "permeability_md", "pixel_size_um"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10 mD < k < 100 mD", "permeability 10 to 100 mD"),
        ("10 < k <= 100 mD", "permeability 10 to 100 mD"),
        ("100 mD ≥ permeability > 10 mD", "permeability 10 to 100 mD"),
        ("0.1 < porosity < 0.2", "porosity 0.1 to 0.2"),
        ("0.1≤phi≤0.2", "porosity 0.1 to 0.2"),
        ("5 < pixel size =< 10 µm", "pixel size 5 to 10 µm"),
        ("10 mD < k", "permeability at least 10 mD"),
        ("0.2 > porosity", "porosity at most 0.2"),
        ("exclude 10 mD < permeability", "permeability at most 10 mD"),
    ],
)
def test_a_name_between_its_bounds(text: str, told: str) -> None:
    found = understand(text, NAMES)
    assert ([chip.text for chip in found.chips], found.not_understood) == ([told], ())


@pytest.mark.parametrize(
    "text",
    [
        "10 < k < 100",
        "0.1 < porosity > 0.2",
        "0.1 < porosity < permeability",
        "0.1 < porosity < 0.2 < 0.3",
        "10 mD < depth < 100 mD",
        "porosity 0.1 < permeability < 5 mD",
        "exclude 0.1 < porosity < 0.2",
        "0.2 < porosity < 0.1",
    ],
)
def test_no_half_of_what_is_not_understood(text: str) -> None:
    found = understand(text, NAMES)
    assert found.chips == ()
    assert f'"{text}"' in " | ".join(found.not_understood)
