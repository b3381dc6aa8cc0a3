"""Object keys: names come back from them unharmed, and nothing leaves its place."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pytest

from encoder.object_keys import ObjectKey, ObjectKeyError, key_of_file

HOSTILE = (
    *(" ", "%", "..", ".", "_", "%2E", "%2F", "/", "\\", "a b", "a/b", "..\\..", "~", "C:"),
    *("é", "e\u0301", "砂岩", "🪨", "\n", "\t", "\0", '"', "'", "<", "&", "?", "#", "+", "*"),
)


def hostile_names(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)  # noqa: S311  seeded test data
    return ["".join(rng.choices(HOSTILE, k=rng.randint(1, 5))) for _ in range(count)]


def test_key_reads_as_plain_names_where_it_can() -> None:
    key = ObjectKey("E2", "E2-07", ("slices", "z_0001.png"))
    assert str(key) == "scans/E2/E2-07/slices/z_0001.png"


@pytest.mark.parametrize(
    ("reservoir", "sample", "expected"),
    [
        ("cells100/abnormal", "S 1", "scans/cells100%2Fabnormal/S%201/a.png"),
        ("..", ".", "scans/%2E%2E/%2E/a.png"),
        ("_", "100%", "scans/%5F/100%25/a.png"),
        ("Sölden", "砂", "scans/S%C3%B6lden/%E7%A0%82/a.png"),
        (None, "S1", "scans/_/S1/a.png"),
        (None, None, "scans/_/_/a.png"),
    ],
)
def test_names_are_escaped(reservoir: str | None, sample: str | None, expected: str) -> None:
    assert str(ObjectKey(reservoir, sample, ("a.png",))) == expected


@pytest.mark.parametrize("seed", range(300))
def test_hostile_names_come_back_and_stay_in_their_place(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  seeded test data
    reservoir, sample, *path = hostile_names(seed, 2 + rng.randint(1, 3))
    if {".", ".."} & set(path):
        with pytest.raises(ObjectKeyError):
            ObjectKey(reservoir, sample, tuple(path))
        path = ["a.png"]
    key = ObjectKey(reservoir, sample, tuple(path))
    text = str(key)
    assert ObjectKey.parse(text) == key
    assert text.isascii()
    assert text.isprintable()
    # an independent decoder finds the same names at the same places
    assert [unquote(part) for part in text.split("/")] == ["scans", reservoir, sample, *path]
    place = Path("/bucket")
    assert (place / text).resolve().is_relative_to(place / "scans")


@pytest.mark.parametrize("seed", range(20))
def test_different_names_have_different_keys(seed: int) -> None:
    names = sorted(set(hostile_names(seed, 40)))
    keys = {str(ObjectKey(first, second, ("a",))) for first in names for second in names}
    assert len(keys) == len(names) ** 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "scans", "scans/", "scans/E1/S1", "scans/E1/S1/", "scans//S1/a.png", "E1/S1/a.png"),
        *("/scans/E1/S1/a.png", "scans/E1/S1//a.png", "scans/../S1/a.png", "scans/E1/./a.png"),
        *(
            "scans/E1/S1/../../../a.png",
            "scans/E1/S1/%2e%2e/a.png",
            "scans/E1/S1/%2E",
            "x/../scans",
        ),
        *("scans/E1/..\\..\\x/a.png", "metadata/E1/S1/a.csv", "scans/E1/S1/%ff.png"),
    ],
)
def test_keys_that_are_none_or_escape_are_refused(text: str) -> None:
    with pytest.raises(ObjectKeyError):
        ObjectKey.parse(text)


def test_key_of_another_tool_is_read_and_respelt() -> None:
    key = ObjectKey.parse("scans/E 1/S1/100% new.png")
    assert key == ObjectKey("E 1", "S1", ("100% new.png",))
    assert str(key) == "scans/E%201/S1/100%25%20new.png"


@pytest.mark.parametrize(
    ("reservoir", "sample", "path"),
    [
        ("", "S1", ("a.png",)),
        ("E1", "", ("a.png",)),
        ("E1", "S1", ()),
        ("E1", "S1", ("",)),
        ("E1", "S1", ("..", "a.png")),
        ("E1", "S1", ("bad\udc80.png",)),
        ("E" * 256, "S1", ("a.png",)),
        ("岩" * 30, "S1", ("a.png",)),
        ("E1", "S1", ("d" * 200,) * 6),
    ],
)
def test_names_that_no_key_holds_are_refused(
    reservoir: str, sample: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(ObjectKeyError) as caught:
        ObjectKey(reservoir, sample, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "reservoir", "sample", "expected"),
    [
        ("E1/S1/a.png", "E1", "S1", "scans/E1/S1/a.png"),
        ("E1/S1/deep/a.png", "E1", "S1", "scans/E1/S1/deep/a.png"),
        ("./E1/S1/a.png", "E1", "S1", "scans/E1/S1/a.png"),
        ("E1/a.png", "E1", None, "scans/E1/_/a.png"),
        ("S1/a.png", None, "S1", "scans/_/S1/a.png"),
        ("a.png", None, None, "scans/_/_/a.png"),
        # names from elsewhere: the file's own path is kept
        ("imgs/a.png", "E1", "S1", "scans/E1/S1/imgs/a.png"),
        ("E1/old/a.png", "E1", "S1", "scans/E1/S1/E1/old/a.png"),
        ("set/database/x/a.tif", "set/x", None, "scans/set%2Fx/_/set/database/x/a.tif"),
        # a file is never swallowed by its own name
        ("E1/S1", "E1", "S1", "scans/E1/S1/E1/S1"),
    ],
)
def test_file_of_a_library_gets_its_place(
    path: str, reservoir: str | None, sample: str | None, expected: str
) -> None:
    assert str(key_of_file(path, reservoir=reservoir, sample=sample)) == expected
    pure = PurePosixPath(path)
    assert str(key_of_file(pure, reservoir=reservoir, sample=sample)) == expected


@pytest.mark.parametrize(
    "path", ["", ".", "/etc/passwd", "../a.png", "E1/../../a.png", "E1//a.png"]
)
def test_paths_that_leave_the_library_are_refused(path: str) -> None:
    with pytest.raises(ObjectKeyError):
        key_of_file(path, reservoir="E1", sample="S1")
