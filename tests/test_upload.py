"""Scans copied into a bucket: each under its key, with its library's metadata, and only once."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from encoder.planes import ReadOptions
from infra.bucket_metadata import BucketMetadata
from infra.folder_store import FolderStore
from infra.indexing.lock import MutationLock
from infra.store_errors import StoreAwayError
from ingest_worker.following import follow
from ingest_worker.library_table import Library, read_map
from ingest_worker.planning import plan_scans
from ingest_worker.upload import Bucket, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from infra.object_store import ObjectStat
    from ingest_worker.planning import Plan
    from ingest_worker.upload import Upload

TABLE = """Image,Reservoir,Sample,Porosity,Permeability_mD,Depth_m,Core
E1/S1/a.png,E1,S1,0.21,150,1000.5,007
E1/S2/a.png,E1,S2,,,,yes
"""


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


class Site:
    """A library beside a bucket, and the upload between them."""

    def __init__(self, folder: Path) -> None:
        self.library = folder / "rocks"
        self.bucket = folder / "bucket"
        self.bucket.mkdir()
        self.store = FolderStore(self.bucket)
        self.cache = folder / "cache"

    def opened(self, store: FolderStore) -> Bucket:
        """The bucket as another process would open it: with a lock of its own."""
        lock = MutationLock(self.bucket.parent / "libraries.lock")
        return Bucket(objects=store, cache=self.cache, lock=lock)

    def run(self, *paths: Path, options: ReadOptions | None = None) -> tuple[Plan, Upload]:
        plan = plan_scans(paths or (self.library,), options or ReadOptions())
        bucket = self.opened(self.store)
        ticks: list[None] = []
        done = upload(plan.scans, bucket, tick=lambda: ticks.append(None))
        assert len(ticks) == len(done.keys) + len(
            [each for each in done.refused if "gets the object key" not in each.reason]
        )
        return plan, done

    def listed(self, prefix: str = "scans/") -> list[str]:
        return [entry.key for page in self.store.pages(prefix) for entry in page]

    def metadata(self, key: str) -> dict[str, object]:
        found = BucketMetadata.read(self.store)
        assert not found.problems
        return dict(found.resolve(key).values())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    for seed, name in enumerate(("E1/S1/a.png", "E1/S2/a.png", "E2/S3/b.png")):
        picture(made.library / name, seed)
    (made.library / "metadata.csv").write_text(TABLE)
    yield made
    made.store.close()


def age(folder: Path) -> None:
    """Make files old enough for their hashes to be remembered."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1e9, 1e9))


def test_scans_get_their_keys_and_their_metadata(site: Site) -> None:
    plan, done = site.run()
    assert plan.refused == done.refused == []
    assert site.listed() == sorted(done.keys)
    assert site.listed() == ["scans/E1/S1/a.png", "scans/E1/S2/a.png", "scans/E2/S3/b.png"]
    original = (site.library / "E1/S1/a.png").read_bytes()
    assert site.store.read("scans/E1/S1/a.png") == original
    assert site.metadata("scans/E1/S1/a.png") == {
        "reservoir": "E1",
        "sample": "S1",
        "porosity": 0.21,
        "permeability_md": 150.0,
        "depth_m": 1000.5,
        "core": "007",
    }
    assert site.metadata("scans/E1/S2/a.png") == {"reservoir": "E1", "sample": "S2", "core": "yes"}


def test_the_bucket_resolves_what_the_library_does(site: Site) -> None:
    plan, _ = site.run()
    found = BucketMetadata.read(site.store)
    for scan in plan.scans:
        assert found.resolve(scan.key).metadata_hash() == scan.metadata.metadata_hash()


def test_a_second_run_copies_nothing(site: Site) -> None:
    age(site.library)
    site.run()
    before = {path: path.stat().st_mtime_ns for path in site.bucket.rglob("*.*") if path.is_file()}
    _, done = site.run()
    assert (done.copied, done.unchanged) == (0, 3)
    visible = {path: when for path, when in before.items() if ".lithoscope" not in path.parts}
    assert visible
    assert all(path.stat().st_mtime_ns == when for path, when in visible.items())


def test_only_a_changed_file_is_copied_again(site: Site) -> None:
    site.run()
    picture(site.library / "E1/S1/a.png", 99)
    _, done = site.run()
    assert (done.copied, done.unchanged) == (1, 2)
    original = (site.library / "E1/S1/a.png").read_bytes()
    assert site.store.read("scans/E1/S1/a.png") == original


def test_a_trailing_slash_and_a_single_file_name_the_same_library(site: Site) -> None:
    site.run(type(site.library)(f"{site.library}/"))
    tables = site.listed("metadata/")
    _, done = site.run(site.library / "E1/S1/a.png")
    assert (done.keys, done.unchanged) == (["scans/E1/S1/a.png"], 1)
    assert site.listed("metadata/") == tables
    assert len(tables) == 1
    assert site.metadata("scans/E1/S2/a.png")["core"] == "yes"


def test_two_files_on_one_key_are_both_refused_and_the_rest_goes_on(site: Site) -> None:
    picture(site.library / "a.png", 7)
    (site.library / "metadata.csv").write_text(TABLE + "a.png,E1,S1,0.21,150,1000.5,007\n")
    plan, done = site.run()
    assert len(done.keys) == 2
    names = {str(site.library / "a.png"), str(site.library / "E1/S1/a.png")}
    assert {each.name for each in plan.refused} == names
    assert all(sum(name in str(each) for name in names) == 2 for each in plan.refused)
    assert "scans/E1/S1/a.png" not in site.listed()


def test_two_files_on_one_key_in_two_runs_do_not_replace_each_other(site: Site) -> None:
    site.run()
    other = site.library.parent / "others"
    picture(other / "E1/S1/a.png", 50)
    plan, done = site.run(other)
    assert (plan.refused, done.keys) == ([], [])
    assert str(site.library / "E1/S1/a.png") in done.refused[0].reason
    original = (site.library / "E1/S1/a.png").read_bytes()
    assert site.store.read("scans/E1/S1/a.png") == original
    assert site.metadata("scans/E1/S1/a.png")["porosity"] == 0.21


def test_a_library_that_was_moved_takes_its_scans_along(site: Site) -> None:
    site.run()
    moved = site.library.rename(site.library.parent / "stones")
    (moved / "metadata.csv").write_text(TABLE.replace("0.21", "0.25"))
    picture(moved / "E1/S1/a.png", 51)
    _, done = site.run(moved)
    assert (done.refused, done.copied, done.unchanged) == ([], 1, 2)
    assert site.metadata("scans/E1/S1/a.png")["porosity"] == 0.25


def test_a_corrected_reservoir_moves_the_object(site: Site) -> None:
    site.run()
    (site.library / "metadata.csv").write_text(TABLE.replace("a.png,E1,S1", "a.png,E9,S1"))
    _, done = site.run()
    assert done.moved == ["scans/E1/S1/a.png"]
    assert site.listed() == ["scans/E1/S2/a.png", "scans/E2/S3/b.png", "scans/E9/S1/E1/S1/a.png"]
    assert site.metadata("scans/E9/S1/E1/S1/a.png")["reservoir"] == "E9"
    assert "scans/E1/S1/a.png" not in site.store.read(site.listed("metadata/")[0]).decode()
    _, done = site.run()
    assert (done.moved, done.unchanged) == ([], 3)


def test_a_run_that_broke_off_before_its_scans_still_finds_what_moved(site: Site) -> None:
    site.run()
    (site.library / "metadata.csv").write_text(TABLE.replace("a.png,E1,S1", "a.png,E9,S1"))

    class Broken(FolderStore):
        def put(
            self,
            key: str,
            source: Path | bytes,
            *,
            sha256: str | None = None,
            user_metadata: Mapping[str, str] | None = None,
            is_durable: bool = True,
        ) -> ObjectStat:
            if key.startswith("scans/"):
                raise StoreAwayError("gone")
            return super().put(
                key, source, sha256=sha256, user_metadata=user_metadata, is_durable=is_durable
            )

    plan = plan_scans([site.library], ReadOptions())
    broken = site.opened(Broken(site.bucket))
    with pytest.raises(StoreAwayError):
        upload(plan.scans, broken, tick=lambda: None)
    broken.objects.close()
    assert "scans/E1/S1/a.png" in site.listed()
    _, done = site.run()
    assert done.moved == ["scans/E1/S1/a.png"]


def test_a_corrected_value_changes_the_table_only(site: Site) -> None:
    site.run()
    (site.library / "metadata.csv").write_text(TABLE.replace("0.21", "0.3"))
    _, done = site.run()
    assert (done.copied, done.unchanged) == (0, 3)
    assert site.metadata("scans/E1/S1/a.png")["porosity"] == 0.3


def test_a_library_without_tables_leaves_none(site: Site) -> None:
    site.run()
    (site.library / "metadata.csv").unlink()
    site.run()
    assert site.listed("metadata/") == []
    assert site.metadata("scans/E1/S1/a.png") == {"reservoir": "E1", "sample": "S1"}


def test_a_wrong_table_refuses_its_library(site: Site) -> None:
    (site.library / "metadata.csv").write_text(TABLE.replace("0.21", "21"))
    plan, done = site.run()
    assert len(plan.refused) == 3
    assert done.keys == site.listed() == []
    assert any("Porosity" in note for note in plan.notes)


def test_names_that_mean_a_field_elsewhere_stay_free_properties(site: Site) -> None:
    text = "Image,Reservoir,File,Formation,Pixel (size)\nE1/S1/a.png,E1,box 3,chalk,large\n"
    (site.library / "metadata.csv").write_text(text)
    site.run()
    values = site.metadata("scans/E1/S1/a.png")
    assert {"box 3", "chalk", "large"} <= set(map(str, values.values()))
    assert values["formation"] == "chalk"


@pytest.mark.parametrize(
    "break_it", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")]
)
def test_a_missing_file_is_refused_and_a_damaged_one_is_for_the_pipeline(
    site: Site, break_it: Callable[[Path], None]
) -> None:
    path = site.library / "E1/S1/a.png"
    break_it(path)
    plan, done = site.run(path, site.library)
    is_there = path.exists()
    assert len(plan.refused) == (0 if is_there else 1)
    assert len(done.keys) == (3 if is_there else 2)


def test_what_lost_its_file_is_told_and_stays(site: Site) -> None:
    site.run()
    (site.library / "E2/S3/b.png").unlink()
    _, done = site.run()
    assert "E2/S3/b.png" in done.notes[0]
    assert "scans/E2/S3/b.png" in site.listed()
    site.store.delete("scans/E2/S3/b.png")
    _, done = site.run()
    assert done.notes == []


def test_a_corrected_layout_is_stored_with_the_same_bytes(site: Site) -> None:
    path = site.library / "E2/S3/v.raw"
    path.write_bytes(bytes(range(120)))
    side_car = site.library / "E2/S3/v.json"
    side_car.write_text(json.dumps({"shape": [4, 5, 6], "dtype": "uint8"}))
    site.run()
    side_car.write_text(json.dumps({"shape": [6, 5, 4], "dtype": "uint8"}))
    _, done = site.run()
    assert done.copied == 1
    assert site.store.stat("scans/E2/S3/v.raw").user_metadata["shape"] == "6,5,4"
    _, done = site.run()
    assert done.copied == 0


def test_a_bucket_inside_the_library_is_not_ingested_again(site: Site) -> None:
    inside = Site.__new__(Site)
    inside.__dict__.update(site.__dict__)
    inside.bucket = site.library / "lithoscope-data" / "bucket"
    inside.bucket.mkdir(parents=True)
    inside.store = FolderStore(inside.bucket)
    for _ in range(2):
        plan, done = inside.run()
        assert (plan.refused, len(done.keys)) == ([], 3)
    assert len(inside.listed()) == 3
    inside.store.close()


def test_links_to_one_library_are_one_library(site: Site) -> None:
    site.run()
    link = site.library.parent / "link"
    link.symlink_to(site.library)
    _, done = site.run(link)
    assert done.unchanged == 3
    assert len(site.listed("metadata/")) == 1
    assert Library(link).name == Library(site.library).name


class Meddled(FolderStore):
    """A folder that calls once, before the first object below a prefix is stored."""

    prefix: str
    meddle: Callable[[], None]

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,
    ) -> ObjectStat:
        if key.startswith(self.prefix):
            meddle, self.meddle = self.meddle, lambda: None
            meddle()
        return super().put(
            key, source, sha256=sha256, user_metadata=user_metadata, is_durable=is_durable
        )


@pytest.mark.parametrize("prefix", ["metadata/", "libraries/", "scans/"])
@pytest.mark.parametrize("is_first", [True, False])
def test_two_runs_at_once_keep_what_each_says(site: Site, prefix: str, *, is_first: bool) -> None:
    if not is_first:  # the first run moves a scan, which changes both once more at its end
        site.run(site.library / "E1/S1/a.png")
        (site.library / "metadata.csv").write_text(TABLE.replace("a.png,E1,S1", "a.png,E9,S1"))
    store = Meddled(site.bucket)
    with ThreadPoolExecutor(1) as other:

        def meddle() -> None:
            with suppress(TimeoutError):  # where it has to wait for us
                other.submit(site.run, site.library / "E1/S2/a.png").result(1)

        store.prefix, store.meddle = prefix, meddle
        plan = plan_scans([site.library / "E1/S1/a.png"], ReadOptions())
        upload(plan.scans, site.opened(store), tick=lambda: None)
    store.close()
    mine = "scans/E1/S1/a.png" if is_first else "scans/E9/S1/E1/S1/a.png"
    keys = [mine, "scans/E1/S2/a.png"]
    assert sorted(site.listed()) == sorted(keys)
    assert sorted(read_map(site.store, Library(site.library))) == sorted(keys)
    assert site.metadata(keys[0])["porosity"] == 0.21
    assert site.metadata(keys[1])["core"] == "yes"


@pytest.mark.parametrize("prefix", ["metadata/", "libraries/"])
def test_what_follows_a_moved_scan_is_not_undone_by_a_run_beside_it(
    site: Site, prefix: str
) -> None:
    site.run(site.library / "E1/S1/a.png")
    former, now = "scans/E1/S1/a.png", "scans/E7/S1/a.png"
    site.store.put(now, site.store.read(former))
    site.store.delete(former)
    tables = BucketMetadata.read(site.store)
    store, lock = Meddled(site.bucket), site.opened(site.store).lock
    with ThreadPoolExecutor(1) as other:
        following = partial(follow, site.store, {former: now}, metadata=tables, lock=lock)

        def meddle() -> None:
            with suppress(TimeoutError):  # where it has to wait for us
                other.submit(following).result(1)

        store.prefix, store.meddle = prefix, meddle
        plan = plan_scans([site.library / "E1/S2/a.png"], ReadOptions())
        upload(plan.scans, site.opened(store), tick=lambda: None)
    store.close()
    assert sorted(read_map(site.store, Library(site.library))) == ["scans/E1/S2/a.png", now]
    assert site.metadata(now)["porosity"] == 0.21


def test_the_map_names_every_file(site: Site) -> None:
    site.run()
    shutil.rmtree(site.library / "E2")
    assert read_map(site.store, Library(site.library))["scans/E2/S3/b.png"] == "E2/S3/b.png"
