"""One contract for every object store: objects are put, listed, given and removed whole."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infra.s3_store import S3Store
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    ObjectChangedError,
    ObjectMissingError,
    ObjectTooLargeError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)
from object_stores import keys, listed, sha256

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]


def faults_of_a_race(store: ObjectStore) -> tuple[type[StoreError], ...]:
    """What a caller must be ready to retry when one key is overwritten by many.

    moto now and then answers 500 then (it closes the content that another request reads).
    """
    s3 = isinstance(store, S3Store)
    return (ObjectChangedError, StoreAwayError) if s3 else (ObjectChangedError,)


@pytest.mark.parametrize("size", [0, 1, 100_000])
@pytest.mark.parametrize("as_file", [True, False])
def test_what_was_put_comes_back(
    store: ObjectStore, tmp_path: Path, size: int, *, as_file: bool
) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311  seeded test data
    source: Path | bytes = content
    if as_file:
        source = tmp_path / "source"
        source.write_bytes(content)
    before = datetime.now(UTC) - timedelta(seconds=5)
    put = store.put("scans/E1/S1/a.raw", source, user_metadata={"Shape": "4x5", "dtype": "uint8"})
    found = store.stat("scans/E1/S1/a.raw")
    assert found.size == put.size == size
    assert found.etag == put.etag != ""
    assert found.sha256 == put.sha256 == sha256(content)
    assert found.user_metadata == put.user_metadata == {"shape": "4x5", "dtype": "uint8"}
    assert before < found.modified < datetime.now(UTC) + timedelta(seconds=5)
    got = store.get("scans/E1/S1/a.raw", tmp_path / "copy", max_bytes=size)
    assert got == found
    assert (tmp_path / "copy").read_bytes() == content
    assert store.read("scans/E1/S1/a.raw") == content
    (entry,) = listed(store)
    assert (entry.key, entry.size, entry.etag) == (found.key, size, found.etag)


def test_a_large_upload_goes_in_parts_and_comes_back_whole(
    store: ObjectStore, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes((11 << 20) + 7)  # noqa: S311  seeded test data
    source = tmp_path / "source"
    source.write_bytes(content)
    store.put("a.raw", source, sha256=sha256(content), user_metadata={"shape": "1"})
    found = store.get("a.raw", tmp_path / "copy", max_bytes=len(content))
    assert sha256((tmp_path / "copy").read_bytes()) == found.sha256 == sha256(content)
    assert found.user_metadata == {"shape": "1"}
    assert found.etag == listed(store)[0].etag


def test_an_object_is_replaced_with_its_metadata(store: ObjectStore) -> None:
    first = store.put("a", b"one", user_metadata={"shape": "1", "dtype": "u1"})
    second = store.put("a", b"two", user_metadata={"shape": "2"})
    assert first.etag != second.etag
    assert store.stat("a").user_metadata == {"shape": "2"}
    same_content = store.put("a", b"two")
    assert store.stat("a").user_metadata == {}
    assert same_content.etag == second.etag
    store.put("a", b"one")
    assert store.stat("a").user_metadata == {}
    assert keys(store) == ["a"]


def test_a_removed_object_is_gone_with_its_metadata(store: ObjectStore, tmp_path: Path) -> None:
    store.put("x/a", b"one", user_metadata={"shape": "1"})
    store.put("x/b", b"two")
    store.delete("x/a")
    assert keys(store) == ["x/b"]
    with pytest.raises(ObjectMissingError, match="x/a"):
        store.stat("x/a")
    with pytest.raises(ObjectMissingError):
        store.get("x/a", tmp_path / "copy", max_bytes=10)
    with pytest.raises(ObjectMissingError):
        store.read("x/a")
    assert not (tmp_path / "copy").exists()
    store.delete("x/a")  # again: no error
    store.delete("never/there")
    store.put("x/a", b"one")
    assert store.stat("x/a").user_metadata == {}


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put("x/a", b"one")
    for key in ("x", "x/a/b"):
        with pytest.raises(ObjectMissingError):
            store.stat(key)
    store.delete("x")
    assert keys(store) == ["x/a"]


def test_nothing_is_written_beyond_the_bound(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a", b"x" * 1000)
    with pytest.raises(ObjectTooLargeError, match="999"):
        store.get("a", tmp_path / "copy", max_bytes=999)
    with pytest.raises(ObjectTooLargeError):
        store.read("a", max_bytes=0)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    store.get("a", tmp_path / "copy", max_bytes=1000)


def test_another_version_is_not_given_for_the_one_that_is_meant(
    store: ObjectStore, tmp_path: Path
) -> None:
    old = store.put("a", b"old")
    (tmp_path / "copy").write_bytes(b"kept")
    new = store.put("a", b"new")
    with pytest.raises(ObjectChangedError, match="a") as caught:
        store.get("a", tmp_path / "copy", max_bytes=10, etag=old.etag)
    assert caught.value.retryable
    assert (tmp_path / "copy").read_bytes() == b"kept"
    store.get("a", tmp_path / "copy", max_bytes=10, etag=new.etag)
    assert (tmp_path / "copy").read_bytes() == b"new"


def test_an_object_that_is_overwritten_all_the_time_is_never_mixed(
    store: ObjectStore, tmp_path: Path
) -> None:
    patience = faults_of_a_race(store)
    contents = [bytes([number]) * 700_000 for number in range(4)]
    by_hash = {sha256(content): str(number) for number, content in enumerate(contents)}
    store.put("a", contents[0], user_metadata={"number": "0"})
    done = threading.Event()

    def overwrite() -> None:
        number = 0
        while not done.is_set():
            number = (number + 1) % len(contents)
            with contextlib.suppress(*patience):
                store.put("a", contents[number], user_metadata={"number": str(number)})

    got = 0
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(overwrite)
        try:
            deadline = time.monotonic() + 60
            while got < 20 and time.monotonic() < deadline:
                try:
                    stat = store.get("a", tmp_path / "copy", max_bytes=1 << 20)
                except patience:
                    continue
                got += 1
                found = sha256((tmp_path / "copy").read_bytes())
                assert found == stat.sha256
                assert stat.user_metadata == {"number": by_hash[found]}
        finally:
            done.set()
        writer.result()
    assert got == 20  # most of the looks in between are refused, by a server on a busy machine


def test_content_other_than_promised_is_not_stored(store: ObjectStore) -> None:
    store.put("a", b"kept", sha256=sha256(b"kept").upper())
    with pytest.raises(ChecksumError, match=sha256(b"damaged")):
        store.put("a", b"damaged", sha256=sha256(b"meant"))
    assert store.read("a") == b"kept"
    assert keys(store) == ["a"]


def test_a_source_that_can_not_be_read_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    for source in (tmp_path / "missing", tmp_path):
        with pytest.raises(StoreRefusedError, match=source.name):
            store.put("a", source)
    assert keys(store) == []


def test_a_source_that_is_being_written_is_refused_not_stored_torn(
    store: ObjectStore, tmp_path: Path
) -> None:
    source, size = tmp_path / "source", 16 << 20
    source.write_bytes(b"A" * size)
    store.put("a", b"kept")
    began, done = threading.Event(), threading.Event()

    def overwrite() -> None:
        with source.open("r+b", buffering=0) as file:
            while not done.is_set():
                for letter in (b"B", b"A"):
                    file.seek(0)
                    for _ in range(16):
                        file.write(letter * (size >> 4))
                        began.set()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(overwrite)
        try:
            assert began.wait(10)
            for _ in range(3):
                with pytest.raises(StoreRefusedError, match="source: changed while") as caught:
                    store.put("a", source)
                assert "wait until it is written" in str(caught.value)
        finally:
            done.set()
        writer.result()
    assert store.read("a") == b"kept"
    assert store.put("a", source).sha256 == sha256(source.read_bytes())


def test_writers_at_once_lose_nothing(store: ObjectStore) -> None:
    def write(number: int) -> None:
        store.put(f"own/{number:03}", f"{number}".encode(), user_metadata={"number": str(number)})
        text = str(number % 3)
        with contextlib.suppress(*faults_of_a_race(store)):
            store.put("shared", text.encode() * 1000, user_metadata={"number": text})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(48)))
    assert keys(store, "own/") == [f"own/{number:03}" for number in range(48)]
    for number in range(48):
        assert store.read(f"own/{number:03}") == str(number).encode()
        assert store.stat(f"own/{number:03}").user_metadata == {"number": str(number)}
    assert store.stat("shared").user_metadata == {"number": store.read("shared")[:1].decode()}


def test_pages_are_full_ordered_and_resumable(store: ObjectStore) -> None:
    names = [f"p/{number % 7}/{number:05}" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b"x"), names))
    pages = [[entry.key for entry in page] for page in store.pages("p/")]
    assert [len(page) for page in pages] == [1000, 50]
    assert [key for page in pages for key in page] == sorted(names)
    assert [len(page) for page in store.pages("p/", page_size=400)] == [400, 400, 250]
    small = store.pages("p/3/", page_size=7)
    first = [entry.key for entry in next(small)]
    rest = [e.key for page in store.pages("p/3/", start_after=first[-1], page_size=7) for e in page]
    assert first + rest == sorted(name for name in names if name.startswith("p/3/"))
    # where the last key was removed meanwhile, listing goes on behind its place
    store.delete(first[-1])
    again = [e.key for page in store.pages("p/3/", start_after=first[-1]) for e in page]
    assert again == rest


def test_keys_are_ordered_by_their_bytes_whatever_the_folders(store: ObjectStore) -> None:
    names = ["a/b", "a-b", "a.b", "a b/c", "a0", "a/b0/c", "B", "é", "z", "\uffee", "🪨", "a~/x"]
    for name in names:
        store.put(name, b"x")
    expected = sorted(names, key=lambda name: name.encode())
    assert expected.index("\uffee") < expected.index("🪨")  # UTF-16 would turn them round
    assert keys(store) == expected
    for place, name in enumerate(expected):
        after = [entry.key for page in store.pages(start_after=name) for entry in page]
        assert after == expected[place + 1 :]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/b/", "b", "a/bc", "zz", "a/b/c/d"])
def test_a_prefix_is_text_not_a_folder(store: ObjectStore, prefix: str) -> None:
    names = ["a/b/c", "a/bc/d", "ab", "b/a", "a/b d"]
    for name in names:
        store.put(name, b"x")
    expected = sorted(name for name in names if name.startswith(prefix))
    assert keys(store, prefix) == expected
    for start in ("a/", "a/b", "a/b/c", "a/bb", "c"):
        after = [e.key for page in store.pages(prefix, start_after=start) for e in page]
        assert after == [name for name in expected if name > start]


@pytest.mark.parametrize("text", ["\ud800", "scans/\ud83e"])
def test_a_listing_of_what_is_no_text_is_refused(store: ObjectStore, text: str) -> None:
    with pytest.raises(BadKeyError):
        list(store.pages(text))
    with pytest.raises(BadKeyError):
        list(store.pages(start_after=text))


def test_an_empty_store_has_no_pages(store: ObjectStore) -> None:
    assert list(store.pages()) == []
    assert list(store.pages("scans/", start_after="scans/z")) == []
