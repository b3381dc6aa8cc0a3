"""Answers of the search service against a search of every row by the book."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.ranking import GroupBy, View
from index_contract import CrashError, Crashing
from infra.vector_index import VectorIndex
from search_ui.requests import (
    Filters,
    ObjectQuery,
    PropertyRange,
    SearchError,
    SearchRequest,
)
from search_world import DIMENSION, World, make_scan, random_scans

if TYPE_CHECKING:
    from infra.indexing.records import SliceRow

pytest_plugins = ["search_world"]


def shares_sample(row: SliceRow, other: SliceRow) -> bool:
    """By the book: one scan, or one name where no two known reservoirs differ."""
    if row.object_key == other.object_key:
        return True
    if row.sample is None or row.sample != other.sample:
        return False
    return None in {row.reservoir, other.reservoir} or row.reservoir == other.reservoir


def random_request(rng: random.Random, keys: list[str]) -> SearchRequest:
    queries = tuple(ObjectQuery(object_key=key) for key in rng.sample(keys, rng.choice([1, 1, 3])))
    low = rng.choice([0.0, 0.15])
    filters = Filters(
        exclude_reservoirs=rng.choice([(), ("E2",), ("E1", "E3")]),
        only_reservoirs=rng.choice([(), (), ("E1", "E2")]),
        exclude_samples=rng.choice([(), (), ("S2",)]),
        exclude_objects=rng.choice([(), (keys[0],)]),
        ranges=rng.choice([(), (PropertyRange(name="porosity", low=low, high=0.25),)]),
        keep_unmeasured=rng.random() < 0.5,
    )
    return SearchRequest(
        queries=queries,
        k=rng.choice([1, 5, 20, 200]),
        filters=filters,
        group_by=rng.choice([None, None, GroupBy.SAMPLE, GroupBy.RESERVOIR]),
        per_sample=rng.choice([None, 1, 2]),
        include_own_sample=rng.random() < 0.4,
    )


def passes(row: SliceRow, request: SearchRequest, own: list[SliceRow]) -> bool:
    asked = request.filters
    if not request.include_own_sample and any(shares_sample(row, each) for each in own):
        return False
    if asked.only_reservoirs and row.reservoir not in asked.only_reservoirs:
        return False
    if row.reservoir in asked.exclude_reservoirs or row.sample in asked.exclude_samples:
        return False
    if row.object_key in asked.exclude_objects:
        return False
    for each in asked.ranges:
        value = row.numbers[each.name]
        low, high = each.low or 0.0, each.high or 1.0
        if not (asked.keep_unmeasured if value is None else low <= value <= high):
            return False
    return True


def keys_of(request: SearchRequest) -> list[str]:
    return [each.object_key for each in request.queries if isinstance(each, ObjectQuery)]


def ids(rows: list[SliceRow]) -> list[str]:
    return [row.row_id for row in rows]


@pytest.mark.parametrize("seed", range(6))
def test_random_requests_answer_as_by_the_book(indexed: World, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  reproducible, no secret
    indexed.add(*random_scans(seed, 60))
    for _ in range(12):
        request = random_request(rng, list(indexed.scans))
        asked = [indexed.scans[key] for key in keys_of(request)]
        own = [one.slices[0] for one in asked]
        vectors = [one.vectors for one in asked]
        result = indexed.service.search(request)

        def wanted(row: SliceRow, request: SearchRequest = request) -> bool:
            return passes(row, request, own)  # noqa: B023  called before the next round

        expected = indexed.nearest(wanted, request, *vectors)
        found = [hit.row for hit in result.hits]
        assert ids(found) == ids(expected), request
        ranks = {row.row_id: rank for rank, row in enumerate(indexed.order(*vectors), 1)}
        assert [hit.absolute_rank for hit in result.hits] == [ranks[each] for each in ids(found)]
        assert [hit.rank for hit in result.hits] == list(range(1, len(found) + 1))
        similarities = [hit.similarity for hit in result.hits]
        assert similarities == sorted(similarities, reverse=True)
        steps = [step.slices for step in result.funnel.steps]
        assert steps[0] == len(indexed.rows)
        assert steps[-2] == sum(map(wanted, indexed.rows))
        assert steps[-1] == len(found)
        assert steps == sorted(steps, reverse=True)
        assert result.funnel.exact
        assert result.exact
        near = dict(itertools.islice(result.neighbours.items(), 20))
        passing = [row for row in indexed.order(*vectors) if wanted(row)]
        assert list(near) == ids(passing[:20])
        assert len(result.neighbours) == min(200, len(passing))
        hidden = sum(any(shares_sample(row, each) for each in own) for row in indexed.rows)
        assert result.funnel.hidden_own == (0 if request.include_own_sample else hidden)


def test_groups_are_found_behind_any_number_of_slices(indexed: World) -> None:
    """One sample's 17,000 slices are nearer than every other sample's."""
    near = np.zeros((17_000, DIMENSION), np.float32)
    near[:, 0] = np.linspace(1.0, 0.999, 17_000)
    indexed.add(make_scan("scans/near", reservoir="E1", sample="S1", n=17_000, vectors=near))
    for number in range(2, 9):
        far = np.full((1, DIMENSION), -number, np.float32)
        indexed.add(
            make_scan(f"scans/{number}", reservoir=f"E{number}", sample=f"S{number}", vectors=far)
        )
    query = np.zeros((1, DIMENSION), np.float32)
    query[0, 0] = 1.0
    indexed.add(make_scan("scans/query", reservoir="E0", sample="S0", vectors=query))
    asked = (ObjectQuery(object_key="scans/query"),)
    for group_by in GroupBy:
        result = indexed.service.search(SearchRequest(queries=asked, k=5, group_by=group_by))
        names = [hit.row.sample for hit in result.hits]
        assert names == ["S1", "S2", "S3", "S4", "S5"]
        assert result.hits[1].absolute_rank is None
        assert result.ranked == 16_384
    result = indexed.service.search(SearchRequest(queries=asked, k=4, per_sample=2))
    assert [hit.row.sample for hit in result.hits] == ["S1", "S1", "S2", "S3"]


def test_one_slice_and_views(indexed: World) -> None:
    indexed.add(*random_scans(7, 80))
    indexed.add(make_scan("scans/q", reservoir="E1", sample="S1", n=3))
    query = ObjectQuery(object_key="scans/q", slice_index=1)
    request = SearchRequest(queries=(query,), k=6, three_rows=True)
    result = indexed.service.search(request)
    asked = indexed.scans["scans/q"]
    own, vectors = asked.slices[1], asked.vectors[1:2]

    def view(row: SliceRow) -> View | None:
        if row.row_id == own.row_id:
            return None
        if shares_sample(row, own):
            return View.SAME_SAMPLE
        if row.reservoir == "E1":
            return View.SAME_RESERVOIR
        return View.OTHER_RESERVOIRS if row.reservoir else None

    for name in View:

        def is_shown(row: SliceRow, name: View = name) -> bool:
            return view(row) is name

        expected = indexed.nearest(is_shown, request, vectors)
        assert ids([hit.row for hit in result.views[name]]) == ids(expected)
        assert {hit.view for hit in result.views[name]} == {name}
    assert View.SAME_SAMPLE not in {hit.view for hit in result.hits}
    assert [(step.step, step.slices) for step in result.funnel.steps] == [
        ("indexed", len(indexed.rows)),
        ("not the query itself", len(indexed.rows) - 1),
        ("shown", sum(map(len, result.views.values()))),
    ]
    assert result.funnel.hidden_own == 0
    assert {hit.row.row_id for hit in result.shown} == {
        hit.row.row_id for hits in result.views.values() for hit in hits
    }
    (facts,) = result.queries
    assert (facts.n_slices, facts.reservoir, facts.sample) == (1, "E1", "S1")


def test_smallest_similarity_cuts_off_and_keeps_all_above(indexed: World) -> None:
    indexed.add(*random_scans(2, 50))
    asked = (ObjectQuery(object_key="scans/3"),)
    everything = indexed.service.search(SearchRequest(queries=asked, k=500)).hits
    least = everything[9].similarity - 1e-9
    found = indexed.service.search(SearchRequest(queries=asked, k=500, min_similarity=least)).hits
    assert ids([hit.row for hit in found]) == ids([hit.row for hit in everything[:10]])
    none = indexed.service.search(SearchRequest(queries=asked, min_similarity=1.0))
    assert all(hit.similarity == 1.0 for hit in none.hits)


def test_names_that_are_not_indexed_are_told_with_near_ones(indexed: World) -> None:
    indexed.add(make_scan("scans/a/b/c.png", reservoir="Berea", sample="S-1"))
    asked = (ObjectQuery(object_key="scans/a/b/c.png"),)
    cases = [
        (Filters(exclude_reservoirs=("berae",)), r"reservoir 'berae': not indexed; .* 'Berea'\?"),
        (Filters(only_samples=("X",)), "sample 'X': not indexed; there are: S-1"),
        (Filters(exclude_objects=("scans/a/b/d.png",)), "object .* did you mean 'scans/a/b/c.png'"),
        (Filters(ranges=(PropertyRange(name="phi", low=0.1),)), "use one of porosity"),
    ]
    for filters, problem in cases:
        with pytest.raises(SearchError, match=problem):
            indexed.service.search(SearchRequest(queries=asked, filters=filters))
    with pytest.raises(SearchError, match=r"'scans/a/b/c.pgn': not indexed; did you mean"):
        indexed.service.search(SearchRequest(queries=(ObjectQuery(object_key="scans/a/b/c.pgn"),)))
    beyond = ObjectQuery(object_key="scans/a/b/c.png", slice_index=4)
    with pytest.raises(SearchError, match="#4: no such slice; it has 0 to 0"):
        indexed.service.search(SearchRequest(queries=(beyond,)))


def test_half_written_scans_are_never_shown(indexed: World) -> None:
    indexed.add(*random_scans(1, 20))
    indexed.add(make_scan("scans/q", reservoir="E1", sample="S9"))
    request = SearchRequest(queries=(ObjectQuery(object_key="scans/q"),), k=100)
    before = indexed.service.search(request)
    same = np.repeat(indexed.scans["scans/q"].vectors, 40, axis=0)
    half = make_scan("scans/half", reservoir="E2", sample="S8", n=40, vectors=same)
    crashing: Any = Crashing(indexed.site.index.store, 1)
    with pytest.raises(CrashError):
        VectorIndex(crashing).open(indexed.collection.name).commit([half])
    after = indexed.service.search(request)
    assert after.hits == before.hits  # absolute ranks too
    assert not after.funnel.exact
    assert any("being written" in note for note in after.notes)
    indexed.collection.sweep(["scans/half"])
    assert indexed.service.search(request).funnel.exact


def test_the_alias_is_followed(indexed: World) -> None:
    indexed.add(make_scan("scans/q"), make_scan("scans/old"))
    request = SearchRequest(queries=(ObjectQuery(object_key="scans/q"),))
    assert [hit.row.object_key for hit in indexed.service.search(request).hits] == ["scans/old"]
    other = indexed.site.index.create(
        "litho_other_000000000000", dimension=DIMENSION, metric=indexed.collection.schema.metric
    )
    other.commit([make_scan("scans/q"), make_scan("scans/new")])
    indexed.site.index.make_live(other.name)
    result = indexed.service.search(request)
    assert [hit.row.object_key for hit in result.hits] == ["scans/new"]
    assert result.model.collection == other.name


def test_unknown_sample_is_told(indexed: World) -> None:
    indexed.add(make_scan("scans/q", n=2), make_scan("scans/other", reservoir="E1"))
    query = ObjectQuery(object_key="scans/q")
    result = indexed.service.search(SearchRequest(queries=(query,), three_rows=True))
    assert [hit.row.object_key for hit in result.hits] == ["scans/other"]
    assert result.hits[0].view is None
    assert any("its sample is not known" in note for note in result.notes)
    assert any("reservoir is not known" in note for note in result.notes)
    assert result.views[View.SAME_RESERVOIR] == ()
    assert len(result.views[View.OTHER_RESERVOIRS]) == 1


def test_nothing_live_and_nothing_indexed(indexed: World) -> None:
    request = SearchRequest(queries=(ObjectQuery(object_key="scans/q"),))
    with pytest.raises(SearchError, match="no object is known of anything that is indexed"):
        indexed.service.search(request)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("porosity=0.15:0.25", 0.15, 0.25), ("k=:3", None, 3), ("a=2:", 2, None), ("a=1", 1, 1)],
)
def test_ranges_are_understood(text: str, low: float | None, high: float | None) -> None:
    asked = PropertyRange.parse(text)
    assert (asked.low, asked.high) == (low, high)


@pytest.mark.parametrize("text", ["porosity", "=1:2", "a=:", "a=x:1", "a=nan:", "a=3:1", "a="])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(SearchError, match="range"):
        PropertyRange.parse(text)


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"k": 1001}, {"per_sample": 0}, {"min_similarity": 1.5}, {"queries": ()}]
)
def test_requests_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    known: dict[str, Any] = {"queries": (ObjectQuery(object_key="scans/q"),)}
    with pytest.raises(SearchError):
        SearchRequest(**(known | wrong))
