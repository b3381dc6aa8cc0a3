"""Rows that name a scan by less than its whole path, in a library whose scans are known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError
from encoder.metadata.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from encoder.metadata.records import ScanMetadata


def index_of(folder: Path, text: str, scans: Iterable[str]) -> MetadataIndex:
    table = folder / "metadata.csv"
    table.write_text(text, encoding="utf-8")
    return MetadataIndex([(read_table(table, name=table.name), "")], scans)


def porosity(metadata: ScanMetadata) -> float | None:
    return metadata.properties.porosity


@pytest.mark.parametrize("image", ["a.png", "a", "S1/a.png"])
def test_a_name_that_two_scans_bear_is_refused_with_both(tmp_path: Path, image: str) -> None:
    scans = ["E1/S1/a.png", "E2/S1/a.png", "E1/S1/b.png"]
    index = index_of(tmp_path, f"Image,Reservoir,Porosity\n{image},E1,0.1\n", scans)
    for scan in scans[:2]:
        with pytest.raises(MetadataError) as caught:
            index.resolve(scan)
        [problem] = caught.value.problems
        assert (problem.source, problem.row, problem.column) == ("metadata.csv", 2, "Image")
        assert "E1/S1/a.png and E2/S1/a.png" in problem.found
    assert porosity(index.resolve("E1/S1/b.png")) is None


def test_a_name_that_one_scan_bears_is_taken(tmp_path: Path) -> None:
    scans = ["E1/S1/a.png", "E2/S1/b.png"]
    index = index_of(tmp_path, "Image,Porosity\na.png,0.1\n", scans)
    assert [porosity(index.resolve(scan)) for scan in scans] == [0.1, None]


def test_a_scan_that_is_not_in_the_list_counts_as_well(tmp_path: Path) -> None:
    index = index_of(tmp_path, "Image,Porosity\na.png,0.1\n", ["E1/S1/a.png"])
    with pytest.raises(MetadataError, match=r"E1/S1/a\.png and E3/S3/a\.png"):
        index.resolve("E3/S3/a.png")


def test_a_row_whose_whole_path_is_a_scans_is_about_no_other(tmp_path: Path) -> None:
    scans = ["a.png", "E2/S2/a.png", "x/b.png", "b.png"]
    index = index_of(tmp_path, "Image,Porosity\na.png,0.1\nx/b.png,0.2\n", scans)
    assert [porosity(index.resolve(scan)) for scan in scans] == [0.1, None, 0.2, None]


def test_names_that_other_rows_of_the_table_tell_better_are_theirs(tmp_path: Path) -> None:
    text = "Image,Porosity\na.png,0.1\nS1/a.png,0.2\nE2/S2/a.png,0.3\n"
    scans = ["E1/S1/a.png", "E2/S2/a.png", "E3/S3/a.png"]
    index = index_of(tmp_path, text, scans)
    assert [porosity(index.resolve(scan)) for scan in scans] == [0.2, 0.3, 0.1]


def test_slices_of_a_volume_are_one_scan_but_volumes_of_two_folders_are_not(
    tmp_path: Path,
) -> None:
    slices = [f"E1/S1/V7_slice{number}.png" for number in range(3)]
    text = "Image,Porosity\nV7.raw,0.1\n"
    index = index_of(tmp_path, text, slices)
    assert {porosity(index.resolve(scan)) for scan in slices} == {0.1}
    index = index_of(tmp_path, text, [*slices, "E2/S2/V7_slice0.png"])
    with pytest.raises(MetadataError, match=r"E1/S1/V7_slice0\.png and E2/S2/V7_slice0\.png"):
        index.resolve(slices[2])


def test_a_path_that_two_rows_end_with_is_refused_with_both(tmp_path: Path) -> None:
    index = index_of(tmp_path, "Image,Porosity\nX/a.png,0.1\nY/a.png,0.2\n", ["a.png"])
    with pytest.raises(MetadataError) as caught:
        index.resolve("a.png")
    assert "'X/a.png' (metadata.csv row 2) and 'Y/a.png' (metadata.csv row 3)" in str(caught.value)


def test_rows_written_elsewhere_are_about_the_scan_with_the_longest_path(tmp_path: Path) -> None:
    scans = ["a.png", "S1/a.png"]
    index = index_of(tmp_path, "Image,Porosity\n/data/lib/S1/a.png,0.1\n", scans)
    assert [porosity(index.resolve(scan)) for scan in scans] == [None, 0.1]


def test_rows_of_the_same_file_in_other_folders_are_told(tmp_path: Path) -> None:
    """Neither is about the scan by its path, but one is probably meant."""
    index = index_of(tmp_path, "Image,Porosity\nX/a.png,0.1\nY/a.png,0.2\n", ["E1/S1/a.png"])
    found = index.resolve("E1/S1/a.png")
    assert porosity(found) is None
    [note] = found.notes
    assert "'X/a.png' (metadata.csv row 2) and 'Y/a.png' (metadata.csv row 3)" in note


def test_a_sample_of_two_reservoirs_is_refused_with_both(tmp_path: Path) -> None:
    scans = ["E1/S1/a.png", "E1/S1/b.png", "E2/S1/a.png", "E2/S2/a.png"]
    text = "Reservoir,Sample,Porosity\n,S1,0.1\n,S2,0.2\n"
    index = index_of(tmp_path, text, scans)
    with pytest.raises(MetadataError) as caught:
        index.resolve("E1/S1/b.png")
    [problem] = caught.value.problems
    assert (problem.row, problem.column) == (2, "Sample")
    assert "'E1' (E1/S1/a.png) and 'E2' (E2/S1/a.png)" in problem.found
    assert porosity(index.resolve("E2/S2/a.png")) == 0.2


def test_a_sample_of_a_named_reservoir_is_unambiguous(tmp_path: Path) -> None:
    scans = ["E1/S1/a.png", "E2/S1/a.png"]
    index = index_of(tmp_path, "Reservoir,Sample,Porosity\nE1,S1,0.1\nE2,S1,0.2\n", scans)
    assert [porosity(index.resolve(scan)) for scan in scans] == [0.1, 0.2]


def test_the_list_of_scans_is_asked_for_only_where_a_row_needs_it(tmp_path: Path) -> None:
    scans = iter(["E1/S1/a.png", "E2/S1/b.png", "E2/S1/a.png"])
    text = "Image,Sample,Reservoir,Porosity\nE1/S1/a.png,,,0.1\nb.png,,,0.2\n,S9,E9,0.3\n"
    index = index_of(tmp_path, text, scans)
    assert porosity(index.resolve("E1/S1/a.png")) == 0.1
    assert porosity(index.resolve("E9/S9/c.png")) == 0.3
    assert next(scans) == "E1/S1/a.png"
    assert porosity(index.resolve("E2/S1/b.png")) == 0.2
    assert next(scans, None) is None


def test_many_namesakes_are_told_apart_quickly(tmp_path: Path) -> None:
    """Every sample has its slice_0001.png: holding each against each would take hours."""
    names = [f"S{number}/slice_0001.png" for number in range(20_000)]
    rows = "".join(f"{name},{number / 20_000}\n" for number, name in enumerate(names))
    index = index_of(
        tmp_path, f"Image,Porosity\nslice_0001.png,0.5\n{rows}", [f"E1/{name}" for name in names]
    )
    found = [porosity(index.resolve(f"E1/{name}")) for name in itertools.islice(names, 100)]
    assert found == [number / 20_000 for number in range(100)]
