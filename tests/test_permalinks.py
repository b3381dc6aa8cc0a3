"""Links to searches: the same search again, or what has changed."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pytest
from PIL import Image

from encoder.errors import LithoscopeError
from encoder.ranking import GroupBy
from encoder.regions import Region
from search_ui.permalinks import Link, LinkError, changes, from_params, possible, to_params
from search_ui.requests import (
    FileQuery,
    Filters,
    ObjectQuery,
    PropertyRange,
    Query,
    SearchRequest,
    Told,
    UploadQuery,
)
from search_world import World, make_scan, random_scans

pytest_plugins = ["search_world"]

NAMES = ("E1", "a,b", "back\\slash", "quote\"'", "é \u202e?&=#%", "\\,", "<script>", "1")
KEY = ObjectQuery(object_key="scans/1")


def random_link(rng: random.Random) -> Link:
    def some() -> tuple[str, ...]:
        return tuple(rng.sample(NAMES, rng.choice([0, 0, 1, 3])))

    edges = sorted(rng.random() for _ in range(2))
    region = rng.choice([None, Region(left=edges[0], top=0.0, right=edges[1], bottom=1.0)])
    told = rng.choice(
        [None, Told(reservoir=rng.choice(NAMES), porosity=0.1), Told(pixel_size_um=1 / 3)]
    )
    queries: list[Query] = [
        ObjectQuery(object_key=f"scans/{rng.choice(NAMES)}", slice_index=rng.choice([None, 0, 7])),
        ObjectQuery(object_key="scans/x", region=region),
        UploadQuery(token=f"{rng.getrandbits(128):032x}", told=told, region=region),
        UploadQuery(token="0" * 32, slice_index=3),
    ]
    filters = Filters(
        only_reservoirs=some(),
        exclude_reservoirs=some(),
        only_samples=some(),
        exclude_samples=some(),
        only_objects=some(),
        exclude_objects=some(),
        modalities=rng.choice([(), ("micro_ct",), ("micro_ct", "thin_section")]),
        ranges=rng.choice(
            [
                (),
                (PropertyRange(name="porosity", low=0.1, high=1 / 3),),
                (PropertyRange(name="depth_m", high=-1e300), PropertyRange(name="porosity")),
            ]
        ),
        keep_unmeasured=rng.random() < 0.5,
    )
    request = SearchRequest(
        queries=tuple(rng.sample(queries, rng.randrange(1, 5))),
        k=rng.choice([1, 10, 1000]),
        filters=filters,
        group_by=rng.choice([None, *GroupBy]),
        per_sample=rng.choice([None, 2]),
        min_similarity=rng.choice([0.0, 0.1, 1.0]),
        include_own_sample=rng.random() < 0.5,
        three_rows=rng.random() < 0.5,
    )
    return Link(
        request=request,
        bundle_id=rng.choice([None, "dsnn-0123456789ab"]),
        answer=rng.choice([None, "abc"]),
        page=rng.choice([{}, {"tab": "map & more", "hit": "3"}]),
    )


def test_links_come_back_as_they_were() -> None:
    rng = random.Random(2)  # noqa: S311  reproducible, no secret
    for _ in range(300):
        link = random_link(rng)
        address = urlencode(to_params(link))
        assert from_params(dict(parse_qsl(address, keep_blank_values=True))) == link


def test_links_are_short_and_stable() -> None:
    request = SearchRequest(
        queries=(ObjectQuery(object_key="scans/E1/S1/a.png", slice_index=40),),
        filters=Filters(
            exclude_reservoirs=("E2",), ranges=(PropertyRange(name="porosity", low=0.15),)
        ),
        three_rows=True,
    )
    # Links that are out there must go on working: whoever changes this writes a version 2.
    assert to_params(Link(request=request, bundle_id="dsnn-0123456789ab")) == {
        "v": "1",
        "q": "scans/E1/S1/a.png",
        "q.slice": "40",
        "not": "E2",
        "where": "porosity:0.15:",
        "rows": "3",
        "model": "dsnn-0123456789ab",
    }


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"v": "2", "q": "scans/1"}, "another release"),
        ({"v": "1"}, "nothing to look for"),
        ({"v": "1", "q": "scans/1", "excude": "E2"}, "'excude' means nothing"),
        ({"v": "1", "q": "scans/1", "k": "many"}, "k is 'many'"),
        ({"v": "1", "q": "scans/1", "k": "0"}, "0 hits asked for"),
        ({"v": "1", "q": "scans/1", "k": "٣"}, "k is"),
        ({"v": "1", "q": "scans/1", "group": "colour"}, "group is 'colour'"),
        ({"v": "1", "q": "scans/1", "where": "porosity"}, "where is 'porosity'"),
        ({"v": "1", "q": "scans/1", "where": "porosity:nan:"}, "where is"),
        ({"v": "1", "q": "scans/1", "where": "porosity:0.3:0.1"}, "where is"),
        ({"v": "1", "q": "scans/1", "q.region": "0,0,1"}, "q.region is"),
        ({"v": "1", "q": "scans/1", "q.region": "0,0,2,1"}, "fractions from 0 to 1"),
        ({"v": "1", "q": "scans/1", "q9.slice": "1"}, "'q9.slice' means nothing"),
        ({"v": "1", "u": "../../etc/passwd"}, "u is '../../etc/passwd'"),
        ({"v": "1", "u": "0" * 32, "u.porosity": "15"}, "porosity: found 15"),
        ({"v": "1", "q": "scans/1", "own": "yes"}, "own is 'yes'"),
        ({"v": "1", "q": "x" * 20_000}, "longer than 16,000 signs"),
        ({"v": "1", "q": "scans/1", "k": "a\nb\u202e"}, "k is"),
    ],
)
def test_damaged_links_are_refused_in_one_line(params: dict[str, str], told: str) -> None:
    with pytest.raises(LithoscopeError, match=told.replace("(", r"\(")) as caught:
        from_params(params)
    assert str(caught.value).isprintable()


def test_other_parameters_are_no_link_and_those_of_others_are_passed_over() -> None:
    assert from_params({}) is None
    assert from_params({"embed": "true"}) is None
    link = from_params({"v": "1", "q": "scans/1", "embed": "true", "utm_source": "mail"})
    assert link == Link(request=SearchRequest(queries=(KEY,)))


def test_local_files_and_endless_searches_are_not_linked_to() -> None:
    with pytest.raises(LinkError, match="upload it"):
        to_params(Link(request=SearchRequest(queries=(FileQuery(path=__file__),))))  # type: ignore[arg-type]
    names = tuple(f"sample {number}" for number in range(3000))
    endless = SearchRequest(queries=(KEY,), filters=Filters(exclude_samples=names))
    with pytest.raises(LinkError, match="fewer"):
        to_params(Link(request=endless))


def test_fuzzed_parameters_are_read_or_refused() -> None:
    rng = random.Random(6)  # noqa: S311  reproducible, no secret
    told = []
    for _ in range(2000):
        params = to_params(random_link(rng))
        for _ in range(rng.randrange(1, 4)):
            name = rng.choice(list(params))
            text = params[name]
            place = rng.randrange(len(text) + 1)
            noise = rng.choice(["", ",", "\\", ":", "-", "\0", "é", "9" * 30, "1e999", " "])
            params[name] = text[:place] + noise + text[place + rng.randrange(2) :]
        try:
            link = from_params(params)
        except LithoscopeError as error:
            told.append(str(error))
        else:
            assert link is not None
            assert from_params(to_params(link)) == link
    assert told
    assert not any("\n" in each for each in told)


def test_a_search_that_is_opened_again_says_what_changed(indexed: World) -> None:
    indexed.add(*random_scans(1, 20), make_scan("scans/q", reservoir="E1", sample="S9"))
    filters = Filters(exclude_reservoirs=("E2",), exclude_samples=("S9",))
    query = ObjectQuery(object_key="scans/q")
    request = SearchRequest(queries=(query, KEY), filters=filters, three_rows=True)
    service = indexed.service
    result = service.search(request)
    params = to_params(Link.of(request, result, page={"tab": "rows"}))
    link = from_params(params)
    assert link is not None
    assert changes(link, service, result=service.search(link.request)) == ()
    assert possible(link, service) == request

    indexed.add(
        make_scan(
            "scans/near", reservoir="E3", sample="S8", vectors=indexed.scans["scans/q"].vectors
        )
    )
    (note,) = changes(link, service, result=service.search(link.request))
    assert note.startswith("the answer is another one")
    indexed.collection.remove(["scans/q"])
    gone = changes(link, service)
    assert any("scans/q is not indexed any more" in each for each in gone)
    assert any("sample 'S9' of its filters" in each for each in gone)
    left = possible(link, service)
    assert left == replace(request, queries=(KEY,), filters=Filters(exclude_reservoirs=("E2",)))
    assert possible(replace(link, request=replace(request, queries=(query,))), service) is None
    other = replace(link, bundle_id="dsnn-0123456789ab")
    assert "the live model is not published now" in changes(other, service)[0]


def test_an_upload_that_lapsed_is_told(indexed: World) -> None:
    indexed.add(*random_scans(1, 5))
    content = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(content, "PNG")
    content.seek(0)
    token = indexed.service.kept.keep("a.png", content)
    link = Link(request=SearchRequest(queries=(UploadQuery(token=token),)))
    assert changes(link, indexed.service) == ()
    lost = Link(request=SearchRequest(queries=(UploadQuery(token="f" * 32),)))
    assert changes(lost, indexed.service) == (
        "the uploaded image is not kept any more; upload it again",
    )
