"""How far an exclusion goes: nothing that may be left out is asked for instead."""

from __future__ import annotations

import itertools

import pytest

from search_ui.query_words import Names, understand

NAMES = Names(
    reservoirs=("E1", "E2", "Berea", "Ketton"),
    samples=("S1", "S2"),
    modalities=("micro_ct", "thin_section"),
    numbers=("porosity", "permeability_md", "pixel_size_um", "depth_m"),
    own_reservoirs=("E1",),
)


@pytest.mark.parametrize(
    "text",
    [
        "exclude porosity below 5 % and permeability below 1 mD",
        "exclude porosity below 5 % or permeability below 1 mD",
        "exclude porosity below 5 %, permeability below 1 mD",
        "exclude k below 1 mD and porosity below 5 % and pixel size below 5 µm",
        "exclude porosity below 5 % and thin sections",
        "exclude porosity 0.1-0.2 and thin sections",
        "exclude porosity below 5 % and unmeasured",
        "exclude E1 and porosity below 5 %",
        "exclude E1 and porosity above 5 %",
        "exclude E1, and porosity below 5 %",
        "exclude E1, E2 and porosity below 5 %",
        "exclude E1 with porosity below 5 %",
        "exclude E1 where porosity is below 5 %",
        "exclude E1 if porosity is below 5 %",
        "exclude E1 only where porosity is below 5 %",
        "exclude E1 slices that have porosity below 5 %",
        "exclude E1 and -5 to 5 depth_m",
        "exclude thin sections and permeability below 1 mD",
        "not E2, and micro-CT",
        "not E2, and unmeasured",
        "exclude this reservoir and porosity above 5 %",
        "exclude fractures and porosity below 5 %",
        "exclude E1 and fractures and porosity below 5 %",
        "not E1 and from Berea",
        "exclude S1 from Berea",
        "remove sample S1 from reservoir E1",
        "exclude thin sections from Berea",
        "hide micro-CT scans from Ketton",
        "without Berea in micro-CT",
        "exclude sample S1 of reservoir E1",
        "exclude own sample and thin sections from Berea",
        "micro-CT without Berea in Ketton",
        "exclude E1 with own sample",
        "exclude E1, but not S1",
        "exclude E1, except S1",
        "exclude E1 but not porosity below 5 %",
        "porosity below 5 % and E1 excluded",
        "porosity below 5 % and permeability below 1 mD excluded",
        "only E1 or unmeasured",
    ],
)
def test_what_may_be_left_out_as_well_is_not_understood(text: str) -> None:
    found = understand(text, NAMES)
    assert found.chips == ()
    assert found.not_understood == (f'"{text}"',)


UNDERSTOOD = {
    "exclude E1 and E2": ("not from reservoir E1", "not from reservoir E2"),
    "exclude E1, E2, and Berea": (
        *("not from reservoir E1", "not from reservoir E2", "not from reservoir Berea"),
    ),
    "exclude E1 and thin sections": ("not from reservoir E1", "only micro-CT"),
    "exclude E1 and unmeasured": ("not from reservoir E1", "drop unmeasured"),
    "exclude E1 or the unmeasured ones": ("not from reservoir E1", "drop unmeasured"),
    "exclude own sample and thin sections": ("without own sample", "only micro-CT"),
    "exclude the own sample and the thin sections": ("without own sample", "only micro-CT"),
    "exclude thin sections and own sample": ("only micro-CT", "without own sample"),
    "exclude own sample and E2 and S1": (
        *("without own sample", "not from reservoir E2", "not from sample S1"),
    ),
    "exclude this sample and this reservoir": ("without own sample", "not from reservoir E1"),
    "exclude unmeasured as well as E2": ("drop unmeasured", "not from reservoir E2"),
    "exclude E1, from Berea": ("not from reservoir E1", "only reservoir Berea"),
    "exclude E1 but from Berea": ("not from reservoir E1", "only reservoir Berea"),
    "exclude E1. Porosity above 5 %": ("not from reservoir E1", "porosity at least 0.05"),
    "exclude E1, porosity 5-20 % and k above 1 mD": (
        *("not from reservoir E1", "porosity 0.05 to 0.2", "permeability at least 1 mD"),
    ),
    "exclude E1 and keep unmeasured": ("not from reservoir E1", "keep unmeasured"),
    "exclude E1 and only micro-CT": ("not from reservoir E1", "only micro-CT"),
    "without E1 and without S1": ("not from reservoir E1", "not from sample S1"),
    "-E2 and -S1": ("not from reservoir E2", "not from sample S1"),
    "exclude E1 and at most 2 per sample, three rows": (
        *("not from reservoir E1", "at most 2 per sample", "three rows"),
    ),
    "5 hits without E1": ("5 hits", "not from reservoir E1"),
    "porosity above 5 % and permeability below 1 mD": (
        *("porosity at least 0.05", "permeability at most 1 mD"),
    ),
    "no less than 5 % porosity and permeability below 1 mD": (
        *("porosity at least 0.05", "permeability at most 1 mD"),
    ),
    "porosity not above 5 % and permeability below 1 mD": (
        *("porosity at most 0.05", "permeability at most 1 mD"),
    ),
    "only other reservoirs with porosity above 20 %": (
        *("not from reservoir E1", "porosity at least 0.2"),
    ),
    "thin sections from Berea with porosity above 10 %": (
        *("only thin sections", "only reservoir Berea", "porosity at least 0.1"),
    ),
    "porosity 0.15-0.25, only micro-CT": ("porosity 0.15 to 0.25", "only micro-CT"),
    "from Berea": ("only reservoir Berea",),
    "in micro-CT": ("only micro-CT",),
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_what_says_itself_whether_it_is_wanted(text: str) -> None:
    found = understand(text, NAMES)
    assert tuple(chip.text for chip in found.chips) == UNDERSTOOD[text]
    assert found.not_understood == ()


def test_a_list_may_end_in_what_is_wanted() -> None:
    found = understand("porosity 0.15-0.25, not E2, and micro-CT", NAMES)
    assert [chip.text for chip in found.chips] == ["porosity 0.15 to 0.25"]
    assert found.not_understood == ('"not E2, and micro-CT"',)


def test_the_clauses_around_stay() -> None:
    found = understand("5 hits, exclude E1 and porosity above 5 %, only micro-CT", NAMES)
    assert [chip.text for chip in found.chips] == ["5 hits", "only micro-CT"]
    assert found.not_understood == ('"exclude E1 and porosity above 5 %"',)


WANTED = {
    "E2": "only reservoir E2",
    "sample S1": "only sample S1",
    "thin sections": "only thin sections",
    "unmeasured": "keep unmeasured",
    "own sample": "with own sample",
    "porosity below 5 %": "porosity at most 0.05",
    "this reservoir": "only reservoir E1",
    "measured porosity": "porosity measured",
}
JOINS = (
    *(" and ", " or ", " with ", " where ", " if ", " from ", " in ", " within ", " of ", " for "),
    *(", and ", ", or ", " plus ", " & ", " that have ", " and with ", " and from ", " (", " / "),
    *(" as well as ", " slices with ", " - ", " when ", " only if ", " only in ", " "),
)


@pytest.mark.parametrize("opening", ["exclude", "not", "without", "leave out", "everything but"])
def test_nothing_is_asked_for_that_was_to_be_left_out(opening: str) -> None:
    for (first, second), join in itertools.product(itertools.permutations(WANTED, 2), JOINS):
        text = f"{opening} {first}{join}{second}"
        told = {chip.text for chip in understand(text, NAMES).chips}
        assert not told & {WANTED[first], WANTED[second]}, text
