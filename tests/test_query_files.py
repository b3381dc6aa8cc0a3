"""Files that are looked for: uploads, what their asker tells, slices and parts of them."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from encoder.errors import LithoscopeError
from encoder.ranking import View
from encoder.regions import Region
from search_site import PLANES, SearchSite, texture
from search_ui.requests import (
    FileQuery,
    ObjectQuery,
    Query,
    SearchError,
    SearchRequest,
    Told,
    UploadQuery,
)
from search_ui.service import SearchService

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from search_ui.results import SearchResult

pytest_plugins = ["search_site"]

QUARTER = Region(left=0.0, top=0.0, right=0.5, bottom=0.5)


def upload(site: SearchSite, pixels: NDArray[np.uint8], name: str = "a.png") -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    content.seek(0)
    return site.service.kept.keep(name, content)


def eight_bit(seed: int) -> NDArray[np.uint8]:
    return (texture(seed) // 256).astype(np.uint8)


def ask(site: SearchSite, *queries: Query, **more: Any) -> SearchResult:  # noqa: ANN401  fields
    return site.service.search(SearchRequest(queries=queries, k=50, **more))


def keys(result: SearchResult) -> set[str]:
    return {hit.row.object_key for hit in result.hits}


def test_an_upload_answers_as_its_file(search_site: SearchSite) -> None:
    path = search_site.rocks / "E1/S2/a.png"
    token = search_site.service.kept.keep("my rock.png", io.BytesIO(path.read_bytes()))
    by_token = ask(search_site, UploadQuery(token=token))
    by_path = ask(search_site, FileQuery(path=path))
    assert [hit.row for hit in by_token.hits] == [hit.row for hit in by_path.hits]
    (facts,) = by_token.queries
    assert facts.name == "my rock.png"
    assert (facts.reservoir, facts.sample) == ("E1", "S2")  # of the same content that is indexed
    assert facts.object_keys == ("scans/E1/S2/a.png",)
    told = " ".join([*by_token.notes, facts.name])
    assert "/" not in told.replace("1/(1", "")


def test_an_upload_has_the_pixel_size_of_the_indexed_scan_of_its_content(
    search_site: SearchSite,
) -> None:
    content = (search_site.rocks / "E1/S2/a.png").read_bytes()
    query = UploadQuery(token=search_site.service.kept.keep("my rock.png", io.BytesIO(content)))
    draw = search_site.service.draw
    assert draw(query).pixel_size_um == 2.5
    assert draw(query).width_um == 250.0
    assert draw(FileQuery(path=search_site.rocks / "E1/S2/a.png")).pixel_size_um == 2.5
    told = UploadQuery(token=query.token, told=Told(pixel_size_um=1.5))
    assert draw(told).pixel_size_um == 1.5
    named = UploadQuery(token=query.token, told=Told(reservoir="E7"))
    assert draw(named).pixel_size_um == 2.5
    assert draw(UploadQuery(token=upload(search_site, eight_bit(99)))).pixel_size_um is None


def test_a_stranger_says_that_its_sample_is_not_known(search_site: SearchSite) -> None:
    token = upload(search_site, eight_bit(99))
    result = ask(search_site, UploadQuery(token=token))
    assert len(keys(result)) == 5
    assert any("sample is not known" in note for note in result.notes)


def test_what_is_told_of_a_file_wins(search_site: SearchSite) -> None:
    token = upload(search_site, eight_bit(99))
    told = Told(reservoir="E1", sample="S1", porosity=0.3, permeability_md=7.0, pixel_size_um=1.5)
    result = ask(search_site, UploadQuery(token=token, told=told), three_rows=True)
    (facts,) = result.queries
    assert (facts.reservoir, facts.sample) == ("E1", "S1")
    assert (facts.properties.porosity, facts.properties.permeability_md) == (0.3, 7.0)
    assert "scans/E1/S1/b.png" not in keys(result)
    assert result.funnel.hidden_own == 0  # the first row shows them
    assert ask(search_site, UploadQuery(token=token, told=told)).funnel.hidden_own == 1 + PLANES
    assert {h.row.sample for h in result.views[View.SAME_RESERVOIR]} == {"S2"}
    assert {h.row.reservoir for h in result.views[View.OTHER_RESERVOIRS]} == {"E2"}
    assert not any("sample is not known" in note for note in result.notes)
    drawn = search_site.service.draw(UploadQuery(token=token, told=told))
    assert drawn.width_um == 150.0
    # of a file of a library, too
    path = search_site.rocks / "E2/S3/c.png"
    renamed = ask(search_site, FileQuery(path=path, told=Told(sample="S1", porosity=0.5)))
    (facts,) = renamed.queries
    assert (facts.reservoir, facts.sample) == ("E2", "S1")
    assert facts.properties.porosity == 0.5
    assert facts.properties.permeability_md == 250.0
    # what is indexed of the same content is its own as well
    assert keys(renamed) == {"scans/E1/S1/b.png", "scans/E1/S1/volume.tif", "scans/E1/S2/a.png"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"porosity": 15.0}, "porosity: found 15, expected a fraction"),
        ({"permeability_md": -1.0}, "permeability_md: found -1"),
        ({"pixel_size_um": 0.0}, "pixel_size_um: found 0"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um: found nan"),
    ],
)
def test_numbers_that_no_rock_has_are_refused(values: dict[str, float], text: str) -> None:
    with pytest.raises(SearchError, match=text):
        Told(**values)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="empty name"):
        Told(reservoir=" ")


def test_one_slice_of_a_volume(search_site: SearchSite) -> None:
    path = search_site.rocks / "E1/S1/volume.tif"
    whole = ask(search_site, FileQuery(path=path), include_own_sample=True)
    one = ask(search_site, FileQuery(path=path, slice_index=1), include_own_sample=True)
    assert whole.queries[0].n_slices == PLANES
    assert one.queries[0].n_slices == 1
    first = one.hits[0]
    assert (first.row.object_key, first.row.slice_index) == ("scans/E1/S1/volume.tif", 1)
    assert first.similarity == pytest.approx(1.0, abs=0.05)
    rows = ask(search_site, FileQuery(path=path, slice_index=1), three_rows=True).views
    same = {(h.row.object_key, h.row.slice_index) for h in rows[View.SAME_SAMPLE]}
    others = {("scans/E1/S1/volume.tif", number) for number in range(PLANES) if number != 1}
    assert same == others | {("scans/E1/S1/b.png", 0)}
    with pytest.raises(SearchError, match="no such slice; it has 0 to 4"):
        ask(search_site, FileQuery(path=path, slice_index=7))


def test_a_part_of_a_scan_is_that_part_as_a_file(search_site: SearchSite) -> None:
    """The same box, cut out of the scan's record and out of the file."""
    key = "scans/E1/S1/volume.tif"
    path = search_site.rocks / "E1/S1/volume.tif"
    of_scan = ask(search_site, ObjectQuery(object_key=key, slice_index=1, region=QUARTER))
    of_file = ask(search_site, FileQuery(path=path, slice_index=1, region=QUARTER))
    whole = ask(search_site, ObjectQuery(object_key=key, slice_index=1))
    distances = [hit.distance for hit in of_scan.hits]
    assert distances == pytest.approx([hit.distance for hit in of_file.hits], rel=1e-4)
    assert distances != pytest.approx([hit.distance for hit in whole.hits], rel=1e-4)
    assert any("a part of 50% by 50%" in note for note in of_scan.notes)
    assert (of_scan.queries[0].reservoir, of_scan.queries[0].sample) == ("E1", "S1")
    full = Region(left=0, top=0, right=1, bottom=1)
    same = ask(search_site, ObjectQuery(object_key=key, slice_index=1, region=full))
    assert [hit.distance for hit in same.hits] == pytest.approx(
        [hit.distance for hit in whole.hits], rel=0.02
    )
    assert not any("a part of" in note for note in same.notes)


def test_pictures_of_what_is_looked_for(search_site: SearchSite) -> None:
    token = upload(search_site, eight_bit(42))
    drawn = search_site.service.draw(UploadQuery(token=token))
    assert drawn.pixels.shape == (80, 100)
    assert (drawn.n_slices, drawn.slice_index, drawn.is_volume) == (1, None, False)
    assert (drawn.width_px, drawn.height_px, drawn.width_um) == (100, 80, None)
    part = search_site.service.draw(UploadQuery(token=token, region=QUARTER))
    assert np.array_equal(part.pixels, drawn.pixels[:40, :50])
    small = search_site.service.draw(UploadQuery(token=token), max_side=50)
    assert small.pixels.shape == (40, 50)
    volume = FileQuery(path=search_site.rocks / "E1/S1/volume.tif")
    middle = search_site.service.draw(volume)
    assert (middle.slice_index, middle.n_slices, middle.is_volume) == (2, PLANES, True)


def test_several_files_are_one_query(search_site: SearchSite) -> None:
    tokens = [upload(search_site, eight_bit(seed)) for seed in (60, 61)]
    both = ask(search_site, *(UploadQuery(token=token) for token in tokens))
    alone = [ask(search_site, UploadQuery(token=token)) for token in tokens]
    nearest = {
        hit.row.row_id: min(
            other.distance for one in alone for other in one.hits if other.row == hit.row
        )
        for hit in both.hits
    }
    for hit in both.hits:
        assert hit.distance == pytest.approx(nearest[hit.row.row_id], rel=1e-3)


def test_a_service_that_is_warm_answers_the_same(search_site: SearchSite) -> None:
    query = FileQuery(path=search_site.rocks / "E1/S1/volume.tif")
    with SearchService(search_site.site) as service:
        service.warm_up()
        found = service.search(SearchRequest(queries=(query,), k=50))
    assert [hit.row for hit in found.hits] == [hit.row for hit in ask(search_site, query).hits]


def test_a_bad_upload_is_refused_without_a_path(search_site: SearchSite) -> None:
    content = io.BytesIO()
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(content, "PNG")
    token = search_site.service.kept.keep("flat.png", io.BytesIO(content.getvalue()))
    with pytest.raises(LithoscopeError, match=r"^flat\.png: every pixel has the value 7") as caught:
        ask(search_site, UploadQuery(token=token))
    assert "/" not in str(caught.value)


def test_many_at_once_see_their_own_answers_only(search_site: SearchSite) -> None:
    names = ("E1/S2/a.png", "E2/S1/b.png", "E2/S3/c.png")
    tokens = [
        search_site.service.kept.keep(name, io.BytesIO((search_site.rocks / name).read_bytes()))
        for name in names
    ]
    found: dict[int, list[str]] = {}

    def look(number: int) -> None:
        query = UploadQuery(token=tokens[number % 3])
        result = ask(search_site, query, include_own_sample=True)
        found[number] = [result.hits[0].row.object_key, *result.queries[0].object_keys]

    threads = [threading.Thread(target=look, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [f"scans/{names[n % 3]}"] * 2 for n in range(9)}
