"""What filters select and searches find in the vector index, on every store."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from encoder.metric import Metric
from index_contract import (
    DIMENSION,
    HOSTILE,
    CrashError,
    Crashing,
    filled,
    make,
    scan,
    shows,
    with_vectors,
)
from infra.filters import (
    And,
    Between,
    Compare,
    Comparison,
    Filter,
    In,
    NotIn,
    Or,
    Range,
    matches,
)
from infra.vector_index import Collection, VectorIndex

pytest_plugins = ["index_contract"]


def number(rng: random.Random) -> float | None:
    return rng.choice([None, 0.0, 0.1, 0.1 + 1e-16, 0.25, 1 / 3, -5.0, 1e-300, 1e12, 7.0])


def random_filter(rng: random.Random, depth: int = 0) -> Filter:
    text = rng.choice(["reservoir", "sample", "modality", "object_key"])
    column = rng.choice(["porosity", "permeability_md", "depth_m"])
    kinds = ["in", "not in", "between", "compare", "range", "and", "or"]
    kind = rng.choice(kinds[: 7 if depth < 4 else 5])
    if kind in ("and", "or"):
        parts = tuple(random_filter(rng, depth + 1) for _ in range(rng.randrange(4)))
        return And(parts) if kind == "and" else Or(parts)
    if kind in ("in", "not in"):
        values = tuple(rng.sample([*HOSTILE[:19], "", "nowhere"], rng.randrange(6)))
        return In(text, values) if kind == "in" else NotIn(text, values)
    if kind == "between":
        after, up_to = rng.choices([None, *HOSTILE[:19], "nowhere"], k=2)
        return Between(field=text, after=after, up_to=up_to)
    if kind == "compare":
        return Compare(column, rng.choice(list(Comparison)), number(rng) or 0.0)
    low, high = number(rng), number(rng)
    return Range(field=column, low=low, high=high, keep_unmeasured=rng.random() < 0.5)


def test_random_filters_select_the_reference_rows(
    collection: Collection, index: VectorIndex
) -> None:
    rng = random.Random(20)  # noqa: S311  reproducible, no secret

    def pick() -> str | None:
        return rng.choice([*HOSTILE[:19], None])

    scans = [
        scan(
            f"{rng.choice(HOSTILE[:19])}{number_of_scan % 2 or ''}",
            n=2,
            reservoir=pick(),
            sample=pick(),
            modality=pick(),
            numbers={name: number(rng) for name in ("porosity", "permeability_md", "depth_m")},
        )
        for number_of_scan in range(150)
    ]
    collection.commit(scans)
    latest = {one.record.object_key: one for one in scans}
    plain: dict[str, dict[str, str | float | None]] = {
        row.row_id: {
            "object_key": row.object_key,
            "reservoir": row.reservoir,
            "sample": row.sample,
            "modality": row.modality,
            **row.numbers,
        }
        for one in latest.values()
        for row in one.slices
    }
    sizes = set()
    for _ in range(300):
        tree = random_filter(rng)
        found = {row["id"] for row in index.store.select(collection.name, tree, columns=())}
        expected = {key for key, row in plain.items() if matches(tree, row)}
        assert found == expected, f"wrong rows for {tree!r}"
        sizes.add(len(expected))
    assert len(sizes) > 20, "the filters are too alike to say anything"


def test_texts_lie_in_the_order_of_their_utf_8(collection: Collection) -> None:
    keys = [*HOSTILE, "a", "a/b", "a b", "a.", "é", "e\u0301", "\ud7ff", "\ue000", "\uffff", "😀"]
    collection.commit([scan(key, n=1) for key in keys])
    ordered = sorted(keys, key=str.encode)
    for after, up_to in zip([None, *ordered], [*ordered, None], strict=True):
        where = Between(field="object_key", after=after, up_to=up_to)
        found = [record.object_key for record in collection.records(where)]
        assert found == ([] if up_to is None else [up_to])
    middle = len(ordered) // 2
    where = Between(field="object_key", after=ordered[middle])
    found = sorted((each.object_key for each in collection.records(where)), key=str.encode)
    assert found == ordered[middle + 1 :]


def test_hostile_texts_in_every_field(collection: Collection) -> None:
    scans = []
    for text in HOSTILE:
        one = scan(
            text,
            text,
            n=2,
            reservoir=text,
            sample=text,
            modality=text,
            position={"tile": [1, 2], "note": text[:20_000]},
            extra={"text": text[:20_000], text[:100]: [None, 1.5, True]},
        )
        scans.append(replace(one, record=replace(one.record, etag=text, metadata_hash=text)))
    collection.commit(scans)
    assert shows(collection, scans)
    for one in scans:
        text = one.record.object_key
        assert collection.record(text) == one.record
        where = And(
            tuple(In(name, (text,)) for name in ("object_key", "reservoir", "sample", "modality"))
        )
        hits = collection.search(one.vectors[1], limit=5, where=where)
        assert [hit.row for hit in hits] == [filled(one.slices[1]), filled(one.slices[0])]
    assert collection.count(NotIn("sample", tuple(HOSTILE))) == 0
    collection.remove(HOSTILE)
    assert shows(collection, [])


@pytest.mark.parametrize("metric", list(Metric))
def test_search_is_exact_and_nearest_first(index: VectorIndex, metric: Metric) -> None:
    collection = make(index, metric)
    scans = [
        scan(f"k{number}", n=4, reservoir=f"E{number % 5}", sample=f"S{number}")
        for number in range(100)
    ]
    collection.commit(scans)
    query = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32)
    rows = [row for one in scans for row in one.slices if row.reservoir != "E2"]
    vectors = np.concatenate([one.vectors for one in scans if one.record.reservoir != "E2"])
    if metric is Metric.L2:
        distances = np.linalg.norm(vectors - query, axis=1)
        order = np.argsort(distances)
    else:
        distances = vectors @ query
        order = np.argsort(-distances)
    hits = collection.search(query, limit=50, where=NotIn("reservoir", ("E2",)))
    assert [hit.row for hit in hits] == [filled(rows[place]) for place in order[:50]]
    found = [hit.distance for hit in hits]
    np.testing.assert_allclose(found, distances[order[:50]], rtol=1e-5, atol=1e-5)
    assert len(collection.search(query, limit=10_000)) == 400
    index.drop(collection.name)


def test_pages_beyond_what_milvus_returns_at_once(collection: Collection) -> None:
    one = scan("a", n=17_000, numbers={"depth_m": 1.0})
    collection.commit([one])
    where = Or((Range(field="depth_m"), In("object_key", ("a",))))
    assert {row.slice_index for row in collection.rows(where)} == set(range(17_000))
    assert collection.count() == collection.count_stored(where) == 17_000
    slices = collection.slices("a")
    assert [row.slice_index for row, _ in slices] == list(range(17_000))
    np.testing.assert_array_equal(np.stack([vector for _, vector in slices]), one.vectors)
    assert len(collection.search(one.vectors[0], limit=16_384)) == 16_384
    collection.remove(["a"])
    assert collection.count_stored() == 0


def test_search_replaces_what_it_may_not_show(index: VectorIndex, collection: Collection) -> None:
    """Half-written scans nearer than every other take no place in the answer."""
    seen = [scan(f"k{number}", n=2) for number in range(5)]
    collection.commit(seen)
    half = scan("half", n=300)
    half = with_vectors(half, np.zeros((300, DIMENSION), np.float32))
    crashing: Any = Crashing(index.store, 2)
    with pytest.raises(CrashError):
        VectorIndex(crashing).open(collection.name).commit([half])
    assert collection.count_stored() == 310
    hits = collection.search(np.zeros(DIMENSION, np.float32), limit=3)
    assert len(hits) == 3
    assert all(hit.row.object_key.startswith("k") for hit in hits)
