"""Reading notifications: as MinIO writes them, and as nobody should."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest

from ingest_worker.events import EventError, EventKind, last_by_key, read_entry


def record(key: str, name: str = "s3:ObjectCreated:Put", second: int = 1) -> dict[str, Any]:
    """As MinIO's server writes it; what is not read is left out."""
    return {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": f"2026-11-21T09:41:{second:02d}.250Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "rocks", "arn": "arn:aws:s3:::rocks"},
            "object": {"key": quote_plus(key), "size": 5, "eTag": "e", "sequencer": "18"},
        },
    }


def entry(*records: dict[str, Any]) -> bytes:
    told = [{"Event": [each], "EventTime": each["eventTime"]} for each in records]
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    "key",
    ["scans/a/b.tif", "scans/Bentheim er/ä+ö %41&=?/c d.tif", 'scans/岩/x"y\\z.png', "scans/%2F/a"],
)
def test_keys_are_what_they_were_before_the_store_encoded_them(key: str) -> None:
    (event,) = read_entry(entry(record(key)))
    assert (event.bucket, event.key, event.kind) == ("rocks", key, EventKind.PUT)
    assert event.time == datetime(2026, 11, 21, 9, 41, 1, 250_000, UTC)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3:ObjectCreated:CompleteMultipartUpload", EventKind.PUT),
        ("s3:ObjectCreated:Copy", EventKind.PUT),
        ("s3:ObjectCreated:PutRetention", EventKind.PUT),
        ("s3:ObjectRemoved:Delete", EventKind.REMOVED),
        ("s3:ObjectRemoved:DeleteMarkerCreated", EventKind.REMOVED),
        ("s3:ObjectAccessed:Get", None),
        ("s3:BucketCreated:*", None),
    ],
)
def test_kinds(name: str, kind: EventKind | None) -> None:
    assert [event.kind for event in read_entry(entry(record("scans/a", name)))] == (
        [] if kind is None else [kind]
    )


def test_an_entry_may_hold_several_events() -> None:
    both = record("scans/a"), record("scans/b", "s3:ObjectRemoved:Delete")
    assert [event.key for event in read_entry(entry(*both))] == ["scans/a", "scans/b"]
    one = json.dumps([{"Event": both, "EventTime": "x"}]).encode()
    assert [event.key for event in read_entry(one)] == ["scans/a", "scans/b"]
    assert read_entry(b"[]") == []


def test_the_last_event_of_a_key_counts_in_its_place() -> None:
    events = read_entry(
        entry(
            record("scans/a", second=1),
            record("scans/b", second=2),
            record("scans/a", "s3:ObjectRemoved:Delete", second=3),
        )
    )
    found = last_by_key(events)
    assert list(found) == ["scans/b", "scans/a"]
    assert found["scans/a"].kind is EventKind.REMOVED
    assert last_by_key([]) == {}


def changed(**changes: Any) -> bytes:  # noqa: ANN401
    return entry(record("scans/a") | changes)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[1]",
        b"[[]]",
        b'[{"Event": {}}]',
        b'[{"Event": [1]}]',
        b"\xff\xfe",
        b"[" * 100_000,
        changed(eventName=None),
        changed(eventTime="yesterday"),
        changed(eventTime="2026-11-21T09:41:01"),
        changed(s3={}),
        changed(s3={"bucket": {"name": ""}, "object": {"key": "scans/a"}}),
        changed(s3={"bucket": {"name": "rocks"}, "object": {"key": 5}}),
        changed(s3={"bucket": {"name": "rocks"}, "object": {"key": "%ff"}}),
        changed(s3={"bucket": "rocks", "object": {"key": "a"}}),
    ],
)
def test_what_is_no_entry_is_told_in_a_line(wrong: bytes) -> None:
    with pytest.raises(EventError, match="can't be read") as caught:
        read_entry(wrong)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
