"""Ranking against brute force: merging, grouping, at most n of a sample, views, similarity."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from encoder.metric import Metric
from encoder.ranking import (
    Candidate,
    GroupBy,
    Nearest,
    Origin,
    Picker,
    View,
    absolute_ranks,
    merge,
    view_of,
)
from encoder.similarity import SimilarityScale


def candidates(costs: np.ndarray, limit: int) -> list[Candidate[int]]:
    order = np.argsort(costs, kind="stable")[:limit]
    return [Candidate(float(costs[row]), f"{row:04d}", int(row)) for row in order]


@pytest.mark.parametrize("seed", range(20))
def test_merging_cut_off_lists_never_guesses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_queries, n_rows, limit = (int(rng.integers(1, most)) for most in (6, 80, 40))
    costs = rng.random((n_queries, n_rows))
    nearest = merge([candidates(row, limit) for row in costs], limit=limit)
    best = costs.min(axis=0)
    order = np.argsort(best)
    found = [each.item for each in nearest.candidates]
    assert found == order[: len(found)].tolist()
    assert [each.cost for each in nearest.candidates] == best[found].tolist()
    assert len(found) >= min(limit, n_rows)
    assert nearest.is_whole == (limit > n_rows)
    if nearest.is_whole:
        assert len(found) == n_rows


def origins(seed: int, count: int) -> list[Origin]:
    rng = random.Random(seed)  # noqa: S311  reproducible, no secret
    reservoirs, samples = [None, "E1", "E2", "E3"], [None, "S1", "S2", "S3"]
    return [
        Origin(rng.choice(reservoirs), rng.choice(samples), f"k{rng.randrange(12)}")
        for _ in range(count)
    ]


def pick_plainly(
    where_from: list[Origin], k: int, *, group_by: GroupBy | None, per_sample: int | None
) -> list[int]:
    """The picks by the book, of rows that are ordered by cost already."""
    found: list[int] = []
    groups: set[object] = set()
    samples: Counter[object] = Counter()
    for row, origin in enumerate(where_from):
        sample = (origin.reservoir, origin.sample) if origin.sample else origin.object_key
        group = sample if group_by is GroupBy.SAMPLE else origin.reservoir
        if (group_by and group in groups) or (per_sample and samples[sample] == per_sample):
            continue
        found.append(row)
        groups.add(group)
        samples[sample] += 1
        if len(found) == k:
            break
    return found


@pytest.mark.parametrize("seed", range(40))
def test_picking_in_pieces_is_picking_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    where_from = origins(seed, 60)
    group_by = [None, GroupBy.SAMPLE, GroupBy.RESERVOIR][seed % 3]
    per_sample = [None, 1, 3][rng.integers(3)]
    k = int(rng.integers(1, 15))
    picker: Picker[int] = Picker(
        k, lambda row: where_from[row], group_by=group_by, per_sample=per_sample
    )
    ordered = [Candidate(row / 10, str(row), row) for row in range(60)]
    for end in (5, 17, 40):
        picker.take(Nearest(ordered[:end], horizon=ordered[end - 1].cost))
    picker.take(Nearest(ordered, math.inf))
    assert picker.is_done
    wanted = pick_plainly(where_from, k, group_by=group_by, per_sample=per_sample)
    assert [each.item for each in picker.picked] == wanted


def test_picker_stops_at_the_most_cost() -> None:
    picker: Picker[int] = Picker(10, lambda _: Origin("E1", "S1", "k"), most_cost=0.25)
    ordered = [Candidate(row / 10, str(row), row) for row in range(6)]
    done = []
    for end in (2, 6):
        picker.take(Nearest(ordered[:end], horizon=ordered[end - 1].cost))
        done.append(picker.is_done)
    assert done == [False, True]
    assert [each.item for each in picker.picked] == [0, 1, 2]


def test_full_groups_are_told_so_that_others_are_searched() -> None:
    where_from = [Origin("E1", "S1", "a"), Origin("E1", "S1", "b"), Origin("E1", None, "c")]
    ordered = [Candidate(float(row), str(row), row) for row in range(3)]
    picker: Picker[int] = Picker(9, lambda row: where_from[row], per_sample=2)
    picker.take(Nearest(ordered, horizon=2.0))
    assert picker.full == [where_from[1]]
    grouped: Picker[int] = Picker(9, lambda row: where_from[row], group_by=GroupBy.SAMPLE)
    grouped.take(Nearest(ordered, horizon=2.0))
    assert grouped.full == [where_from[0], where_from[2]]


@pytest.mark.parametrize(
    ("origin", "view"),
    [
        (Origin("E1", "S1", "x"), View.SAME_SAMPLE),
        (Origin(None, "S1", "x"), View.SAME_SAMPLE),  # perhaps its own: no analog
        (Origin("E2", "S1", "x"), View.OTHER_RESERVOIRS),  # the name counts within its reservoir
        (Origin("E9", None, "query"), View.SAME_SAMPLE),  # the scan itself
        (Origin("E1", "S2", "x"), View.SAME_RESERVOIR),
        (Origin("E1", None, "x"), View.SAME_RESERVOIR),
        (Origin("E3", "S7", "x"), View.OTHER_RESERVOIRS),
        (Origin(None, "S7", "x"), None),
    ],
)
def test_views_of_a_known_query(origin: Origin, view: View | None) -> None:
    assert view_of(origin, [Origin("E1", "S1", "query")]) is view


def test_views_of_a_query_without_reservoir() -> None:
    query = [Origin(None, "S1", "query")]
    assert view_of(Origin("E1", "S1", "x"), query) is View.SAME_SAMPLE
    assert view_of(Origin("E1", "S2", "x"), query) is None
    assert view_of(Origin("E1", "S2", "x"), []) is None


def test_absolute_ranks_are_places_in_the_whole_order() -> None:
    assert absolute_ranks(["c", "a", "z"], ["a", "b", "c"]) == [3, 1, None]


@pytest.mark.parametrize("metric", list(Metric))
def test_similarity_falls_with_cost_and_inverts(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2, 16)).astype(np.float32)
    scale = SimilarityScale.of_query(metric, vectors)
    measures = np.sort(rng.normal(scale=9, size=200))
    if metric is Metric.L2:
        measures = np.abs(measures)
    by_cost = sorted(measures, key=scale.cost)
    similarities = [scale.similarity(each) for each in by_cost]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0.0 <= each <= 1.0 for each in similarities)
    for wanted in (0.05, 0.3, 0.5, 0.9, 1.0):
        most = scale.most_cost(wanted)
        measure = most if metric is Metric.L2 else -most
        assert scale.similarity(measure) == pytest.approx(wanted)
    assert scale.most_cost(0.0) == math.inf


def test_similarity_of_known_measures() -> None:
    distance = SimilarityScale(Metric.L2)
    assert [distance.similarity(each) for each in (0.0, 1.0, 3.0)] == [1.0, 0.5, 0.25]
    vectors = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32)
    product = SimilarityScale.of_query(Metric.INNER_PRODUCT, vectors)
    assert product.of_itself == 25.0
    assert [product.similarity(each) for each in (25.0, 0.0, -25.0, 99.0)] == [1.0, 0.5, 0.0, 1.0]
