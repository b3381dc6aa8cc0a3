"""What a bucket's notifications say: pure functions, without a broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

from encoder.errors import LithoscopeError

_PREFIXES = {"s3:ObjectCreated:": "put", "s3:ObjectRemoved:": "removed"}


class EventKind(StrEnum):
    """What happened to an object."""

    PUT = "put"
    REMOVED = "removed"


class EventError(LithoscopeError):
    """A notification that can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """One thing that happened to one object.

    Attributes:
        bucket: Its bucket.
        key: Its key.
        kind: What happened: uploads, overwrites and copies are all ``put``.
        time: When, by the store's clock.
    """

    bucket: str
    key: str
    kind: EventKind
    time: datetime


def read_entry(entry: bytes) -> list[ObjectEvent]:
    """Read one entry of the journal, in MinIO's format ``access``.

    Args:
        entry: JSON: a list of objects that each hold a list ``Event`` of S3 event records, whose
            keys are URL-encoded.

    Returns:
        The events, in their order; those of other kinds, such as downloads, are left out.

    Raises:
        EventError: It is no such entry.
    """
    try:
        return [
            event
            for part in _list(json.loads(entry))
            for record in _list(part["Event"])
            if (event := _event(record)) is not None
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        told = " ".join(f"{type(error).__name__} {error}".split())
        raise EventError(
            f"event {_shown(entry)}: can't be read ({told}); expected MinIO's format `access`: "
            "set MINIO_NOTIFY_REDIS_FORMAT_…=access"
        ) from error


def last_by_key(events: list[ObjectEvent]) -> dict[str, ObjectEvent]:
    """The last event of each key, in the order of those."""
    found: dict[str, ObjectEvent] = {}
    for event in events:
        found.pop(event.key, None)
        found[event.key] = event
    return found


def _event(record: dict[str, Any]) -> ObjectEvent | None:
    name, place = _text(record["eventName"]), record["s3"]
    kind = next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), None)
    if kind is None:
        return None
    return ObjectEvent(
        bucket=_text(place["bucket"]["name"]),
        key=unquote_plus(_text(place["object"]["key"]), errors="strict"),
        kind=EventKind(kind),
        time=_time(record["eventTime"]),
    )


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"eventTime {text!r} has no time zone")
    return moment


def _text(found: object) -> str:
    if not isinstance(found, str) or not found:
        raise ValueError(f"found {found!r}, expected a text")
    return found


def _list(found: object) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError(f"found {type(found).__name__}, expected a list")
    return found


def _shown(entry: bytes) -> str:
    return repr(entry[:80].decode("utf-8", "replace")) + ("…" if len(entry) > 80 else "")
