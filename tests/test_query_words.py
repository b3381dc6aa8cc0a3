"""Filters in words: what is said is understood, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from encoder.ranking import GroupBy
from search_ui.query_words import Names, chips_of, understand, without, words_of
from search_ui.requests import Filters, ObjectQuery, PropertyRange, SearchRequest

NAMES = Names(
    reservoirs=("E1", "E2", "E2b", "Berea Sandstone", "Big, Rock", "only", "5", 'The "Old" One'),
    samples=("S1", "S2", "12-3B", "porosity", "E1 north", "=HYPERLINK()"),
    modalities=("micro_ct", "thin_section"),
    numbers=(
        *("porosity", "permeability_md", "pixel_size_um", "predicted_porosity"),
        *("predicted_permeability_md", "depth_m", "clay_fraction"),
    ),
)
ASKED = SearchRequest(queries=(ObjectQuery(object_key="scans/E1/S1/a.png"),))

UNDERSTOOD = {
    "exclude reservoir E2, porosity 0.15–0.25, only micro-CT": (
        *("not from reservoir E2", "porosity 0.15 to 0.25", "only micro-CT"),
    ),
    "not E2 and E1, at least 10 mD": (
        *("not from reservoir E2", "not from reservoir E1", "permeability at least 10 mD"),
    ),
    "porosity 15% to 25%": ("porosity 0.15 to 0.25",),
    "15-25% porosity": ("porosity 0.15 to 0.25",),
    "porosity 0,15–0,25": ("porosity 0.15 to 0.25",),
    "porosity=0.15:0.25": ("porosity 0.15 to 0.25",),
    "porosity 0.2 ± 0.05": ("porosity 0.15 to 0.25",),
    "Porosity between .15 and .25 and permeability over 10 mD": (
        *("porosity 0.15 to 0.25", "permeability at least 10 mD"),
    ),
    "phi > 0.1 and < 0.3": ("porosity 0.1 to 0.3",),
    "porosity not above 0.3": ("porosity at most 0.3",),
    "exclude slices with porosity above 0.3": ("porosity at most 0.3",),
    "porosity at least 20 percent but not from E2": (
        *("porosity at least 0.2", "not from reservoir E2"),
    ),
    "10 mD or more": ("permeability at least 10 mD",),
    "1,000 to 2,000 mD": ("permeability 1000 to 2000 mD",),
    "permeability ≤ 1.5 darcy": ("permeability at most 1500 mD",),
    "permeability ≥ 10": ("permeability at least 10 mD",),
    "k 10-100 mD, k=5": ("permeability 10 to 100 mD", "5 hits"),
    "pixel size under 500 nm": ("pixel size at most 0.5 µm",),
    "resolution below 5 µm; voxel size 1 to 2 µm": ("pixel size 1 to 2 µm",),
    "predicted porosity 0.1-0.2": ("predicted porosity 0.1 to 0.2",),
    "depth_m over 100 m, clay fraction at most 0.3": (
        *("depth_m at least 100", "clay_fraction at most 0.3"),
    ),
    "depth m between -5 and 5": ("depth_m -5 to 5",),
    "depth_m -5 to 5": ("depth_m -5 to 5",),
    "porosity .15-.25": ("porosity 0.15 to 0.25",),
    "exclude E1 or E2": ("not from reservoir E1", "not from reservoir E2"),
    "only with measured permeability": ("permeability measured",),
    "berea sandstone only": ('only reservoir "Berea Sandstone"',),
    'only Berea  Sandstone or "Big, Rock"': ('only reservoirs "Berea Sandstone" or "Big, Rock"',),
    "from E1 and E2": ("only reservoirs E1 or E2",),
    "everything but E1": ("not from reservoir E1",),
    "not E1 north": ('not from sample "E1 north"',),
    "exclude reservoir 5": ("not from reservoir 5",),
    "not from reservoir only": ('not from reservoir "only"',),
    "reservoirs other than E1": ("not from reservoir E1",),
    "-E2 -S1": ("not from reservoir E2", "not from sample S1"),
    "exclude reservoir E2 and sample S1": ("not from reservoir E2", "not from sample S1"),
    "sample 12-3B": ("only sample 12-3B",),
    "exclude scans/E1/S1/a.png": ('not scan "scans/E1/S1/a.png"',),
    "micro-CT without E2": ("only micro-CT", "not from reservoir E2"),
    "no thin sections": ("only micro-CT",),
    "show me slices from E1 please": ("only reservoir E1",),
    "with own sample, 5 hits, grouped by reservoir": (
        *("with own sample", "5 hits", "grouped by reservoir"),
    ),
    "exclude this sample": ("without own sample",),
    "at most 2 per sample; similarity at least 0.6; keep unmeasured": (
        *("at most 2 per sample", "similarity at least 0.6", "keep unmeasured"),
    ),
    "one per reservoir": ("grouped by reservoir",),
    "porosity over 0.2 or unmeasured": ("porosity at least 0.2", "keep unmeasured"),
    "at least 60% similar": ("similarity at least 0.6",),
    "top 5 reservoirs": ("grouped by reservoir", "5 hits"),
    "top 3": ("3 hits",),
    "the three rows": ("three rows",),
}
PARTLY = {"resolution below 5 µm; voxel size 1 to 2 µm"}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_what_people_write(text: str) -> None:
    found = understand(text, NAMES)
    assert tuple(chip.text for chip in found.chips) == UNDERSTOOD[text]
    assert bool(found.not_understood) == (text in PARTLY), found.not_understood


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("with fractures", '"with fractures"'),
        ("exclude E22", "did you mean 'E2'"),
        ("only reservoir Bera Sandstone", "did you mean 'Berea Sandstone'"),
        ("porosty 0.1-0.2", "did you mean 'porosity'"),
        ("porosity 15 to 25", "15%"),
        ("porosity 0.3 to 0.1", "swap"),
        ("permeability 5 µm", "no unit"),
        ("permeability above -3", "at least 0"),
        ("k > 10", '"k > 10"'),
        ("E2", "'only E2' or 'not E2'"),
        ("not E2-b", "E2-b"),
        ("not E2/S1", "E2/S1"),
        ("no vugs porosity 0.1-0.2", '"no vugs porosity 0.1-0.2"'),
        ("nothing above similarity at least 0.6", "nothing above"),
        ("not between E1 and E2", "not between"),
        ("not without E2", "not without E2: write 'only E2' or 'not E2'"),
        ("not only E2", "not only E2: write 'only E2' or 'not E2'"),
        ("don't show only reservoir E2", "'only reservoir E2'"),
        ("not just this reservoir", "write 'only this reservoir'"),
        ("exclude everything but E2", "but E2: write 'only E2' or 'not E2'"),
        ("permeability -5", "at least 0"),
        ("permeability –5", "–5"),
        ("porosity -.5", "fraction"),
        ("porosity 0,15 bis 0,25", '"porosity 0,15 bis 0,25"'),
        ("porosity < 10% or > 20%", '"porosity < 10% or > 20%"'),
        ("porosity < 10% or porosity > 20%", '"porosity < 10% or porosity > 20%"'),
        ("only E1 or fractured", '"only E1 or fractured"'),
        ("exclude porosity 0.1–0.2", "wanted"),
        ("similarity below 0.5", "similarity at least"),
        ("exclude 5", '"exclude 5"'),
        ("0 hits", "1 to 1000"),
        ("5,000 hits", "hits"),
        ("2 per reservoir", "grouped by reservoir"),
        ("exclude this reservoir", "is not known"),
        ("not micro-CT and not thin sections", "imaging"),
        ("porosity 1e999", "fraction"),
        ("depth_m over 1e999", "out of all bounds"),
        ("x" * 5000, "2,000"),
    ],
)
def test_what_is_not_understood_is_said(text: str, told: str) -> None:
    found = understand(text, NAMES)
    assert found.chips == ()
    assert told in " | ".join(found.not_understood)


def test_a_name_that_may_go_on_with_an_exclusion_is_asked_about() -> None:
    found = understand("exclude E2, sample S1", NAMES)
    assert [chip.text for chip in found.chips] == ["not from reservoir E2"]
    assert found.not_understood == ("sample S1: write 'only sample S1' or 'not sample S1'",)


def test_the_own_reservoir_is_that_of_the_query() -> None:
    names = replace(NAMES, own_reservoirs=("E1",))
    for text in ("exclude this reservoir", "only other reservoirs", "not its own reservoir"):
        assert [c.text for c in understand(text, names).chips] == ["not from reservoir E1"]


def test_chips_change_a_request_and_are_removed() -> None:
    found = understand("not E2, only sample S1, porosity over 0.1, 3 hits, keep unmeasured", NAMES)
    assert found.apply(ASKED) == replace(
        ASKED,
        k=3,
        filters=Filters(
            exclude_reservoirs=("E2",),
            only_samples=("S1",),
            ranges=(PropertyRange(name="porosity", low=0.1),),
            keep_unmeasured=True,
        ),
    )
    left = without(found.chips, found.chips[0])
    assert [chip.text for chip in left] == [chip.text for chip in found.chips[1:]]


def test_the_same_property_twice_is_one_range() -> None:
    asked = understand("porosity 0.15 to 0.25, pixel size under 2 µm", NAMES).apply(ASKED)
    both = understand("porosity 0.2 to 0.3", NAMES).apply(asked)
    assert set(words_of(both)) == {"porosity 0.2 to 0.25", "pixel size at most 2 µm"}
    apart = understand("porosity at least 0.4", NAMES).apply(asked)
    assert "porosity at least 0.4" in words_of(apart)
    assert "porosity 0.15 to 0.25" in words_of(apart)


def random_request(rng: random.Random) -> SearchRequest:
    def some(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(rng.sample(names, rng.choice([0, 0, 1, 2])))

    low, high = sorted(rng.choice([0.0, 0.125, 0.3, 1e-7, 0.123456789]) for _ in range(2))
    ranges = [
        PropertyRange(name="porosity", low=low, high=high),
        PropertyRange(name="permeability_md", low=rng.choice([1.5, 12345.678, 1e-9])),
        PropertyRange(name="depth_m", high=rng.choice([-10.0, 1e20])),
        PropertyRange(name="predicted_permeability_md"),
        PropertyRange(name="pixel_size_um", low=2.0, high=2.0),
    ]
    filters = Filters(
        only_reservoirs=some(NAMES.reservoirs),
        exclude_reservoirs=some(NAMES.reservoirs),
        only_samples=some(NAMES.samples),
        exclude_samples=some(NAMES.samples),
        only_objects=some(("scans/E1/S1/a.png", 'scans/_/S"1/b c,d.png')),
        exclude_objects=some(("scans/E2/S1/a%20b.png", "scans/x/y/z")),
        modalities=rng.choice([(), ("micro_ct",), ("thin_section", "micro_ct")]),
        ranges=tuple(rng.sample(ranges, rng.randrange(4))),
        keep_unmeasured=rng.random() < 0.5,
    )
    return replace(
        ASKED,
        k=rng.choice([1, 5, 10, 1000]),
        filters=filters,
        group_by=rng.choice([None, *GroupBy]),
        per_sample=rng.choice([None, 1, 7]),
        min_similarity=rng.choice([0.0, 0.1, 0.875, 1.0]),
        include_own_sample=rng.random() < 0.5,
        three_rows=rng.random() < 0.5,
    )


def test_nothing_of_a_kind_is_none_of_it() -> None:
    names = Names(reservoirs=("E2", "E3"))
    for text in ("nothing from E2", "remove E2", "avoid reservoir E2"):
        assert [chip.text for chip in understand(text, names).chips] == ["not from reservoir E2"]
    for text in ("nothing below 10 % porosity", "nothing by thin sections", "zero from E2"):
        told = understand(text, names)
        assert (told.chips, len(told.not_understood)) == ((), 1), text


def test_every_request_in_words_is_understood_as_itself() -> None:
    rng = random.Random(3)  # noqa: S311  reproducible, no secret
    for _ in range(300):
        request = random_request(rng)
        words = list(words_of(request))
        rng.shuffle(words)
        found = understand(rng.choice(["; ", ", ", "\n"]).join(words), NAMES)
        assert found.not_understood == (), words
        assert {*found.chips} == {*chips_of(request)}, words
        assert {*words_of(found.apply(ASKED))} == {*words}


PIECES = (
    *("not", "only", "exclude", "without", "from", "and", "or", ",", ";", "reservoir", "sample"),
    *("E1", "E22", "Berea", "Sandstone", '"', "“E1”", "'", "5", "0.2", "15%", "-", "–", "to", "mD"),
    *("porosity", "permeability", "k", "over", "at most", "between", "similarity", "hits", "per"),
    *("micro-CT", "thin", "section", "unmeasured", "own", "three rows", "measured", "\0", "\n"),
    *(
        "fractured",
        "é",
        "\u202e",
        "½",
        "\U0001d7d8",
        "(",
        ")",
        "1e9",
        "1,2,3",
        "scans/a/b/c",
        "group",
        "by",
    ),
)
SAID = {
    "porosity": {"porosity"},
    "permeability": {"permeability", "mD", "k"},
    "similarity": {"similarity"},
    "micro-CT": {"micro-CT", "section"},
    "thin": {"micro-CT", "section"},
    "unmeasured": {"unmeasured", "measured"},
    "grouped": {"by", "per", "reservoir"},
    "hit": {"hits", "k"},
    "rows": {"three rows"},
    "own": {"own"},
    "E1": {"E1", "“E1”"},
    "Sandstone": {"Sandstone"},
    "scan": {"scans/a/b/c"},
}


def test_any_text_is_answered_and_only_what_was_said_is_understood() -> None:
    rng = random.Random(5)  # noqa: S311  reproducible, no secret
    for _ in range(1500):
        pieces = [rng.choice(PIECES) for _ in range(rng.randrange(1, 14))]
        text = rng.choice([" ", " ", ""]).join(pieces)
        found = understand(text, NAMES)
        told = " | ".join(chip.text for chip in found.chips)
        if "" not in pieces and " " in text:
            for word, causes in SAID.items():
                assert word not in told or causes & {*pieces}, (text, told)
        assert "E2" not in told or "E22" not in text or "E2b" in told, (text, told)
        for line in (told, *found.not_understood):
            assert "\n" not in line
        request = found.apply(ASKED)
        assert understand(", ".join(words_of(request)), NAMES).not_understood == ()


def test_texts_of_signs_alone() -> None:
    rng = random.Random(7)  # noqa: S311  reproducible, no secret
    everything = [chr(code) for code in range(0x20, 0x3000) if not chr(code).isalpha()]
    signs = rng.sample(everything, 300)
    for _ in range(500):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(60)))
        assert understand(text, NAMES).chips == ()


def test_words_nobody_knows_ask_for_nothing() -> None:
    rng = random.Random(9)  # noqa: S311  reproducible, no secret
    for _ in range(200):
        words = ["".join(rng.choices("bcdfghj", k=rng.randrange(4, 9))) for _ in range(4)]
        found = understand(" ".join(words), NAMES)
        assert found.chips == ()
        assert found.not_understood
