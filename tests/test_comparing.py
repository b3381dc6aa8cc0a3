"""One search on two models: each answers with its own vectors, and what moved is told."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from bundle_samples import made_bundle
from encoder.metric import Metric
from encoder.ranking import View
from search_ui import comparing, resources
from search_ui.comparing import ModelComparer, moves_of
from search_ui.printing_moves import MOVE_WRITERS
from search_ui.requests import Filters, ObjectQuery, SearchError, SearchRequest
from search_ui.service import SearchService
from search_world import DIMENSION, make_scan, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.indexing.records import IndexedScan
    from infra.model_versions import ModelVersion
    from infra.site import Site

QUERY = ObjectQuery(object_key="scans/q")


def scans(seed: int, names: str) -> list[IndexedScan]:
    """Scans of two reservoirs, with vectors of one model."""
    rng = np.random.default_rng(seed)
    return [
        make_scan(
            f"scans/{name}",
            reservoir="E1" if number % 2 else "E2",
            sample=f"S{name}",
            vectors=rng.normal(size=(1, DIMENSION)).astype(np.float32),
        )
        for number, name in enumerate(names)
    ]


def index(site: Site, version: ModelVersion, *, seed: int, names: str) -> None:
    collection = site.index.create(version.collection, dimension=DIMENSION, metric=Metric.L2)
    collection.commit(scans(seed, names))


@pytest.fixture
def models(tmp_path: Path) -> Iterator[tuple[Site, list[ModelVersion]]]:
    """A site with two models, the first of which is live."""
    site = open_world(tmp_path / "home").site
    versions = [
        site.models.publish(made_bundle(tmp_path / name, seed=seed))
        for seed, name in enumerate(("first", "second"))
    ]
    for seed, version in enumerate(versions):
        index(site, version, seed=seed, names="qabcdefgh")
    site.index.make_live(versions[0].collection)
    yield site, versions
    site.close()


def test_both_answer_with_their_own_vectors(models: tuple[Site, list[ModelVersion]]) -> None:
    site, (live, other) = models
    filters = Filters(exclude_samples=("Sa",))
    request = SearchRequest(queries=(QUERY,), k=5, filters=filters, three_rows=True)
    with SearchService(site) as service, ModelComparer(service) as comparer:
        (told,) = comparer.others()
        assert (told.bundle_id, told.n_scans) == (other.bundle_id, 9)
        found = comparer.compare(request, other.bundle_id)
        assert found.ours.model.bundle_id == live.bundle_id
        assert found.theirs.model.bundle_id == other.bundle_id
        with SearchService(site, collection=other.collection) as pinned:
            assert pinned.search(request).hits == found.theirs.hits
        assert service.search(request).hits == found.ours.hits
        assert found.notes == ()
        for moves, ours, theirs in (
            (found.moves, found.ours.hits, found.theirs.hits),
            *(
                (found.views[view], found.ours.views[view], found.theirs.views[view])
                for view in View
            ),
        ):
            places = [{hit.row.object_key: hit.rank for hit in hits} for hits in (ours, theirs)]
            assert {move.object_key for move in moves} == {*places[0], *places[1]}
            for move in moves:
                assert move.ours == places[0].get(move.object_key)
                assert move.theirs == places[1].get(move.object_key)
                assert move.hit.row.sample != "Sa"
        assert [move.ours for move in found.moves][:5] == [1, 2, 3, 4, 5]


def test_a_model_that_is_behind_is_told(models: tuple[Site, list[ModelVersion]]) -> None:
    site, (_, other) = models
    site.index.open(other.collection).remove(["scans/a", "scans/b"])
    with SearchService(site) as service, ModelComparer(service) as comparer:
        request = SearchRequest(queries=(QUERY,))
        (note,) = comparer.compare(request, other.bundle_id).notes
        assert "9 scans" in note
        assert " 7: " in note


def test_after_a_switch_the_former_model_is_the_other(
    models: tuple[Site, list[ModelVersion]],
) -> None:
    site, (former, live) = models
    with SearchService(site) as service, ModelComparer(service) as comparer:
        site.index.make_live(live.collection)
        assert [each.bundle_id for each in comparer.others()] == [former.bundle_id]
        found = comparer.compare(SearchRequest(queries=(QUERY,)), former.bundle_id)
        assert found.ours.model.bundle_id == live.bundle_id


def test_what_another_thread_searches_with_is_not_closed(
    models: tuple[Site, list[ModelVersion]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, (_, second) = models
    third = site.models.publish(made_bundle(tmp_path / "third", seed=2))
    index(site, third, seed=2, names="qabcdefgh")
    monkeypatch.setattr(comparing, "KEPT_MODELS", 1)
    request = SearchRequest(queries=(QUERY,), k=3)
    with SearchService(site) as service, ModelComparer(service) as comparer:
        with comparer.answering(second) as used:
            comparer.compare(request, third.bundle_id)
            assert used.search(request).hits
        comparer.compare(request, third.bundle_id)
        assert comparer.loaded == (third.collection,)


def compared(test: AppTest) -> list[str]:
    """The models that are compared, as the page tells them."""
    assert not test.exception, [each.value for each in test.exception]
    told = [each.value.replace("\\", "") for each in test.caption]
    return sorted({each for each in told if each.endswith(("(live)", "(other)"))})


def test_the_page_compares_anew_after_a_switch(
    models: tuple[Site, list[ModelVersion]], tmp_path: Path
) -> None:
    site, (first, second) = models
    third = site.models.publish(made_bundle(tmp_path / "third", seed=2))
    index(site, third, seed=2, names="qabcdefgh")
    with resources.serving(site):
        test = AppTest.from_function(page, default_timeout=60)
        test.query_params["v"], test.query_params["q"] = "1", QUERY.object_key
        test.query_params["page.show"], test.query_params["rows"] = "models", "3"
        before = compared(test.run())
        site.index.make_live(second.collection)
        after = compared(test.run())
    other = f"{third.bundle_id} (other)"
    assert before == sorted([f"{first.bundle_id} (live)", other])
    assert after == sorted([f"{second.bundle_id} (live)", other])


def page() -> None:
    from search_ui.pages.search import render  # noqa: PLC0415  Streamlit runs this on its own

    render()


def test_models_that_are_not_there_are_refused(models: tuple[Site, list[ModelVersion]]) -> None:
    site, (live, other) = models
    with SearchService(site) as service, ModelComparer(service) as comparer:
        request = SearchRequest(queries=(QUERY,))
        for name in (live.bundle_id, "dsnn-000000000000", "<b>\n"):
            with pytest.raises(SearchError, match=f"there are: {other.bundle_id}") as caught:
                comparer.compare(request, name)
            assert str(caught.value).isprintable()
        site.index.drop(other.collection)
        assert comparer.others() == ()


def test_what_one_list_has_alone_did_not_move(models: tuple[Site, list[ModelVersion]]) -> None:
    site, _ = models
    with SearchService(site) as service:
        hits = service.search(SearchRequest(queries=(QUERY,), k=4)).hits
    moves = moves_of(hits[:3], hits[1:])
    assert [(move.ours, move.theirs, move.shift) for move in moves] == [
        (1, None, None),
        (2, 2, 0),
        (3, 3, 0),
        (None, 4, None),
    ]


def test_in_every_format(models: tuple[Site, list[ModelVersion]]) -> None:
    site, (_, other) = models
    request = SearchRequest(queries=(QUERY,), k=3, three_rows=True)
    with SearchService(site) as service, ModelComparer(service) as comparer:
        found = comparer.compare(request, other.bundle_id)
    told = json.loads(MOVE_WRITERS["json"](found))
    assert sorted(told) == ["moves", "notes", "ours", "theirs", "views"]
    rows = list(csv.DictReader(io.StringIO(MOVE_WRITERS["csv"](found))))
    assert len(rows) == sum(map(len, found.views.values()))
    assert {row["list"] for row in rows} <= {str(view) for view in View}
    text = MOVE_WRITERS["table"](found)
    assert other.bundle_id in text
    for move in found.views[View.OTHER_RESERVOIRS]:
        assert f"{move.object_key}#{move.slice_index}" in text
