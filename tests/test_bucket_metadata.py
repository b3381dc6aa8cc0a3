"""A bucket's metadata tables on every object store."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import openpyxl  # type: ignore[import-untyped]  # ships no types
import pytest

from encoder.metadata.problems import MetadataError
from infra.bucket_metadata import BucketMetadata, table_etags
from infra.folder_store import FolderStore
from infra.store_errors import ObjectChangedError
from object_stores import keys

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStat, ObjectStore

pytest_plugins = ["object_stores"]

TABLE = b"object_key,porosity,depth_m\nscans/E1/S1/a.png,0.25,12\nscans/E1/S2/b.png,,\n"


def put_scans(store: ObjectStore, *names: str) -> None:
    for name in names:
        store.put(name, b"x")


def test_tables_of_any_kind_and_folder_speak_for_scans(store: ObjectStore) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Sample", "Reservoir", "Permeability_mD"])
    book.active.append(["S1", "E1", 150])
    content = io.BytesIO()
    book.save(content)
    store.put("metadata/lib.csv", TABLE)
    store.put("metadata/more/Lab.XLSX", content.getvalue())
    metadata = BucketMetadata.read(store)
    assert metadata.problems == ()
    found = metadata.resolve("scans/E1/S1/a.png", {"pixel-size-um": "2.5", "shape": "1,2,3"})
    assert (found.reservoir, found.sample, found.pixel_size_um) == ("E1", "S1", 2.5)
    assert (found.properties.porosity, found.properties.permeability_md) == (0.25, 150.0)
    assert found.properties.extra == {"depth_m": 12}
    assert found.provenance["porosity"].source == "metadata/lib.csv"
    assert metadata.resolve("scans/E9/S1/a.png").properties.permeability_md is None
    assert metadata.resolve("scans/E9/S1/a.png").reservoir == "E9"


def test_without_tables_the_key_and_user_metadata_speak(store: ObjectStore) -> None:
    metadata = BucketMetadata.read(store)
    assert (metadata.problems, metadata.others, metadata.etags) == ((), (), {})
    assert metadata.resolve("scans/E1/S1/a.png", {"porosity": "0.5"}).properties.porosity == 0.5


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metadata/bad.csv", b"object_key,porosity\nscans/E1/S1/a.png,25\n", "not per cent"),
        ("metadata/bad.csv", b"colour\nred\n", "object_key, Image or Sample"),
        ("metadata/bad.xlsx", b"no workbook", "metadata/bad.xlsx"),
        ("metadata/bad.csv", b"", "metadata/bad.csv"),
        ("metadata/bad.tsv", b"\x00\xff" * 50, "metadata/bad.tsv"),
    ],
)
def test_while_a_table_is_broken_no_scan_is_resolved(
    store: ObjectStore, name: str, content: bytes, told: str
) -> None:
    store.put("metadata/lib.csv", TABLE)
    store.put(name, content)
    metadata = BucketMetadata.read(store)
    assert any(told in line for line in metadata.problems)
    assert all(name in line and "\n" not in line for line in metadata.problems)
    for key in ("scans/E1/S1/a.png", "scans/E9/S9/z.png"):
        with pytest.raises(MetadataError, match="bad"):
            metadata.resolve(key)
    store.delete(name)
    mended = BucketMetadata.read(store)
    assert mended.problems == ()
    assert mended.resolve("scans/E1/S1/a.png").properties.porosity == 0.25


def test_every_broken_table_is_told(store: ObjectStore) -> None:
    store.put("metadata/a.csv", b"Image,porosity\na.png,7\nb.png,8\n")
    store.put("metadata/b.csv", b"")
    told = BucketMetadata.read(store).problems
    assert [line.split()[0].rstrip(":") for line in told].count("metadata/a.csv") == 2
    assert any("metadata/b.csv" in line for line in told)


def test_rows_by_a_files_name_must_mean_one_scan(store: ObjectStore) -> None:
    put_scans(store, "scans/E1/S1/a.png", "scans/E1/S2/a.png", "scans/E1/S2/b.png")
    store.put("metadata/lib.csv", b"Image,porosity\na.png,0.1\nb.png,0.2\n")
    metadata = BucketMetadata.read(store)
    assert metadata.resolve("scans/E1/S2/b.png").properties.porosity == 0.2
    with pytest.raises(MetadataError, match=r"(?s)scans/E1/S1/a.png.*scans/E1/S2/a.png"):
        metadata.resolve("scans/E1/S1/a.png")


def test_odd_objects_among_the_scans_spoil_nothing(store: ObjectStore) -> None:
    put_scans(store, "scans/readme.txt", "scans/E1/loose.png", "scans/%FF/S1/a.png")
    put_scans(store, "scans/E1/S1/b.png")
    store.put("metadata/lib.csv", b"Image,porosity\nb.png,0.2\n")
    metadata = BucketMetadata.read(store)
    assert metadata.resolve("scans/E1/S1/b.png").properties.porosity == 0.2


def test_what_is_no_table_is_named_and_says_nothing(store: ObjectStore) -> None:
    store.put("metadata/lib.csv", TABLE)
    store.put("metadata/notes.docx", b"porosity 9")
    metadata = BucketMetadata.read(store)
    assert metadata.others == ("metadata/notes.docx",)
    assert metadata.problems == ()


def test_a_changed_table_shows_in_the_etags(store: ObjectStore) -> None:
    store.put("metadata/lib.csv", TABLE)
    before = BucketMetadata.read(store)
    assert table_etags(store) == before.etags
    store.put("metadata/lib.csv", TABLE.replace(b"0.25", b"0.30"))
    assert table_etags(store) != before.etags
    assert before.resolve("scans/E1/S1/a.png").properties.porosity == 0.25
    assert BucketMetadata.read(store).resolve("scans/E1/S1/a.png").properties.porosity == 0.3
    assert keys(store) == ["metadata/lib.csv"]


class Replaced(FolderStore):
    """A store whose tables are replaced while they are read, as S3 tells it."""

    times = 3

    def get(self, key: str, target: Path, *, max_bytes: int, etag: str | None = None) -> ObjectStat:
        if self.times:
            self.times -= 1
            raise ObjectChangedError(f"{key}: is not the version that was meant; look again")
        return super().get(key, target, max_bytes=max_bytes, etag=etag)


def test_a_table_that_is_replaced_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    store = Replaced(tmp_path)
    store.put("metadata/a.csv", TABLE)
    assert BucketMetadata.read(store).resolve("scans/E1/S1/a.png").properties.porosity == 0.25
    store.times = 1000
    with pytest.raises(ObjectChangedError):
        BucketMetadata.read(store)
