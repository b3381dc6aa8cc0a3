"""Which source tells a scan's metadata: precedence, ways to name a scan, contradictions."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError
from encoder.metadata.records import ScanMetadata, SourceKind
from encoder.metadata.tables import find_tables_below, read_table
from encoder.object_keys import ObjectKey, key_of_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path


def index_of(library: Path, **tables: str) -> MetadataIndex:
    """Index of tables that lie in the library; ``E1__metadata`` is ``E1/metadata.csv``."""
    for name, text in tables.items():
        path = library / (name.replace("__", "/") + ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return MetadataIndex.read(find_tables_below(library), root=library)


def porosity(metadata: ScanMetadata) -> float | None:
    return metadata.properties.porosity


def test_each_field_comes_from_the_first_source_that_knows_it(library: Path) -> None:
    index = index_of(
        library,
        metadata=(
            "object_key,Image,Sample,Porosity,k_md,Pixelsize_um,a,b,c,d\n"
            "scans/E1/S1/x.png,,,0.11,,,1,,,\n"
            ",E1/S1/x.png,,0.12,12,,2,2,,\n"
            ",,S1,0.14,14,4,4,4,4,4\n"
        ),
        metadata_by_name="File,Porosity,k_md,Pixelsize_um,a,b,c\nx,0.13,13,3,3,3,3\n",
    )
    user = {"porosity": "0.15", "k_md": "15", "d": "5", "e": "5", "modality": "micro_ct"}
    found = index.resolve("E1/S1/x.png", user)
    assert found.values() == {
        "reservoir": "E1",
        "sample": "S1",
        "modality": "micro_ct",
        "porosity": 0.11,
        "permeability_md": 12.0,
        "pixel_size_um": 3.0,
        "a": 1,
        "b": 2,
        "c": 3,
        "d": 4,
        "e": 5,
    }
    sources = {name: str(origin) for name, origin in found.provenance.items()}
    assert sources == {
        "porosity": "metadata.csv row 2, column 'Porosity' (by object_key)",
        "permeability_md": "metadata.csv row 3, column 'k_md' (by Image)",
        "pixel_size_um": "metadata_by_name.csv row 2, column 'Pixelsize_um' (by file name)",
        "a": "metadata.csv row 2, column 'a' (by object_key)",
        "b": "metadata.csv row 3, column 'b' (by Image)",
        "c": "metadata_by_name.csv row 2, column 'c' (by file name)",
        "d": "metadata.csv row 4, column 'd' (by sample)",
        "e": "user metadata 'e'",
        "modality": "user metadata 'modality'",
        "sample": "metadata.csv row 4, column 'Sample' (by sample)",
        "reservoir": "path",
    }
    assert found.provenance["reservoir"].kind is SourceKind.PATH


def test_images_are_relative_to_their_table(library: Path) -> None:
    index = index_of(
        library,
        E1__metadata="Image,Porosity\nS1/x.png,0.1\n../E1/S2/y.png,0.3\n../E2/S1/y.png,0.4\n",
        E2__metadata="Image,Porosity\nS1/x.png,0.2\n",
    )
    assert porosity(index.resolve("E1/S1/x.png")) == 0.1
    assert porosity(index.resolve("E2/S1/x.png")) == 0.2
    assert porosity(index.resolve("E1/S2/y.png")) == 0.3
    assert porosity(index.resolve("E2/S1/y.png")) is None  # outside the table's folder
    assert porosity(index.resolve("E3/S1/x.png")) is None


def test_a_table_speaks_only_for_its_folder(library: Path) -> None:
    index = index_of(library, E1__metadata="Image,Sample,Porosity\nx.png,,0.1\n,S1,0.2\n")
    assert porosity(index.resolve("E1/S9/x.png")) == 0.1
    assert porosity(index.resolve("E1/S1/y.png")) == 0.2
    assert porosity(index.resolve("E2/S9/x.png")) is None
    assert porosity(index.resolve("E2/S1/y.png")) is None


def test_rows_that_agree_may_repeat(library: Path) -> None:
    index = index_of(
        library,
        metadata="Image,Porosity (%),k_md\nx.png,23.5,\nx.png,23.5,1200\n",
        metadata_2="Image,Porosity,Permeability (D)\nx.png,0.235,1.2\n",
    )
    found = index.resolve("x.png")
    assert (porosity(found), found.properties.permeability_md) == (0.235, 1200.0)


def test_rows_that_contradict_are_shown_both(library: Path) -> None:
    index = index_of(
        library,
        metadata="Image,Sample,Porosity\nE1/S1/x.png,S1,0.1\n",
        metadata_2="Image,Sample,Porosity\nE1/S1/x.png,S2,0.2\n",
    )
    with pytest.raises(MetadataError) as caught:
        index.resolve("E1/S1/x.png")
    lines = [str(problem) for problem in caught.value.problems]
    assert len(lines) == 2
    assert "0.1 in metadata.csv row 2" in lines[1]
    assert "0.2 in metadata_2.csv row 2" in lines[1]
    assert all(line.startswith("E1/S1/x.png") for line in lines)


def test_contradiction_on_a_later_step_does_not_matter(library: Path) -> None:
    index = index_of(library, metadata="Image,Porosity\nE1/x.png,0.1\nx.png,0.2\nx.png,0.3\n")
    assert porosity(index.resolve("E1/x.png")) == 0.1
    with pytest.raises(MetadataError):
        index.resolve("E2/x.png")


def test_sample_rows_speak_for_all_scans_of_the_sample(library: Path) -> None:
    """Images and plugs in tables of their own, the images in no order."""
    index = index_of(
        library,
        metadata_images="Image,Sample\nimgs/x.png,S1\nimgs/y.png,S1\nimgs/z.png,S2\n",
        metadata_plugs="Sample,Reservoir,Porosity\nS1,E1,0.1\nS2,E1,0.2\nS3,E1,0.3\n",
    )
    found = [index.resolve(f"imgs/{name}.png") for name in "xyz"]
    assert [porosity(each) for each in found] == [0.1, 0.1, 0.2]
    assert {each.reservoir for each in found} == {"E1"}
    assert porosity(index.resolve("elsewhere/x.png", {"sample": "S3"})) == 0.3


def test_a_samples_name_counts_within_its_reservoir(library: Path) -> None:
    index = index_of(
        library, metadata="Reservoir,Sample,Porosity\nE1,S1,0.1\nE2,S1,0.2\nE1,S9,0.9\n,S7,0.7\n"
    )
    assert porosity(index.resolve("E1/S1/x.png")) == 0.1
    assert porosity(index.resolve("E2/S1/x.png")) == 0.2
    assert porosity(index.resolve("scans/E2/S1/x.png")) == 0.2
    assert porosity(index.resolve("E5/S7/x.png")) == 0.7
    namesake = index.resolve("E3/S9/x.png")
    assert (porosity(namesake), namesake.reservoir) == (None, "E3")
    assert "row 4 was not used" in namesake.notes[0]
    with pytest.raises(MetadataError, match="reservoir"):
        index.resolve("x.png", {"sample": "S1"})
    assert porosity(index.resolve("x.png", {"sample": "S1", "reservoir": "E2"})) == 0.2


def test_samples_are_looked_up_from_the_tables_folder_too(library: Path) -> None:
    index = index_of(library, set1__metadata="Reservoir,Sample,Porosity\nE1,S1,0.1\n")
    found = index.resolve("set1/E1/S1/x.png")
    assert (found.reservoir, found.sample, porosity(found)) == ("E1", "S1", 0.1)


def test_single_folder_may_be_a_sample(library: Path) -> None:
    index = index_of(library, metadata="Sample,Porosity\nS1,0.1\n")
    found = index.resolve("S1/x.png")
    assert (found.reservoir, found.sample, porosity(found)) == (None, "S1", 0.1)
    other = index.resolve("E1/x.png")
    assert (other.reservoir, other.sample) == ("E1", None)


ROCKIR = (
    "Label,Image,Porosity,Permeability,Pixelsize,Created_label\n"
    "E0,E002M0,0.21,350,2.5,AA01\n"
    "E0,E003M0,0.18,20,2.5,AA02\n"
    "Z0,Z00001,0.30,,3.0,AA03\n"
)


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("db_test/E002M0_slice1_cropped.png", ("E0", "AA01", 0.21)),
        ("db_test/Z00001_slice1.png", ("Z0", "AA03", 0.30)),
        ("train/AA02/anything.png", ("E0", "AA02", 0.18)),
        ("AA02/anything.png", ("E0", "AA02", 0.18)),
        ("scans/E0/AA01/p.png", ("E0", "AA01", 0.21)),
        ("train/AA09/anything.png", ("train", "AA09", None)),
    ],
)
def test_rockirs_slices_by_image_and_by_folder(
    library: Path, scan: str, expected: tuple[str, str, float | None]
) -> None:
    table = library / "microct_0114_random_labels.csv"
    table.write_text(ROCKIR)
    place = "scans" if scan.startswith("scans") else ""
    found = MetadataIndex([(read_table(table), place)]).resolve(scan)
    assert (found.reservoir, found.sample, porosity(found)) == expected


def test_rockirs_rows_of_other_images_fill_no_gaps(library: Path) -> None:
    text = "Image,Created_label,Porosity,Depth\nx.png,AA01,0.1,\ny.png,AA01,0.2,5\n"
    index = index_of(library, metadata=text)
    assert index.resolve("AA01/x.png").properties.extra == {}
    with pytest.raises(MetadataError, match="porosity"):
        index.resolve("AA01/unlisted.png")


def test_sample_stays_unknown_where_the_tree_is_sorted_otherwise(library: Path) -> None:
    """A tree set/split/class/file once made one 'sample' out of thousands of scans."""
    index = index_of(
        library, metadata="Image,Reservoir,Sample\nset/database/a/x.png,set/a,\nA/ts_1/y.png,A,\n"
    )
    found = index.resolve("set/database/a/x.png")
    assert (found.reservoir, found.sample) == ("set/a", None)
    assert found.sample_or_own == "set/database/a/x.png"
    assert index.resolve("A/ts_1/y.png").sample == "ts_1"


def test_reservoir_from_a_table_and_sample_from_the_path(library: Path) -> None:
    index = index_of(library, metadata="Image,Reservoir\nE1/S1/x.png,Brent\n")
    found = index.resolve("E1/S1/x.png")
    assert (found.reservoir, found.sample) == ("Brent", "S1")


def test_path_is_read_from_the_tables_folder_where_its_rows_agree(library: Path) -> None:
    index = index_of(library, set1__metadata="Image,Reservoir,Sample\nE1/S1/x.png,E1,\n")
    assert index.resolve("set1/E1/S1/x.png").sample == "S1"


@pytest.mark.parametrize(
    ("scan", "reservoir", "sample"),
    [
        ("x.png", None, None),
        ("E1/x.png", "E1", None),
        ("E1/S1/x.png", "E1", "S1"),
        ("E1/S1/deep/er/x.png", "E1", "S1"),
        ("scans/E%2F1/S%201/x.png", "E/1", "S 1"),
        ("scans/_/S1/x.png", None, "S1"),
        ("scans/E1/_/x.png", "E1", None),
        (PurePosixPath("E1/S1/x.png"), "E1", "S1"),
        (ObjectKey("E1", "S1", ("x.png",)), "E1", "S1"),
        # too long for an object key, which a file of a library need not have
        (f"E1/{'S' * 300}/x.png", "E1", "S" * 300),
        # a library may have a folder of that name
        ("scans/x.png", "scans", None),
    ],
)
def test_names_from_the_path(
    scan: str | PurePosixPath | ObjectKey, reservoir: str | None, sample: str | None
) -> None:
    found = MetadataIndex().resolve(scan)
    assert (found.reservoir, found.sample) == (reservoir, sample)
    assert found.object_key == str(scan)


@pytest.mark.parametrize("scan", ["", "/etc/x.png", "../x.png", "E1/../../x.png"])
def test_paths_outside_the_library_are_refused(scan: str) -> None:
    with pytest.raises(MetadataError, match="inside the library"):
        MetadataIndex().resolve(scan)


TREE = (
    "Image,Reservoir,Sample,Porosity\n"
    "E1/S1/x.png,E1,S1,0.1\n"
    "E 2/S%2/x.png,E 2,S%2,0.2\n"
    "imgs/x.png,E3,S3,0.3\n"
    "set/database/a/x.png,set/a,,0.4\n"
    "set/database/b/x.png,set/b,,0.5\n"
    "alone.png,,,0.6\n"
    "E7/x.png,E7,,0.7\n"
    ",E8,S8,0.8\n"
)


@pytest.mark.parametrize(
    "path",
    [
        *("E1/S1/x.png", "E 2/S%2/x.png", "imgs/x.png", "set/database/a/x.png"),
        *("set/database/b/x.png", "alone.png", "E7/x.png", "E8/S8/x.png", "E9/S9/x.png"),
    ],
)
def test_stored_scan_keeps_its_metadata(library: Path, path: str) -> None:
    """What a library's file resolves to, its key in the object store resolves to as well."""
    index = index_of(library, metadata=TREE)
    found = index.resolve(path)
    key = key_of_file(path, reservoir=found.reservoir, sample=found.sample)
    bucket = MetadataIndex([(table, "scans") for table, _ in index.tables])
    stored = bucket.resolve(key)
    assert stored.values() == found.values()
    assert stored.metadata_hash() == found.metadata_hash()


def test_corrected_table_changes_the_digest(library: Path) -> None:
    before = index_of(library, metadata=TREE)
    after = index_of(library, metadata=TREE.replace("0.1\n", "0.15\n"))
    digests = [
        [index.resolve(path).metadata_hash() for path in ("E1/S1/x.png", "imgs/x.png")]
        for index in (before, after)
    ]
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] == digests[1][1]


def test_problems_of_all_tables_are_told_at_once(library: Path) -> None:
    wrong = "Image,Porosity\nx.png,20\n"
    with pytest.raises(MetadataError) as caught:
        index_of(library, metadata=wrong, E1__metadata=wrong)
    sources = [problem.source for problem in caught.value.problems]
    assert sources == ["E1/metadata.csv", "metadata.csv"]


def test_rows_without_a_scan_are_told(library: Path) -> None:
    index = index_of(library, metadata="Image,Sample,Porosity\nx.png,,0.1\nyy.png,,0.2\n,S3,0.3\n")
    index.resolve("E1/S1/x.png")
    unused = index.unused_rows()
    assert [problem.row for problem in unused] == [3, 4]
    assert "'yy.png'" in str(unused[0])


def test_many_scans_of_one_name_are_found_at_once(library: Path) -> None:
    """Every sample has its slice_0001.png: a search through namesakes would take hours."""
    count = 30_000
    rows = "".join(f"E1/S{n}/slice_0001.png,S{n},{n / count}\n" for n in range(count))
    index = index_of(library, metadata=f"Image,Sample,Porosity\n{rows}")
    for n in range(0, count, 3):
        assert porosity(index.resolve(f"E1/S{n}/slice_0001.png")) == n / count
    for n in range(1000):
        assert porosity(index.resolve(f"E2/new{n}/slice_0001.png")) is None
