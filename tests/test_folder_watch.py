"""Watching a folder: what is there first, then every change once it has settled."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from infra.folder_store import FolderStore
from infra.folder_watch import FolderWatch
from infra.store_errors import StoreAwayError

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def looks(watch: FolderWatch, count: int) -> tuple[list[str], list[str]]:
    settled: list[str] = []
    removed: list[str] = []
    for _ in range(count):
        changes = watch.look()
        settled += changes.settled
        removed += changes.removed
    return settled, removed


def test_what_is_there_is_told_once(tmp_path: Path) -> None:
    for key in ("scans/b", "scans/a/x.png", "metadata/t.csv", "thumbnails/x", "scans/.hidden"):
        write(tmp_path / key, b"x")
    watch = FolderWatch(tmp_path)
    assert looks(watch, 4) == (["scans/a/x.png", "scans/b", "metadata/t.csv"], [])


def test_a_file_is_told_when_it_has_settled(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    told = []
    for number in range(5):  # still being written
        write(tmp_path / "scans/a", b"x" * (number + 1))
        told.append(looks(watch, 1))
    assert told == [([], [])] * 5
    assert looks(watch, 3) == (["scans/a"], [])
    with (tmp_path / "scans/a").open("ab") as file:
        file.write(b"more")
    assert looks(watch, 3) == (["scans/a"], [])


def test_a_replaced_file_of_the_same_size_and_time_is_told(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    write(tmp_path / "scans/a", b"one")
    looks(watch, 2)
    status = (tmp_path / "scans/a").stat()
    write(tmp_path / "other", b"two")
    os.utime(tmp_path / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "other").replace(tmp_path / "scans/a")
    assert looks(watch, 3) == (["scans/a"], [])


def test_a_renamed_folder_moves_its_objects(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    for name in ("a", "b/c"):
        write(tmp_path / "scans/E1" / name, b"x")
    looks(watch, 2)
    (tmp_path / "scans/E1").rename(tmp_path / "scans/E2")
    settled, removed = looks(watch, 3)
    assert settled == ["scans/E2/a", "scans/E2/b/c"]
    assert removed == ["scans/E1/a", "scans/E1/b/c"]


def test_what_comes_and_goes_unsettled_is_never_told(tmp_path: Path) -> None:
    watch = FolderWatch(tmp_path)
    write(tmp_path / "scans/a", b"x")
    assert looks(watch, 1) == ([], [])
    (tmp_path / "scans/a").unlink()
    assert looks(watch, 3) == ([], [])


def test_a_disk_that_is_away_takes_nothing_with_it(tmp_path: Path) -> None:
    root = tmp_path / "bucket"
    write(root / "scans/a", b"x")
    watch = FolderWatch(root)
    looks(watch, 2)
    root.rename(tmp_path / "unplugged")
    with pytest.raises(StoreAwayError):
        watch.look()
    (tmp_path / "unplugged").rename(root)
    assert looks(watch, 3) == ([], [])


def test_changes_arrive_until_told_to_stop(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("scans/a", b"x")
    stop = threading.Event()
    changes = FolderWatch(tmp_path).changes(stop, seconds=0.01)
    assert next(changes).settled == ("scans/a",)
    store.put("scans/b", b"x")
    assert next(changes).settled == ("scans/b",)
    store.delete("scans/a")
    assert next(changes).removed == ("scans/a",)
    stop.set()
    assert list(changes) == []
    store.close()
