"""What people look through: the library as a whole, and its scans one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra.pictures import preview_key, thumbnail_key
from search_ui.library import BELIEVED_SECONDS, REST, Library
from search_ui.places import place_text, position_of, size_px, size_um
from search_ui.requests import SearchError
from search_world import World, make_scan, random_scans

if TYPE_CHECKING:
    from infra.indexing.records import IndexedScan

pytest_plugins = ["search_world"]


class Clock:
    """A clock that is set by hand, and goes on by a step whenever it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def varied(scan: IndexedScan, **values: tuple[float | None, ...]) -> IndexedScan:
    """Give a scan's slices numbers of their own."""
    rows = [
        replace(row, numbers=dict(row.numbers) | {name: each[i] for name, each in values.items()})
        for i, row in enumerate(scan.slices)
    ]
    return replace(scan, slices=rows)


def test_overview_counts_what_is_indexed(indexed: World) -> None:
    scans = random_scans(3, 40)
    indexed.add(*scans)
    overview = indexed.service.library.overview()
    assert overview.n_slices == len(indexed.rows)
    assert [scan.object_key for scan in overview.scans] == sorted(indexed.scans)
    names = {each.name for each in overview.reservoirs}
    assert names == {None, "E1", "E2", "E3"}
    assert overview.reservoirs[-1].name is None
    for each in overview.reservoirs:
        mine = [one.record for one in scans if one.record.reservoir == each.name]
        samples = {(r.sample,) if r.sample else r.object_key for r in mine}
        assert (each.n_scans, each.n_samples) == (len(mine), len(samples))
        assert each.n_slices == sum(record.n_slices for record in mine)
    measured = [one for one in scans if one.slices[0].numbers["porosity"] is not None]
    assert overview.coverage["porosity"] == len(measured) == len(overview.values("porosity"))
    assert overview.coverage["pixel_size_um"] == 0
    assert sum(point.n_slices for point in overview.samples) == overview.n_slices
    assert overview.names.reservoirs == ("E1", "E2", "E3")
    assert overview.names.samples == ("S1", "S2", "S3", "S4")
    assert "porosity" in overview.names.numbers


def test_samples_are_points_of_the_cross_plot(indexed: World) -> None:
    first = make_scan(
        "scans/a", reservoir="E1", sample="S1", n=2, porosity=0.1, permeability_md=1.0
    )
    second = make_scan(
        "scans/b", reservoir="E1", sample="S1", n=1, porosity=0.3, permeability_md=100.0
    )
    other = make_scan("scans/c", reservoir="E2", sample="S1", porosity=0.2)
    indexed.add(
        varied(first, predicted_permeability_md=(10.0, 1000.0), predicted_porosity=(0.1, 0.3)),
        second,
        other,
    )
    points = {point.reservoir: point for point in indexed.service.library.overview().samples}
    known = points["E1"].properties
    assert points["E1"].object_keys == ("scans/a", "scans/b")
    assert known.porosity == pytest.approx(0.2)
    assert known.permeability_md == pytest.approx(10.0)
    assert known.predicted_porosity == pytest.approx(0.2)
    assert known.predicted_permeability_md == pytest.approx(100.0)
    assert points["E2"].properties.permeability_md is None


def test_overview_is_remembered_until_something_changes(indexed: World) -> None:
    clock = Clock()
    library = Library(indexed.site, clock=clock)
    indexed.add(make_scan("scans/a", reservoir="E1", sample="S1", porosity=0.1))
    first = library.overview()
    assert library.overview() is first
    clock.now += 2 * BELIEVED_SECONDS
    assert library.overview() is first
    corrected = make_scan("scans/a", reservoir="E9", sample="S1", porosity=0.1)
    indexed.add(replace(corrected, record=replace(corrected.record, metadata_hash="n")))
    clock.now += 2 * BELIEVED_SECONDS
    assert library.overview().names.reservoirs == ("E9",)
    indexed.add(make_scan("scans/b", reservoir="E2"))
    assert library.overview(fresh=True).names.reservoirs == ("E2", "E9")  # counts differ


def test_while_scans_come_in_it_is_not_read_all_the_time(indexed: World) -> None:
    clock = Clock(step=1.0)  # reading takes a second
    library = Library(indexed.site, clock=clock)
    indexed.add(make_scan("scans/a", reservoir="E1"))
    first = library.overview()
    indexed.add(make_scan("scans/b", reservoir="E2"))
    assert library.overview() is first
    assert library.overview(fresh=True).names.reservoirs == ("E1", "E2")
    indexed.add(make_scan("scans/c", reservoir="E3"))
    assert library.overview().names.reservoirs == ("E1", "E2")
    clock.now += REST
    assert library.overview().names.reservoirs == ("E1", "E2", "E3")


def test_scans_are_found_by_words(indexed: World) -> None:
    indexed.add(
        make_scan("scans/Berea%20Sandstone/S1/a.png", reservoir="Berea Sandstone", sample="S1"),
        make_scan("scans/E1/S12/b.png", reservoir="E1", sample="S12"),
    )
    overview = indexed.service.library.overview()
    assert [scan.sample for scan in overview.find("berea a.png")] == ["S1"]
    assert [scan.sample for scan in overview.find("s1")] == ["S1", "S12"]
    assert overview.find("e1 berea") == ()
    assert overview.find("") == overview.scans


def test_scan_page_tells_every_slice(indexed: World) -> None:
    scan = make_scan("scans/v", reservoir="E1", sample="S1", n=3, pixel_size_um=2.0, porosity=0.1)
    facts = {
        "scan": {"format": "TIFF", "n_planes": 30, "height": 40, "width": 50, "dtype": "uint16"},
        "properties": {"lithology": "<script>"},
    }
    rows = [
        replace(
            row,
            position={"axis": 0, "plane": 10 * i, "position": 10 * i / 29},
            extra=facts,
        )
        for i, row in enumerate(scan.slices)
    ]
    indexed.add(replace(scan, slices=rows))
    page = indexed.service.library.scan_page("scans/v")
    assert (page.reservoir, page.sample, page.modality) == ("E1", "S1", "micro_ct")
    assert page.facts["format"] == "TIFF"
    assert page.free == {"lithology": "<script>"}
    assert page.properties.porosity == pytest.approx(0.1)
    assert [each.place for each in page.slices] == [f"plane {1 + 10 * i} of 30" for i in range(3)]
    last = page.slices[-1]
    assert last.width_um == 100.0
    assert last.position == pytest.approx(20 / 29)
    assert last.preview_key == preview_key("scans/v", "g1", slice_index=2)
    assert last.thumbnail_key == thumbnail_key("scans/v", "g1", slice_index=2)


def test_a_scan_that_is_not_there_is_told_with_near_ones(indexed: World) -> None:
    indexed.add(make_scan("scans/E1/a"))
    with pytest.raises(SearchError, match="did you mean 'scans/E1/a'"):
        indexed.service.library.scan_page("scans/E1/b")


def test_places_of_images_and_tiles() -> None:
    row = make_scan("scans/t", pixel_size_um=0.5).slices[0]
    assert place_text(row) == "the whole image"
    assert (size_px(row), size_um(row), position_of(row)) == (None, None, None)
    whole = replace(row, extra={"scan": {"height": 40, "width": 50}})
    assert (size_px(whole), size_um(whole)) == ((50, 40), (25.0, 20.0))
    tile = replace(whole, position={"tile": [1000, 0, 200, 100]})
    assert place_text(tile) == "tile of 200 × 100 pixels at 1,000, 0"
    assert size_um(tile) == (100.0, 50.0)
    unknown = replace(whole, numbers={"pixel_size_um": None})
    assert size_um(unknown) is None
