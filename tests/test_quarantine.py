"""Quarantine records on every object store."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from infra.folder_store import FolderStore
from infra.quarantine import (
    DAMAGED_FAULT,
    QUARANTINE_PREFIX,
    Quarantine,
    QuarantineRecord,
    quarantine_key,
)
from object_stores import keys

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]

NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)
LONG = "scans/E1/" + "/".join(["x" * 250] * 4)


def record(object_key: str = "scans/E1/S1/a.png", **changes: Any) -> QuarantineRecord:  # noqa: ANN401  fields
    made = QuarantineRecord(
        object_key=object_key,
        etag="e1",
        fault="truncated",
        reason='ends at byte 7 of 9 ("é", 岩); store it again',
        model="dsnn-0123456789ab",
        attempts=1,
        first_attempt=NOON,
        last_attempt=NOON + timedelta(hours=1),
        trace_id="0f" * 16,
    )
    return replace(made, **changes)


def test_a_record_is_kept_replaced_and_dropped(store: ObjectStore) -> None:
    quarantine = Quarantine(store)
    assert quarantine.get("scans/E1/S1/a.png") is None
    assert list(quarantine.records()) == []
    quarantine.drop("scans/E1/S1/a.png")
    quarantine.put(record())
    assert keys(store) == ["quarantine/scans/E1/S1/a.png.json"]
    assert quarantine.get("scans/E1/S1/a.png") == record()
    again = record(etag="e2", attempts=2)
    quarantine.put(again)
    assert quarantine.get("scans/E1/S1/a.png") == again
    assert list(quarantine.records()) == [again]
    quarantine.drop("scans/E1/S1/a.png")
    assert quarantine.get("scans/E1/S1/a.png") is None
    assert keys(store) == []


@pytest.mark.parametrize(
    "object_key",
    [
        "scans/E1/S1/" + "x" * 255,  # too long with .json
        LONG,
        "scans/E1/S1/\udcff.png",
        "scans/E1/../a.png",
        "scans/E1//a.png",
        "scans\\a.png",
        "scans/E1/a\x00.png",
    ],
)
def test_scans_whose_key_no_store_takes_are_quarantined_too(
    store: ObjectStore, object_key: str
) -> None:
    quarantine = Quarantine(store)
    quarantine.put(record(object_key, etag=""))
    quarantine.put(record())
    assert quarantine.get(object_key) == record(object_key, etag="")
    assert set(quarantine.records()) == {record(object_key, etag=""), record()}
    assert record(object_key, etag="") in set(quarantine.records(object_key[:5]))
    assert set(quarantine.records("scans/E1/S1/a")) == {record()}
    quarantine.drop(object_key)
    assert quarantine.get(object_key) is None
    assert list(quarantine.records()) == [record()]


def test_a_record_and_a_folder_may_want_one_name(store: ObjectStore) -> None:
    quarantine = Quarantine(store)
    both = {record("scans/E1/S1/a.json/b.png"), record("scans/E1/S1/a")}
    for each in sorted(both, key=lambda one: one.object_key, reverse=True):
        quarantine.put(each)
    assert set(quarantine.records()) == both
    for each in both:
        assert quarantine.get(each.object_key) == each
        quarantine.drop(each.object_key)
    assert list(quarantine.records()) == []


def test_records_come_by_prefix(store: ObjectStore) -> None:
    quarantine = Quarantine(store)
    names = [f"scans/E{number % 3}/S1/{number:02}.png" for number in range(40)]
    for name in names:
        quarantine.put(record(name))
    assert [each.object_key for each in quarantine.records()] == sorted(names)
    found = [each.object_key for each in quarantine.records("scans/E1/")]
    assert found == sorted(name for name in names if name.startswith("scans/E1/"))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        json.dumps({**json.loads(record().to_json()), "attempts": "1"}).encode(),
        json.dumps({**json.loads(record().to_json()), "attempts": True}).encode(),
        json.dumps({**json.loads(record().to_json()), "first_attempt": "noon"}).encode(),
        json.dumps({**json.loads(record().to_json()), "more": 1}).encode(),
        b" " * (2 << 20),
    ],
)
def test_a_damaged_record_is_told_and_is_about_no_content(
    store: ObjectStore, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    quarantine = Quarantine(store)
    quarantine.put(record())
    quarantine.put(record("scans/E1/S1/b.png"))
    key = quarantine_key("scans/E1/S1/a.png")
    store.put(key, damage)
    broken, whole = quarantine.records("scans/")
    assert whole == record("scans/E1/S1/b.png")
    assert broken == quarantine.get("scans/E1/S1/a.png")
    assert (broken.object_key, broken.fault) == ("scans/E1/S1/a.png", DAMAGED_FAULT)
    assert broken.etag not in ("", "e1")
    assert key in broken.reason
    assert "\n" not in broken.reason
    assert key in caplog.text
    quarantine.drop(broken.object_key)
    assert list(quarantine.records()) == [whole]


def test_records_of_earlier_releases_told_no_layout(store: ObjectStore) -> None:
    former = json.loads(record().to_json())
    del former["layout"]
    store.put(quarantine_key("scans/E1/S1/a.png"), json.dumps(former).encode())
    assert list(Quarantine(store).records()) == [record()]


def test_a_damaged_record_under_a_hashed_name_can_be_dropped(store: ObjectStore) -> None:
    quarantine = Quarantine(store)
    quarantine.put(record(LONG))
    (key,) = keys(store)
    store.put(key, b"{")
    (broken,) = quarantine.records("scans/")
    assert broken.fault == DAMAGED_FAULT
    quarantine.drop(broken.object_key)
    assert keys(store) == []


def test_other_files_are_told_and_left_alone(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(f"{QUARANTINE_PREFIX}readme.txt", b"hello")
    assert list(Quarantine(store).records()) == []
    assert "readme.txt" in caplog.text


def test_times_are_utc_whatever_they_were_written_in(tmp_path: Path) -> None:
    quarantine = Quarantine(FolderStore(tmp_path))
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    quarantine.put(record(first_attempt=there))
    found = quarantine.get("scans/E1/S1/a.png")
    assert found is not None
    assert found.first_attempt == NOON
    assert found.first_attempt.tzinfo is UTC


def test_names_with_signs_that_steer_a_terminal_are_told_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "quarantine" / "scans"
    folder.mkdir(parents=True)
    (folder / "\x1b[2Ja.txt").write_bytes(b"hello")
    (folder / "\x1b[2Jb.json").write_bytes(b"{")
    with closing(FolderStore(tmp_path)) as store:
        assert [each.fault for each in Quarantine(store).records()] == [DAMAGED_FAULT]
    assert "\ufffd[2Ja.txt: no quarantine record" in caplog.text
    assert "\ufffd[2Jb.json: damaged quarantine record" in caplog.text
    assert "\x1b" not in caplog.text
