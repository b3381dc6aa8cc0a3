"""Local copies of stored objects: fetched once, kept while there is room, never pulled away."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from search_ui.fetched_files import FetchedFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Source:
    """Writes files of some bytes, and counts how often."""

    def __init__(self, size: int = 100) -> None:
        self.size = size
        self.fetched: Counter[str] = Counter()

    def __call__(self, name: str) -> Callable[[Path], Path]:
        def fetch(folder: Path) -> Path:
            self.fetched[name] += 1
            path = folder / name
            path.write_bytes(name.encode() * (self.size // len(name)))
            return path

        return fetch


@pytest.fixture
def files() -> Iterator[FetchedFiles]:
    files = FetchedFiles(max_bytes=250)
    yield files
    files.close()


def test_a_file_is_fetched_once(files: FetchedFiles) -> None:
    source = Source()
    for _ in range(3):
        with files.at_hand("a", source("a")) as path:
            assert path.read_bytes() == b"a" * 100
    assert source.fetched == {"a": 1}


def test_a_copy_that_something_else_removed_is_fetched_again(files: FetchedFiles) -> None:
    """As those do that tidy a machine's temporary files, one by one or a whole folder."""
    source = Source()
    with files.at_hand("a", source("a")) as path:
        pass
    for gone in (path, path.parent.parent):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        assert not files.has("a")
        with files.at_hand("a", source("a")) as path:
            assert path.read_bytes() == b"a" * 100
    assert source.fetched == {"a": 3}


def test_what_was_not_used_for_longest_makes_room(files: FetchedFiles) -> None:
    source = Source()
    for name in ("a", "b", "a", "c"):
        with files.at_hand(name, source(name)):
            pass
    assert [files.has(name) for name in "abc"] == [True, False, True]
    with files.at_hand("b", source("b")) as path:
        assert path.exists()
    assert source.fetched == {"a": 1, "b": 2, "c": 1}


def test_what_is_in_use_stays(files: FetchedFiles) -> None:
    source = Source()
    with files.at_hand("a", source("a")) as path:
        for name in ("b", "c", "d", "e"):
            with files.at_hand(name, source(name)):
                pass
        assert path.read_bytes() == b"a" * 100
    with files.at_hand("f", source("f")):
        assert not path.exists()


def test_the_last_one_stays_however_large(files: FetchedFiles) -> None:
    source = Source(size=1000)
    with files.at_hand("large", source("large")):
        pass
    assert files.has("large")


def test_a_failed_fetch_leaves_nothing(files: FetchedFiles) -> None:
    seen: list[Path] = []

    def fail(folder: Path) -> Path:
        seen.append(folder)
        raise OSError("away")

    with pytest.raises(OSError, match="away"), files.at_hand("a", fail):
        pass
    assert not seen[0].exists()
    with files.at_hand("a", Source()("a")) as path:
        assert path.exists()


def test_many_threads_share_a_copy(files: FetchedFiles) -> None:
    source, begun = Source(), threading.Barrier(8)
    found: list[bytes] = []

    def use(number: int) -> None:
        begun.wait(timeout=60)
        for turn in range(20):
            name = "abcdef"[(number + turn) % 6]
            with files.at_hand(name, source(name)) as path:
                found.append(path.read_bytes()[:1] + name.encode())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 160
    assert all(pair[:1] == pair[1:] for pair in found)


def test_an_own_file_is_taken_over(files: FetchedFiles) -> None:
    folder = files.folder()
    (folder / "a").write_bytes(b"mine")
    files.adopt("a", folder / "a")
    with files.at_hand("a", Source()("other")) as path:
        assert path.read_bytes() == b"mine"
    files.close()
    assert not folder.exists()
