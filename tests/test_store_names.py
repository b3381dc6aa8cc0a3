"""One contract for every object store: which keys and metadata it takes, and keeps as they are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from infra.store_errors import (
    BadKeyError,
    BadMetadataError,
    StoreError,
    StoreRefusedError,
)
from object_stores import keys

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]

HOSTILE_PARTS = (
    *(" ", "a b", " lead", "trail ", "two  spaces", "'", '"', "a&b", "a+b", "a%20b", "%", "%2F"),
    *("#", "?", "a?b=c", "*", "<x>", "$HOME", "`id`", "~", ";", "|", ",", "@", "=", "!", "[x]"),
    *("é", "e\u0301", "砂岩", "🪨", "\N{RIGHT-TO-LEFT OVERRIDE}abc", "a\u200bb", "_", "-", "C:"),
    *("a...", "..a".lstrip("."), "CON", "x" * 255, "岩" * 85),
)


@pytest.mark.parametrize("seed", range(12))
def test_hostile_keys_are_kept_apart_and_come_back(store: ObjectStore, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  seeded test data
    parts = [rng.sample(HOSTILE_PARTS, rng.randint(1, 3)) for _ in range(8)]
    names = {f"{seed}/" + "/".join([f"d{n}", *path]): n for n, path in enumerate(parts)}
    names = {name: n for name, n in names.items() if len(name.encode()) <= 1024}
    for name, number in names.items():
        store.put(name, str(number).encode())
    assert keys(store) == sorted(names, key=lambda name: name.encode())
    for name, number in names.items():
        assert store.stat(name).key == name
        assert store.read(name) == str(number).encode()
    for name in names:
        store.delete(name)
    assert keys(store) == []


@pytest.mark.parametrize("text", ["line\nbreak", "tab\there", "bell\x07", "del\x7f", "cr\rlf\n"])
def test_keys_with_control_characters_come_back_or_are_refused(
    store: ObjectStore, text: str
) -> None:
    key = f"x/{text}/y"
    try:
        store.put(key, b"content")
    except StoreRefusedError:  # some S3 stores don't take them
        assert keys(store) == []
        return
    assert keys(store) == [key]
    assert store.read(key) == b"content"


def test_keys_of_a_thousand_bytes_come_back(store: ObjectStore) -> None:
    key = "/".join(["k" * 199] * 5)
    key += "e" * (1000 - len(key))
    other = f"{key[:-1]}f"
    store.put(key, b"one")
    store.put(other, b"two")
    assert keys(store) == [key, other]
    assert store.read(key) == b"one"


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "a/b//"),
        *("a\0b", "..\\a", "a\\b", "C:\\a", ".hidden", "a/.hidden", ".lithoscope/lock", "..."),
        *("bad\udc80", "\ud800", "x" * 256, "岩" * 86, "/".join(["k" * 200] * 6)),
    ],
)
def test_keys_that_leave_or_that_no_store_takes_are_refused(
    store: ObjectStore, tmp_path: Path, key: str
) -> None:
    for call in (
        lambda: store.put(key, b"x"),
        lambda: store.stat(key),
        lambda: store.read(key),
        lambda: store.get(key, tmp_path / "copy", max_bytes=10),
        lambda: store.delete(key),
    ):
        with pytest.raises(BadKeyError) as caught:
            call()
        assert not caught.value.retryable
        assert "\n" not in str(caught.value)
    assert keys(store) == []
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "copy").exists()


def test_metadata_survives_in_one_spelling(store: ObjectStore) -> None:
    given = {
        "Pixel_size_um": "2.5",
        "x-amz-meta-sample": "E2 07",
        "cache-control": "is no header here",
        "content-type": "neither",
        "quoted": "\"a' \\ %20 = ; ,",
        "empty": "",
        "n1": "~!@#$^&*()",
    }
    store.put("a", b"x", user_metadata=given)
    expected = {
        "pixel-size-um": "2.5",
        "sample": "E2 07",
        "cache-control": "is no header here",
        "content-type": "neither",
        "quoted": "\"a' \\ %20 = ; ,",
        "empty": "",
        "n1": "~!@#$^&*()",
    }
    assert store.stat("a").user_metadata == expected


def test_metadata_up_to_its_bound_is_taken(store: ObjectStore) -> None:
    store.put("a", b"x", user_metadata={"n": "v" * 1900})
    assert store.stat("a").user_metadata == {"n": "v" * 1900}


@pytest.mark.parametrize(
    "metadata",
    [
        *({"sample": "Sölden"}, {"sample": "a\nb"}, {"sample": " a"}, {"sample": "a  b"}),
        *({"sample": "\x7f"}, {"": "a"}, {"a b": "c"}, {"é": "a"}, {"a:b": "c"}, {"-": "x"}),
        *({"n": "v" * 2048}, {f"n{i}": "v" * 100 for i in range(20)}),
        *({"a_b": "1", "a-b": "2"}, {"Lithoscope-SHA256": "0"}),
    ],
)
def test_metadata_that_s3_would_lose_or_bend_is_refused(
    store: ObjectStore, metadata: dict[str, str]
) -> None:
    with pytest.raises(BadMetadataError):
        store.put("a", b"x", user_metadata=metadata)
    assert keys(store) == []


def test_errors_are_one_line_and_name_the_key(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.get("scans/E1/gone", tmp_path / "copy", max_bytes=1)
    assert str(caught.value) == "scans/E1/gone: no such object"
    store.put("a", b"x")
    with pytest.raises(StoreRefusedError, match="copy"):
        store.get("a", tmp_path / "no folder" / "copy", max_bytes=1)
