"""Filters: what they say as Milvus expressions, and what they select in plain Python."""

from __future__ import annotations

import random

import pytest

from infra.filters import (
    MAX_DEPTH,
    And,
    Between,
    Compare,
    Comparison,
    Filter,
    FilterError,
    FilterFields,
    In,
    NotIn,
    Or,
    Range,
    check_filter,
    matches,
    quote,
    render,
)

FIELDS = FilterFields(texts=frozenset({"reservoir", "sample"}), numbers=frozenset({"porosity"}))
ESCAPED = {"\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t"}


def read_literal(text: str) -> tuple[str, str]:
    """Read a literal as Milvus does: its value, and what follows its closing quote."""
    assert text[0] == '"'
    value, place = [], 1
    while text[place] != '"':
        assert text[place] not in "\r\n", "a raw line end is not allowed in a literal"
        if text[place] == "\\":
            place += 1
            value.append(ESCAPED[text[place]])
        else:
            value.append(text[place])
        place += 1
    return "".join(value), text[place + 1 :]


def test_any_text_comes_back_from_its_literal() -> None:
    rng = random.Random(3)  # noqa: S311  a reproducible fuzz, no secret
    alphabet = list("\\\"'\n\r\tnrt {}[]%_$a\x00\x1b\x85\u2028é日😀")
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(40))) for _ in range(5000)]
    for text in [*texts, '"' * 60_000, "\\" * 60_000, "日\n" * 20_000]:
        assert read_literal(quote(text)) == (text, "")


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(FilterError, match="not valid Unicode"):
        render(In("sample", ("\ud800",)), FIELDS)
    with pytest.raises(FilterError, match="not valid Unicode"):
        check_filter(NotIn("sample", ("a", "\ud800")), FIELDS)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, ""),
        (In("sample", ('a"b', "c", "c")), '(sample in ["a\\"b", "c"])'),
        (NotIn("reservoir", ("E2",)), '(reservoir not in ["E2"])'),
        (Range(field="porosity"), "(porosity > -1e+29)"),
        (
            Range(field="porosity", low=0.1, high=1),
            "(porosity > -1e+29 and porosity >= 0.1 and porosity <= 1.0)",
        ),
        (
            Range(field="porosity", high=0.2, keep_unmeasured=True),
            "(porosity <= -1e+29 or (porosity > -1e+29 and porosity <= 0.2))",
        ),
        (
            Compare("porosity", Comparison.UNEQUAL, 0.3),
            "(porosity > -1e+29 and porosity != 0.3)",
        ),
        (Between(field="sample", after='a"', up_to="b"), '(sample > "a\\"" and sample <= "b")'),
        (Between(field="sample", up_to="b"), '(sample <= "b")'),
        (Between(field="sample"), ""),
        (In("sample", ()), ""),
        (Range(field="porosity", keep_unmeasured=True), ""),
        (And((In("sample", ()), Or(()))), ""),
        (
            Or((In("sample", ()), In("sample", ("a",)), NotIn("sample", ("b",)))),
            '((sample in ["a"]) or (sample not in ["b"]))',
        ),
    ],
)
def test_what_is_written(tree: Filter | None, expected: str) -> None:
    assert render(tree, FIELDS) == expected


@pytest.mark.parametrize(
    ("tree", "selected"),
    [
        (None, "abc"),
        (In("reservoir", ("E1",)), "a"),
        (In("reservoir", ("",)), "c"),
        (NotIn("reservoir", ("E1",)), "bc"),
        (NotIn("reservoir", ("E1", "")), "b"),
        (In("reservoir", ()), "abc"),
        (Range(field="porosity", low=0.1, high=0.2), "a"),
        (Range(field="porosity", low=0.3), "b"),
        (Range(field="porosity", high=0.2), "a"),
        (Range(field="porosity", high=0.2, keep_unmeasured=True), "ac"),
        (Range(field="porosity"), "ab"),
        (Compare("porosity", Comparison.UNEQUAL, 0.2), "b"),
        (Compare("porosity", Comparison.AT_LEAST, 0.2), "ab"),
        (Compare("porosity", Comparison.BELOW, 0.2), ""),
        (And((Range(field="porosity"), NotIn("sample", ("b",)))), "a"),
        (Or((In("sample", ("b",)), In("reservoir", ("",)))), "bc"),
        (Or(()), "abc"),
        (Between(field="sample", after="a"), "bc"),
        (Between(field="sample", after="a", up_to="b"), "b"),
        (Between(field="reservoir", up_to="E1"), "ac"),
        (Between(field="sample"), "abc"),
    ],
)
def test_what_is_selected(tree: Filter | None, selected: str) -> None:
    rows: list[dict[str, str | float | None]] = [
        {"sample": "a", "reservoir": "E1", "porosity": 0.2},
        {"sample": "b", "reservoir": "E2", "porosity": 0.3},
        {"sample": "c", "reservoir": None, "porosity": None},
    ]
    assert "".join(str(row["sample"]) for row in rows if matches(tree, row)) == selected


def nested(depth: int) -> Filter:
    tree: Filter = In("sample", ("a",))
    for _ in range(depth - 1):
        tree = And((tree,))
    return tree


def test_nesting_has_a_bound() -> None:
    assert render(nested(MAX_DEPTH), FIELDS)
    with pytest.raises(FilterError, match="nested deeper than 32"):
        render(nested(MAX_DEPTH + 1), FIELDS)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (In("porosity", ("a",)), "no text column of that name; use one of reservoir, sample"),
        (In("1 == 1 or sample", ("a",)), "no text column"),
        (Between(field="porosity", after="a"), "no text column"),
        (Between(field="sample", up_to="\ud800"), "not valid Unicode"),
        (Range(field="sample"), "no number column of that name; use one of porosity"),
        (Compare("porosity", Comparison.BELOW, float("nan")), "found nan"),
        (Range(field="porosity", low=float("-inf")), "found -inf.*leave the bound out"),
        (Range(field="porosity", low=-1e30), "found -1e.30"),
    ],
)
def test_filters_that_are_refused(tree: Filter, problem: str) -> None:
    with pytest.raises(FilterError, match=problem):
        render(Or((tree,)), FIELDS)
