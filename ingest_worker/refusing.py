"""How a scan that can't be indexed is refused: a record for its owner, a line in the log."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from encoder.errors import printable
from infra.logs import log_context
from infra.quarantine import QuarantineRecord
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    ObjectTooLargeError,
    StoreError,
    StoreRefusedError,
)
from infra.stored_scans import layout_of
from ingest_worker.steps import Refusal, Tried

if TYPE_CHECKING:
    from infra.object_store import ObjectStat
    from ingest_worker.context import IngestContext

KEY_FAULT = "bad key"
"""Fault of an object whose key is no scan's, or none that a store takes."""

_STORE_FAULTS: dict[type[StoreError], str] = {
    BadKeyError: KEY_FAULT,
    ChecksumError: "checksum",
    ObjectTooLargeError: "too large",
    StoreRefusedError: "refused by the store",
}

_ONCE = Tried()
_LOG = logging.getLogger(__name__)


def refusal(
    context: IngestContext,
    place: ObjectStat | str,
    *,
    fault: str,
    reason: str,
    tried: Tried = _ONCE,
) -> Refusal:
    """Refuse a scan.

    Args:
        context: Names the model that it was to be indexed with.
        place: The object; its key alone where it could not even be looked at.
        fault: Kind of fault.
        reason: What is wrong and what to do.
        tried: How often it was tried.
    """
    now = datetime.now(UTC)
    key, etag, layout = (
        (place, "", "") if isinstance(place, str) else (place.key, place.etag, layout_of(place))
    )
    record = QuarantineRecord(
        object_key=key,
        etag=etag,
        fault=str(fault),
        reason=one_line(reason),
        model=context.model,
        attempts=tried.attempts,
        first_attempt=min(tried.first or now, now),  # clocks of machines need not agree
        last_attempt=now,
        trace_id=uuid.uuid4().hex,
        layout=layout,
    )
    with log_context(object_key=key):
        told = f"{key}: {record.fault}: {record.reason} (trace {record.trace_id})"
        _LOG.warning("%s", printable(told))  # a name that is no UTF-8 can't be written anywhere
    return Refusal(record=record)


def store_fault(error: StoreError) -> str:
    """Name a fault of an object that the store told."""
    return next(text for kind, text in _STORE_FAULTS.items() if isinstance(error, kind))


def one_line(text: str) -> str:
    """Join a text's lines."""
    return " ".join(text.split())
