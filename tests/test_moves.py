"""Scans that are moved by hand: found by their content, and followed by what was told of them."""

from __future__ import annotations

import csv
import io
import shutil
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from encoder.planes import ReadOptions
from infra.bucket_metadata import BucketMetadata
from infra.folder_store import FolderStore
from infra.moves import find_moves
from infra.store_errors import StoreAwayError
from infra.unused_rows import note_on_unused_rows
from ingest_site import IngestSite, flat
from ingest_worker.following import Following, names_what_is_gone, plan_following
from ingest_worker.library_table import Library, read_map
from ingest_worker.planning import plan_scans
from ingest_worker.upload import Bucket, Upload, upload

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.object_store import ObjectStat, ObjectStore

pytest_plugins = ("ingest_site", "object_stores")

OLD = "scans/PRT_M/S1"
NEW = "scans/PRT_NEW/S1"
TABLE = "Image,Reservoir,Sample,Porosity,Depth_m\n{a}\nPRT_M/S1/b.png,PRT_M,S1,0.3,\n".format(
    a="PRT_M/S1/a.png,PRT_M,S1,0.2,1000.5"
)


def test_a_content_that_one_had_and_one_has_was_moved() -> None:
    gone = {f"{OLD}/a.png": "x", f"{OLD}/b.png": "y", f"{OLD}/c.png": "z"}
    new = {f"{NEW}/a.png": "x", "scans/E9/S7/other.tif": "y", f"{NEW}/new.png": "w"}
    assert find_moves(gone, new) == {
        f"{OLD}/a.png": f"{NEW}/a.png",
        f"{OLD}/b.png": "scans/E9/S7/other.tif",
    }
    assert find_moves(gone, {}) == find_moves({}, new) == {}


@pytest.mark.parametrize(
    ("gone", "new", "expected"),
    [
        # a renamed reservoir, of twins in two samples
        (["E1/S1/a", "E1/S2/a"], ["E9/S1/a", "E9/S2/a"], ["E9/S1/a", "E9/S2/a"]),
        # renamed samples
        (["E1/S1/a", "E2/S1/a"], ["E1/S9/a", "E2/S9/a"], ["E1/S9/a", "E2/S9/a"]),
        # the path below the sample, then the file's name
        (["E1/S1/x/a", "E1/S1/b"], ["E9/S9/x/a", "E9/S9/y/b"], ["E9/S9/x/a", "E9/S9/y/b"]),
        # one of two twins went: whichever of the new ones has its name
        (["E1/S1/a"], ["E9/S1/a", "E9/S1/b"], ["E9/S1/a"]),
        # nothing tells them apart
        (["E1/S1/a", "E2/S1/a"], ["E8/S1/a", "E9/S1/a"], [None, None]),
        (["E1/S1/a"], ["E9/S1/b", "E9/S1/c"], [None]),
        (["E1/S1/a", "E1/S1/b"], ["E9/S1/c"], [None, None]),
    ],
)
def test_twins_are_told_apart_by_their_names(
    gone: list[str], new: list[str], expected: list[str | None]
) -> None:
    found = find_moves(
        {f"scans/{name}.png": "x" for name in gone}, {f"scans/{name}.png": "x" for name in new}
    )
    pairs = {
        f"scans/{was}.png": f"scans/{now}.png"
        for was, now in zip(gone, expected, strict=True)
        if now is not None
    }
    assert found == pairs


def test_what_has_no_etag_or_is_no_scan_was_not_moved() -> None:
    assert find_moves({f"{OLD}/a.png": ""}, {f"{NEW}/a.png": ""}) == {}
    assert find_moves({f"{OLD}/a.png": "x"}, {"scans/a.png": "x"}) == {}


def rename(store: ObjectStore, old: str, new: str) -> None:
    """What a file manager does: nobody else learns of it."""
    content = store.read(old)
    store.delete(old)
    store.put(new, content)


def ingested(store: ObjectStore, library: Path, table: str = TABLE) -> Upload:
    for seed, name in enumerate("abc"):
        path = library / f"PRT_M/S1/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([seed]))
    (library / "metadata.csv").write_text(table)
    return copied(store, library)


def copied(store: ObjectStore, library: Path) -> Upload:
    plan = plan_scans([library], ReadOptions())
    assert plan.refused == []
    cache = library.parent / "cache"
    bucket = Bucket(objects=store, cache=cache, lock=nullcontext())
    return upload(plan.scans, bucket, tick=lambda: None)


def follow(store: ObjectStore, moved: Mapping[str, str]) -> Following:
    following = plan_following(store, moved, metadata=BucketMetadata.read(store))
    following.store(store)
    return following


def values(store: ObjectStore, key: str) -> dict[str, object]:
    return dict(BucketMetadata.read(store).resolve(key).values())


def all_moved(store: ObjectStore) -> dict[str, str]:
    moved = {f"{OLD}/{name}.png": f"{NEW}/{name}.png" for name in "abc"}
    for old, new in moved.items():
        rename(store, old, new)
    return moved


def test_tables_and_lists_of_ours_follow(store: ObjectStore, tmp_path: Path) -> None:
    library = tmp_path / "rocks"
    ingested(store, library)
    own = f"object_key,porosity\n{OLD}/c.png,0.4\n".encode()
    store.put("metadata/own.csv", own)
    assert not names_what_is_gone(store)
    moved = all_moved(store)
    assert names_what_is_gone(store)
    assert "porosity" not in values(store, f"{NEW}/a.png")
    following = follow(store, moved)
    table = Library(library).table_key
    assert following.told() == f"3 scans moved: {table} follows them"
    assert values(store, f"{NEW}/a.png") == {
        "reservoir": "PRT_NEW",
        "sample": "S1",
        "porosity": 0.2,
        "depth_m": 1000.5,
    }
    assert values(store, f"{NEW}/c.png") == {"reservoir": "PRT_NEW", "sample": "S1"}
    rows = list(csv.DictReader(io.StringIO(store.read(table).decode())))
    assert [row["object_key"] for row in rows] == [f"{NEW}/a.png", f"{NEW}/b.png"]
    assert {row["reservoir"] for row in rows} == {"PRT_NEW"}
    assert read_map(store, Library(library)) == {
        new: old.removeprefix("scans/") for old, new in moved.items()
    }
    assert store.read("metadata/own.csv") == own
    assert not names_what_is_gone(store)
    assert not follow(store, moved)


def test_names_that_a_key_escapes_or_does_not_know_are_followed(
    store: ObjectStore, tmp_path: Path
) -> None:
    library = tmp_path / "rocks"
    ingested(store, library)
    spelt = "scans/PRT NEW/_/a.png"  # as a file manager names a folder
    rename(store, f"{OLD}/a.png", spelt)
    following = follow(store, {f"{OLD}/a.png": spelt})
    assert following.told().startswith("1 scan moved: ")
    assert values(store, spelt) == {"reservoir": "PRT NEW", "porosity": 0.2, "depth_m": 1000.5}
    back = f"{OLD}/a.png"
    rename(store, spelt, back)
    follow(store, {spelt: back})
    assert values(store, back)["sample"] == "S1"
    assert values(store, back)["porosity"] == 0.2


def test_what_is_told_of_the_new_key_already_stays(store: ObjectStore, tmp_path: Path) -> None:
    """As where a run was broken off that moved scans for their library."""
    library = tmp_path / "rocks"
    ingested(store, library)
    corrected = TABLE.replace("a.png,PRT_M,S1,0.2", "a.png,E7,S1,0.25")
    (library / "metadata.csv").write_text(corrected)
    before = store.read(Library(library).table_key)
    done = copied(store, library)
    (key,) = done.moved
    assert key == f"{OLD}/a.png"
    assert any("its names have moved" in note for note in done.notes)
    store.put("metadata/rocks-00000000.csv", before, user_metadata={"lithoscope-library": "r"})
    now = next(each for each in done.keys if each.startswith("scans/E7"))
    assert not follow(store, {key: now})
    assert values(store, now)["porosity"] == 0.25


def test_a_broken_table_is_left_to_its_owner(store: ObjectStore, tmp_path: Path) -> None:
    library = tmp_path / "rocks"
    ingested(store, library)
    table = Library(library).table_key
    broken = store.read(table).replace(b"0.2,", b"20,")
    store.put(table, broken, user_metadata={"lithoscope-library": "r"})
    following = follow(store, all_moved(store))
    assert store.read(table) == broken
    assert list(following.maps) == [Library(library).map_key]
    assert note_of(store) is None


def note_of(store: ObjectStore) -> str | None:
    from infra.coverage import Coverage  # noqa: PLC0415

    keys = tuple(entry.key for page in store.pages("scans/") for entry in page)
    found = Coverage(objects=len(keys), indexed=0, slices=0, missing=keys)
    return note_on_unused_rows(BucketMetadata.read(store), found)


def test_rows_that_name_no_scan_are_told(store: ObjectStore) -> None:
    for name in ("a", "b"):
        store.put(f"scans/E1/S1/{name}.png", name.encode())
    store.put("metadata/own.csv", b"Image,Sample,Porosity\na.png,,0.1\n,S1,0.2\n")
    assert note_of(store) is None
    rows = "".join(f"c{number}.png,,0.1\n" for number in range(5))
    store.put("metadata/own.csv", f"Image,Sample,Porosity\na.png,,0.1\n{rows}".encode())
    assert note_of(store) == (
        "5 rows of the bucket's tables are about no scan: "
        "metadata/own.csv row 3: no scan for 'c0.png'; "
        "metadata/own.csv row 4: no scan for 'c1.png'; "
        "metadata/own.csv row 5: no scan for 'c2.png'; and 2 more; correct or remove"
    )


def test_a_library_that_says_the_old_name_moves_its_scans_back(
    store: ObjectStore, tmp_path: Path
) -> None:
    library = tmp_path / "rocks"
    ingested(store, library)
    follow(store, all_moved(store))
    back = copied(store, library)
    assert len(back.moved) == back.copied == 3
    keys = [entry.key for page in store.pages("scans/") for entry in page]
    assert keys == [f"{OLD}/{name}.png" for name in "abc"]  # none is there twice
    assert values(store, f"{OLD}/a.png")["porosity"] == 0.2


def test_a_library_that_is_renamed_as_well_finds_its_scans(
    store: ObjectStore, tmp_path: Path
) -> None:
    library = tmp_path / "rocks"
    ingested(store, library)
    follow(store, all_moved(store))
    (library / "PRT_M").rename(library / "PRT_NEW")
    (library / "metadata.csv").write_text(TABLE.replace("PRT_M", "PRT_NEW"))
    again = copied(store, library)
    assert (again.copied, again.unchanged, again.moved, again.notes) == (0, 3, [], [])
    assert values(store, f"{NEW}/a.png")["porosity"] == 0.2


def test_a_library_spells_a_name_as_it_is_escaped(store: ObjectStore, tmp_path: Path) -> None:
    """Moved by a file manager to ``PRT 2``, which the library's keys spell ``PRT%202``."""
    library = tmp_path / "rocks"
    library.mkdir()
    (library / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (library / "metadata.csv").write_text("Image,Reservoir,Sample,phi\na.png,PRT_M,S1,0.2\n")
    copied(store, library)
    moved = {f"{OLD}/a.png": "scans/PRT 2/S1/a.png"}
    rename(store, *next(iter(moved.items())))
    assert follow(store, moved)
    (library / "metadata.csv").write_text("Image,Reservoir,Sample,phi\na.png,PRT 2,S1,0.2\n")
    done = copied(store, library)
    assert (done.moved, done.keys) == (list(moved.values()), ["scans/PRT%202/S1/a.png"])
    assert values(store, done.keys[0])["porosity"] == 0.2


class Failing(FolderStore):
    """A folder that is away once so many objects were put."""

    puts = 0

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,
    ) -> ObjectStat:
        if not self.puts:
            raise StoreAwayError("gone")
        self.puts -= 1
        return super().put(
            key, source, sha256=sha256, user_metadata=user_metadata, is_durable=is_durable
        )


@pytest.mark.parametrize("puts", [0, 1, 2, 3])
def test_wherever_it_breaks_off_the_next_run_goes_on(
    world: IngestSite, tmp_path: Path, puts: int
) -> None:
    """Two libraries: two tables and two lists are to follow."""
    libraries = [tmp_path / "rocks", tmp_path / "stones"]
    for number, library in enumerate(libraries):
        key = f"PRT_M/S1/{number}.png"
        world.put(f"scans/{key}", flat(number, 5, 6))
        (library / key).parent.mkdir(parents=True)
        shutil.copy(world.site.settings.bucket_folder / f"scans/{key}", library / key)
        (library / "metadata.csv").write_text(f"Image,Porosity\n{key},0.2\n")
        copied(world.objects, library)
    world.context = replace(world.context, metadata=BucketMetadata.read(world.objects))
    world.reconcile()
    scans = world.site.settings.bucket_folder / "scans"
    (scans / "PRT_M").rename(scans / "PRT_NEW")

    moved = world.compare().moved
    assert len(moved) == 2
    failing = Failing(world.site.settings.bucket_folder)
    failing.puts = puts
    with pytest.raises(StoreAwayError):
        plan_following(failing, moved, metadata=world.context.metadata).store(failing)
    failing.close()

    assert follow(world.objects, world.compare().moved)
    world.context = replace(world.context, metadata=BucketMetadata.read(world.objects))
    world.reconcile()
    assert world.compare_deep().is_complete
    assert {row.numbers["porosity"] for row in world.collection.rows()} == {0.2}
    assert {row.object_key for row in world.collection.rows()} == {f"{NEW}/0.png", f"{NEW}/1.png"}
    assert read_map(world.objects, Library(libraries[0])) == {f"{NEW}/0.png": "PRT_M/S1/0.png"}
    assert not names_what_is_gone(world.objects)


def test_a_scan_in_quarantine_is_followed_too(world: IngestSite) -> None:
    world.objects.put(f"{OLD}/bad.png", b"\x89PNG\r\n\x1a\n and no more")
    world.put(f"{OLD}/good.png", flat(1, 2, 3))
    world.reconcile()
    assert world.compare().quarantined == (f"{OLD}/bad.png",)
    scans = world.site.settings.bucket_folder / "scans"
    (scans / "PRT_M").rename(scans / "PRT_NEW")
    assert world.compare().moved == {
        f"{OLD}/bad.png": f"{NEW}/bad.png",
        f"{OLD}/good.png": f"{NEW}/good.png",
    }


def test_a_copy_and_a_new_content_are_no_moves(world: IngestSite) -> None:
    world.put(f"{OLD}/a.png", flat(1, 2, 3))
    world.put(f"{OLD}/b.png", flat(4, 5, 6))
    world.reconcile()
    world.put(f"{NEW}/a.png", flat(1, 2, 3))
    world.objects.delete(f"{OLD}/b.png")
    world.put(f"{NEW}/b.png", flat(7, 8, 9))
    found = world.compare()
    assert (len(found.missing), found.orphaned, found.moved) == (2, (f"{OLD}/b.png",), {})
