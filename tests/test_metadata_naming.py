"""How a row of a table may name a scan, and which names are another's."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from encoder.metadata.index import MetadataIndex
from encoder.metadata.tables import find_tables_below, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.metadata.records import ScanMetadata


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


IMAGE_TABLE = "Image,Porosity\n{image},0.2\n"


@pytest.mark.parametrize(
    ("image", "scan"),
    [
        ("E1/S1/x.png", "E1/S1/x.png"),
        ("./E1/S1/x.png", "E1/S1/x.png"),
        ("E1\\S1\\x.png", "E1/S1/x.png"),
        ("E1/S1/x", "E1/S1/x.png"),
        ("x.png", "E1/S1/x.png"),
        ("S1/x.png", "E1/S1/x.png"),
        ("x", "E1/S1/x.nii.gz"),
        ("S083_2.5X_PP_2", "E1/S1/S083_2.5X_PP_2.jpg"),
        ("C:\\rocks\\E1\\S1\\x.png", "E1/S1/x.png"),
        ("/home/me/rocks/E1/S1/x.png", "E1/S1/x.png"),
        ("s3://bucket/rocks/E1/S1/x.png", "E1/S1/x.png"),
        ("E002M0", "db_test/E002M0_slice0_cropped.png"),
        ("E002M0", "E002M0_slice12.png"),
        ("E002M0.raw", "E1/S1/E002M0_slice3.png"),
        ("S1/E002M0.tif", "E1/S1/E002M0_slice3.png"),
        (
            unicodedata.normalize("NFC", "Sölden/é.png"),
            unicodedata.normalize("NFD", "Sölden/é.png"),
        ),
        ("E 1/S%1/x.png", "scans/E%201/S%251/x.png"),
        ("scans/E%201/S1/x.png", "scans/E%201/S1/x.png"),
        ("E1/x.png", "scans/E1/_/x.png"),
    ],
)
def test_ways_to_name_a_scan(library: Path, image: str, scan: str) -> None:
    table = library / "metadata.csv"
    table.write_text(IMAGE_TABLE.format(image=image), encoding="utf-8")
    place = "scans" if scan.startswith("scans/") and not image.startswith("scans/") else ""
    assert porosity(MetadataIndex([(read_table(table), place)]).resolve(scan)) == 0.2


@pytest.mark.parametrize(
    ("image", "scan"),
    [
        ("E1/S1/x.png", "E2/S1/x.png"),
        ("E1/S1/x.png", "E1/S2/x.png"),
        ("S1/x.png", "E1/S1/deep/x.png"),
        ("x.png", "E1/S1/xx.png"),
        ("x.png", "E1/S1/x.tif"),
        ("X.png", "E1/S1/x.png"),
        ("Berea", "E1/S1/Berea_00_z004.png"),
        ("E002M0", "E1/S1/E002M0_cropped.png"),
        ("E002M0", "E1/S1/E002M01_slice0.png"),
        ("S1", "E1/S1/x.png"),
    ],
)
def test_names_of_other_scans(library: Path, image: str, scan: str) -> None:
    index = index_of(library, metadata=IMAGE_TABLE.format(image=image))
    assert porosity(index.resolve(scan)) is None


def test_in_one_table_the_most_exact_name_counts(library: Path) -> None:
    """A row for x.png in the root once filled the gaps of E1/S1/x.png."""
    text = "Image,Porosity,k_md\nx.png,0.1,1\nS1/x.png,0.2,\nE1/S1/x.png,,\n"
    index = index_of(library, metadata=text)
    assert porosity(index.resolve("E1/S1/x.png")) is None
    found = index.resolve("E2/S1/x.png")
    assert (porosity(found), found.properties.permeability_md) == (0.2, None)
    assert porosity(index.resolve("E1/S2/x.png")) == 0.1


def test_each_table_may_name_scans_in_its_own_way(library: Path) -> None:
    index = index_of(
        library,
        metadata="Image,a\nE1/S1/x.png,1\n",
        metadata_2="Image,b\nx.png,2\n",
        metadata_3="Image,c\nE1/S1/x,3\n",
        metadata_4="Image,d\nx,4\n",
    )
    found = index.resolve("E1/S1/x.png").properties.extra
    assert found == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_name_that_several_images_end_with_names_none(library: Path) -> None:
    index = index_of(library, metadata="Image,Porosity\nE1/S1/x.png,0.1\nE1/S2/x.png,0.2\n")
    assert porosity(index.resolve("x.png")) is None
    assert porosity(index.resolve("S2/x.png")) == 0.2
