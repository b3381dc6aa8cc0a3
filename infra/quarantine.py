"""Scans that can't be indexed: which, why, and what to do about it, kept beside the objects.

A record is the object ``quarantine/<object key>.json``. It holds for one content: once the object
has another etag, or a headerless volume another layout, the record says nothing of it any more.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import one_line, printable
from infra.generations import content_of
from infra.indexing.records import record_id
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    ObjectMissingError,
    ObjectTooLargeError,
)
from infra.store_keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.object_store import ObjectStore

QUARANTINE_PREFIX = "quarantine/"

METADATA_FAULT = "metadata"
"""Fault of a scan whose metadata contradicts itself: it ends when the metadata is corrected."""

ENCODER_FAULT = "not encoded"
"""Fault of a scan whose vectors are not finite, or not of the encoder's size."""

INDEX_FAULT = "index"
"""Fault of a scan that the index does not take, such as for a text that is too long."""

CRASH_FAULT = "crashed the worker"
"""Fault of a scan that was being worked on when workers died, again and again."""

MODEL_FAULTS = frozenset({ENCODER_FAULT, INDEX_FAULT, CRASH_FAULT})
"""Faults that a scan may have with one model, and not with another."""

DAMAGED_FAULT = "damaged record"
"""Fault that stands where a record can't be read any more."""

_HASHED_PREFIX = f"{QUARANTINE_PREFIX}by-hash/"
_SUFFIX = ".json"
_NO_ETAG = "?"
"""An etag that no object has."""

_COMMA = ", "
_READS_AT_ONCE = 16
_RECORD_BYTES = 1 << 20
_EPOCH = datetime.fromtimestamp(0, UTC)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRecord:
    """Why a scan is not indexed.

    Attributes:
        object_key: The scan.
        etag: The content that was refused; empty where the object could not even be looked at.
        fault: Kind of fault: that of `encoder.errors.ScanFault`, or another short text.
        reason: What is wrong and what to do, in one line.
        model: Bundle that it was to be indexed with; of `MODEL_FAULTS` all of them, joined by
            commas.
        attempts: Times that it was tried.
        first_attempt: When the first of them was, UTC.
        last_attempt: When the last was, UTC.
        trace_id: What the log names this failure by.
        layout: How its user metadata said that a headerless volume is laid out; empty for nothing.
    """

    object_key: str
    etag: str
    fault: str
    reason: str
    model: str
    attempts: int
    first_attempt: datetime
    last_attempt: datetime
    trace_id: str
    layout: str = ""

    @property
    def content(self) -> str:
        """Name of what was refused: `infra.generations.content_of`."""
        return content_of(self.etag, self.layout)

    @property
    def models(self) -> tuple[str, ...]:
        """The bundles that it was to be indexed with."""
        return tuple(self.model.split(_COMMA))

    def holds_for(self, model: str) -> bool:
        """Whether a bundle is not to try the content: other models' own faults don't count."""
        return self.fault not in MODEL_FAULTS or model in self.models

    def beside(self, former: QuarantineRecord) -> QuarantineRecord:
        """Give the record that takes another's place: it holds for that one's models, too."""
        if self.content != former.content or not {self.fault, former.fault} <= MODEL_FAULTS:
            return self
        models = dict.fromkeys((*former.models, *self.models))
        return replace(self, model=_COMMA.join(models))

    def to_json(self) -> bytes:
        """Write it as JSON."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        return json.dumps({**asdict(self), **times}, indent=2).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> QuarantineRecord:
        """Read it from JSON.

        Raises:
            ValueError: It is no such record.
        """
        found = json.loads(text)
        if isinstance(found, dict):
            found.setdefault("layout", "")  # earlier releases kept none
        if not isinstance(found, dict) or set(found) != set(cls.__slots__):
            raise ValueError("no quarantine record")
        for name in cls.__slots__:
            wanted = int if name == "attempts" else str
            if not isinstance(found[name], wanted) or isinstance(found[name], bool):
                raise ValueError(f"{name}: found {found[name]!r}")  # noqa: TRY004  as json's
        times = {name: datetime.fromisoformat(found[name]).astimezone(UTC) for name in _TIMES}
        return cls(**{**found, **times})


_TIMES = ("first_attempt", "last_attempt")


class Kept(NamedTuple):
    """A record, and the object that it is kept in."""

    key: str
    record: QuarantineRecord


class Quarantine:
    """The quarantine records of an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        """Keep them in a store."""
        self._objects = objects

    def put(self, record: QuarantineRecord) -> None:
        """Keep a record; a former one of the same scan is replaced.

        Raises:
            StoreError: It can't be stored.
        """
        self._objects.put(quarantine_key(record.object_key), record.to_json())

    def get(self, object_key: str) -> QuarantineRecord | None:
        """Record of a scan, or None; a damaged one comes with `DAMAGED_FAULT`."""
        for key in _keys(object_key):
            found = self._read(key)
            if found is not None and (found.object_key == object_key or _is_damaged(found)):
                return found
        return None

    def drop(self, object_key: str) -> None:
        """Remove the record of a scan, if there is one."""
        for key in _keys(object_key):
            self._objects.delete(key)

    def drop_judged(self, judged: QuarantineRecord) -> None:
        """Remove a record, unless another one took its place since it was read."""
        if self.get(judged.object_key) == judged:
            self.drop(judged.object_key)

    def records(self, prefix: str = "") -> Iterator[QuarantineRecord]:
        """Every record, page by page, of scans whose keys begin with a prefix.

        A damaged record comes with `DAMAGED_FAULT`, and an etag that no object has: its scan
        counts as not indexed, and is tried again.
        """
        for page in chain(self.pages(prefix), self.hashed_pages(prefix)):
            yield from (kept.record for kept in page)

    def pages(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[Kept]]:
        """Records that are kept under their scans' own keys, in the order of the records' keys.

        Args:
            prefix: What the keys of scans begin with.
            start_after: Only records whose key comes after that text in ``quarantine/``.
        """
        after = f"{QUARANTINE_PREFIX}{start_after}" if start_after else ""
        for page in self._objects.pages(f"{QUARANTINE_PREFIX}{prefix}", start_after=after):
            keys = [entry.key for entry in page if not entry.key.startswith(_HASHED_PREFIX)]
            yield self._read_all(keys, prefix)

    def hashed_pages(self, prefix: str = "") -> Iterator[list[Kept]]:
        """Records of scans whose keys begin with a prefix, where those make no record's key."""
        for page in self._objects.pages(_HASHED_PREFIX):
            yield self._read_all([entry.key for entry in page], prefix)

    def _read_all(self, keys: Sequence[str], prefix: str) -> list[Kept]:
        ours = list(filter(_is_ours, keys))
        if not ours:
            return []
        with ThreadPoolExecutor(_READS_AT_ONCE) as reads:
            found = zip(ours, reads.map(self._read, ours), strict=True)
            return [
                Kept(key, record)
                for key, record in found
                if record is not None and _is_about(record, prefix)
            ]

    def _read(self, key: str) -> QuarantineRecord | None:
        try:
            return QuarantineRecord.from_json(self._objects.read(key, max_bytes=_RECORD_BYTES))
        except ObjectMissingError:
            return None
        except (ValueError, RecursionError, OverflowError) as error:
            return _damaged(key, one_line(error))
        except (ChecksumError, ObjectTooLargeError, BadKeyError) as error:
            return _damaged(key, str(error))


def has_own_key(object_key: str) -> bool:
    """Whether a scan's record is kept under its own key, and not under a hash of it."""
    return _plain_key(object_key) is not None


def quarantine_key(object_key: str) -> str:
    """Key that a scan's record has, or would have if the store takes it."""
    return _plain_key(object_key) or _hashed_key(object_key)


def _keys(object_key: str) -> tuple[str, ...]:
    plain = _plain_key(object_key)
    return tuple(key for key in (plain, _hashed_key(object_key)) if key is not None)


def _plain_key(object_key: str) -> str | None:
    """The key that people find it by; None where the store takes no such key.

    Nor is there one below a folder that may bear another record's name: a folder of files can't
    hold both, and MinIO lists nothing below an object.
    """
    if any(part.endswith(_SUFFIX) for part in object_key.split("/")[:-1]):
        return None
    try:
        return check_key(f"{QUARANTINE_PREFIX}{object_key}{_SUFFIX}")
    except BadKeyError:
        return None


def _hashed_key(object_key: str) -> str:
    return f"{_HASHED_PREFIX}{record_id(object_key)}{_SUFFIX}"


def _damaged(key: str, problem: str) -> QuarantineRecord:
    _LOG.warning("%s: damaged quarantine record (%s)", printable(key), printable(problem))
    return QuarantineRecord(
        object_key=key.removeprefix(QUARANTINE_PREFIX).removesuffix(_SUFFIX),
        etag=_NO_ETAG,
        fault=DAMAGED_FAULT,
        reason=f"{key} can't be read ({problem}); its scan is tried again, or drop the record",
        model="",
        attempts=0,
        first_attempt=_EPOCH,
        last_attempt=_EPOCH,
        trace_id="",
    )


def _is_ours(key: str) -> bool:
    if not key.endswith(_SUFFIX):
        _LOG.warning("%s: no quarantine record; put it elsewhere", printable(key))
        return False
    return True


def _is_about(record: QuarantineRecord, prefix: str) -> bool:
    return record.object_key.startswith(prefix) or _is_damaged(record)


def _is_damaged(record: QuarantineRecord) -> bool:
    return record.fault == DAMAGED_FAULT and record.etag == _NO_ETAG
