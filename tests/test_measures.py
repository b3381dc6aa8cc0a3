"""Measures of rankings, against scikit-learn, plain loops and rankings made by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from encoder.metric import Metric
from trainer import rankings
from trainer.measures import (
    Case,
    EmbeddedSlices,
    Measure,
    MeasureError,
    mean_average_precision,
    score_queries,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

KS = (1, 3, 5, 10, None)


def line(places: Sequence[float], labels: str, *, first: int = 0) -> EmbeddedSlices:
    """Slices on a line; each is a sample of its own."""
    numbers = np.arange(first, first + len(places))
    return EmbeddedSlices(
        vectors=np.array(places, np.float32)[:, np.newaxis],
        labels=np.array([ord(label) for label in labels]),
        samples=numbers,
        slices=numbers,
    )


def drawn(seed: int, *, slices: int = 60, metric: Metric = Metric.L2) -> EmbeddedSlices:
    """Four labels, fifteen samples of a few slices each, weakly clustered."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(15, size=slices)
    labels = samples % 4
    return EmbeddedSlices(
        vectors=(rng.normal(size=(slices, 6)) + np.eye(6)[labels]).astype(np.float32),
        labels=labels,
        samples=samples,
        slices=np.arange(slices),
        metric=metric,
    )


def ranked_by_loops(
    queries: EmbeddedSlices, database: EmbeddedSlices, case: Case
) -> list[list[int]]:
    """Rankings, one distance at a time."""
    rankings_ = []
    for q in range(len(queries)):
        costs = []
        for n in range(len(database)):
            if case is not Case.QUERY_IN and queries.slices[q] == database.slices[n]:
                continue
            if case is Case.SAMPLE_OUT and queries.samples[q] == database.samples[n]:
                continue
            a, b = queries.vectors[q].astype(float), database.vectors[n].astype(float)
            near = float(a @ b) if queries.metric is Metric.INNER_PRODUCT else -math.dist(a, b)
            costs.append((-near, n))
        rankings_.append([n for _, n in sorted(costs)])
    return rankings_


def score_by_loops(relevant: Sequence[bool], measure: Measure, k: int | None) -> float:
    """AP by either definition, or precision, as a person would count it."""
    total = sum(relevant)
    k = len(relevant) if k is None else k
    if not total:
        return math.nan
    if measure is Measure.PRECISION:
        return sum(relevant[:k]) / min(k, len(relevant))
    found, precisions = 0, []
    for place, hit in enumerate(relevant, start=1):
        stop = found == k if measure is Measure.ROCKIR_MAP else place > k
        if stop:
            break
        if hit:
            found += 1
            precisions.append(found / place)
    return sum(precisions) / min(k, total)


def test_both_definitions_on_a_ranking_made_by_hand() -> None:
    """Right, wrong, right, wrong, right: standard AP@3 = (1 + 2/3) / 3, RockIR's adds 3/5."""
    query, database = line([0], "a", first=9), line([1, 2, 3, 4, 5], "ababa")
    standard = mean_average_precision(query, database, k=3)
    rockir = mean_average_precision(query, database, k=3, measure=Measure.ROCKIR_MAP)
    assert standard == pytest.approx((1 + 2 / 3) / 3)
    assert rockir == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert mean_average_precision(query, database, k=10) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("case", list(Case))
def test_every_measure_agrees_with_plain_loops(metric: Metric, case: Case) -> None:
    slices = drawn(1, metric=metric)
    order = ranked_by_loops(slices, slices, case)
    measures = (Measure.STANDARD_MAP, Measure.ROCKIR_MAP, Measure.PRECISION)
    for scores in score_queries(slices, slices, case=case, ks=KS, measures=measures):
        expected = [
            score_by_loops(list(slices.labels[row] == label), scores.measure, scores.k)
            for row, label in zip(order, slices.labels, strict=True)
        ]
        np.testing.assert_allclose(scores.values, expected, rtol=1e-12)


def test_average_precision_of_whole_rankings_is_that_of_scikit_learn() -> None:
    queries, database = drawn(2, slices=20), drawn(3, slices=80)
    (scores,) = score_queries(
        queries, database, case=Case.QUERY_IN, ks=(None,), measures=(Measure.STANDARD_MAP,)
    )
    for vector, label, value in zip(queries.vectors, queries.labels, scores.values, strict=True):
        near = -np.linalg.norm(database.vectors.astype(float) - vector.astype(float), axis=1)
        assert value == pytest.approx(average_precision_score(database.labels == label, near))


@pytest.mark.parametrize("k", [1, 3, 9])
def test_nearest_neighbour_votes_are_those_of_scikit_learn(k: int) -> None:
    """With two labels and an odd k there are no equal votes."""
    queries, database = drawn(4, slices=40), drawn(5, slices=90)
    queries, database = (
        EmbeddedSlices(
            vectors=slices.vectors,
            labels=slices.labels % 2,
            samples=slices.samples + offset,
            slices=slices.slices + offset,
        )
        for slices, offset in ((queries, 1000), (database, 0))
    )
    voters = KNeighborsClassifier(k).fit(database.vectors, database.labels)
    (scores,) = score_queries(
        queries, database, case=Case.SAMPLE_OUT, ks=(k,), measures=(Measure.KNN_ACCURACY,)
    )
    assert scores.mean == pytest.approx(voters.score(queries.vectors, queries.labels))


def test_equal_votes_go_to_the_label_met_first() -> None:
    database = line([1, 2, 3, 4], "baab")
    for label, won in (("b", 1.0), ("a", 0.0)):
        (scores,) = score_queries(
            line([0], label, first=9),
            database,
            case=Case.QUERY_OUT,
            ks=(4,),
            measures=(Measure.KNN_ACCURACY,),
        )
        assert scores.mean == won


def test_own_slice_and_own_sample_raise_what_is_measured() -> None:
    """Two labels that vectors know nothing of, samples that they know all of."""
    rng = np.random.default_rng(6)
    samples = np.repeat(np.arange(40), 4)
    slices = EmbeddedSlices(
        vectors=rng.normal(size=(40, 8))[samples] + rng.normal(scale=0.01, size=(160, 8)),
        labels=samples % 2,
        samples=samples,
        slices=np.arange(160),
    )
    inside, outside, fair = (
        mean_average_precision(slices, slices, k=3, case=case) for case in Case
    )
    assert inside == 1.0
    assert outside == 1.0
    assert fair == pytest.approx(0.5, abs=0.1)  # the nearest three are another sample's


def test_queries_with_nothing_to_find_are_left_out_of_the_mean_and_counted() -> None:
    slices = line([0, 1, 2, 9], "aaab")
    (scores,) = score_queries(
        slices, slices, case=Case.QUERY_OUT, ks=(2,), measures=(Measure.STANDARD_MAP,)
    )
    assert np.isnan(scores.values).tolist() == [False, False, False, True]
    assert scores.mean == 1.0
    assert scores.unmeasured == 1
    assert math.isnan(mean_average_precision(line([0], "x", first=9), slices))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = drawn(7)
    whole = score_queries(slices, slices, case=Case.SAMPLE_OUT, ks=KS)
    monkeypatch.setattr(rankings, "CHUNK_VALUES", 7 * len(slices))
    for one, other in zip(
        whole, score_queries(slices, slices, case=Case.SAMPLE_OUT, ks=KS), strict=True
    ):
        np.testing.assert_array_equal(one.values, other.values)


def test_close_vectors_far_from_the_origin_are_told_apart() -> None:
    """In float32, |a|² - 2ab + |b|² would lose the difference."""
    slices = line([1000, 1000.01, 1000.03], "aba")
    assert mean_average_precision(slices, slices, k=1, case=Case.QUERY_OUT) == 0.0


def test_what_does_not_fit_together_is_refused() -> None:
    one, two = line([0], "a"), drawn(8)
    with pytest.raises(MeasureError, match="encode both alike"):
        mean_average_precision(one, two)
    with pytest.raises(MeasureError, match="no slices"):
        mean_average_precision(one, line([], ""))
    with pytest.raises(MeasureError, match="at least 1"):
        mean_average_precision(two, two, k=0)
    with pytest.raises(MeasureError, match="no mean average precision"):
        mean_average_precision(two, two, measure=Measure.PRECISION)
    with pytest.raises(MeasureError, match=r"1 of 2 vectors are not finite.* slice 1;"):
        line([0, math.nan], "ab")
    with pytest.raises(MeasureError, match="expected"):
        line([0, 1], "abc")
