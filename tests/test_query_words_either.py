"""Filters are asked for together: an "or" of two kinds is not understood."""

from __future__ import annotations

import pytest

from search_ui.query_words import Names, understand

NAMES = Names(
    reservoirs=("E1", "E2", "Berea", "Ketton"),
    samples=("S1", "S2"),
    modalities=("micro_ct", "thin_section"),
    numbers=("porosity", "permeability_md"),
)


@pytest.mark.parametrize(
    "text",
    [
        "only Berea or thin sections",
        "only reservoir E1 or sample S1",
        "only Berea, Ketton or thin sections",
        "only Berea, S1 or S2",
        "only Berea, thin sections or Ketton",
        "only E1 | thin sections",
        "from E1 or sample S1",
        "Berea or thin sections only",
        "porosity above 20 %, or permeability below 100",
        "micro-CT, or porosity above 5 %",
        "only micro-CT; or only E1",
        "only E1, or porosity above 5 %, or E2",
        "only E1 or only S1",
        "E1 or E2 or micro-CT",
    ],
)
def test_either_of_two_kinds_is_not_both(text: str) -> None:
    found = understand(text, NAMES)
    assert found.chips == ()
    assert f'"{text}"' in " | ".join(found.not_understood)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("only Berea or Ketton", ["only reservoirs Berea or Ketton"]),
        ("only Berea and Ketton", ["only reservoirs Berea or Ketton"]),
        ("only Berea, Ketton and thin sections", ["Berea or Ketton", "only thin sections"]),
        ("only Berea or Ketton and thin sections", ["Berea or Ketton", "only thin sections"]),
        ("only Berea and micro-CT or thin sections", ["only reservoir Berea", "or thin"]),
        ("Berea and thin sections only", ["only reservoir Berea", "only thin sections"]),
        ("porosity over 0.2, or unmeasured", ["porosity at least 0.2", "keep unmeasured"]),
        ("exclude Berea or thin sections", ["not from reservoir Berea", "only micro-CT"]),
        ("thin sections, E1 excluded", ["only thin sections", "not from reservoir E1"]),
        ("5 hits and E2 excluded", ["5 hits", "not from reservoir E2"]),
        ("3 per sample and E1 excluded", ["3 per sample", "not from reservoir E1"]),
    ],
)
def test_either_of_one_kind_is_understood(text: str, told: list[str]) -> None:
    found = understand(text, NAMES)
    assert found.not_understood == ()
    assert len(found.chips) == len(told)
    assert all(part in chip.text for part, chip in zip(told, found.chips, strict=True))


def test_wanted_and_excluded_at_once_is_asked_about() -> None:
    found = understand("only micro-CT and E1 excluded", NAMES)
    assert found.chips == ()
    assert "write 'only micro-CT and E1' or 'not micro-CT and E1'" in found.not_understood[0]
