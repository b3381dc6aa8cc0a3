"""From an object's key to its decoded slices, or to what else is to be done with it.

The order is that of docs/design.md: the object is looked at, compared with what is indexed, its
attempt counted, the content fetched and decoded. Nothing is changed here but the count.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.decoding import DecodeOptions
from encoder.errors import ScanError
from encoder.metadata.problems import MetadataError
from encoder.object_keys import ObjectKey, ObjectKeyError
from infra.generations import generation_of
from infra.logs import log_context
from infra.metrics import timed
from infra.quarantine import CRASH_FAULT, METADATA_FAULT
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    LocalFileError,
    ObjectChangedError,
    ObjectMissingError,
    ObjectTooLargeError,
    StoreRefusedError,
)
from infra.stored_scans import file_name, read_options, stored_content
from ingest_worker.outcomes import Deferred, Quarantined, Unchanged
from ingest_worker.refusing import KEY_FAULT, one_line, refusal, store_fault
from ingest_worker.steps import Prepared, Refusal, Rekeying, Removal, Step, Suspect, Tried

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.decoding import DecodedScan
    from encoder.metadata.records import ScanMetadata
    from encoder.sandbox.scratch import ScratchFolder
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectStat
    from infra.quarantine import QuarantineRecord
    from ingest_worker.context import IngestContext

MAX_CRASHES = 3
"""Workers that may die of one scan before it is quarantined."""

CHANGED = "it changed whenever it was read; it is taken up when it is written"

_LOOKS = 4
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An object to be looked at.

    Attributes:
        object_key: Its key.
        record: What is indexed of it, or None.
        is_alone: Whether nothing is worked on beside it.
        is_forced: Whether it is indexed again even if nothing changed.
    """

    object_key: str
    record: ScanRecord | None
    is_alone: bool = False
    is_forced: bool = False


class Preparer:
    """Prepares objects, from any thread."""

    def __init__(self, context: IngestContext, scratch: ScratchFolder) -> None:
        """Use a context.

        Args:
            context: What ingest needs.
            scratch: For what is fetched.
        """
        self._context = context
        self._site = context.site
        self._scratch = scratch
        self._lock = threading.Lock()
        self._begun: set[str] = set()

    def prepare(self, request: Request) -> Step:
        """Look at an object and make it ready.

        Raises:
            LithoscopeError: Something that no object is to blame for: a service that stayed away,
                a full disk.
        """
        with log_context(object_key=request.object_key):
            for look in range(_LOOKS):
                time.sleep(look * _LOOK_SECONDS)
                with contextlib.suppress(ObjectChangedError):
                    return self._look(request)
        return Deferred(object_key=request.object_key, reason=CHANGED)

    def clear(self, object_keys: list[str]) -> None:
        """Forget the attempts at scans that came to an end."""
        if object_keys:
            self._site.attempts.clear(object_keys)
        with self._lock:
            self._begun.difference_update(object_keys)

    def close(self) -> None:
        """Forget the attempts that were given up: no worker died of them."""
        self.clear(list(self._begun))

    def _look(self, request: Request) -> Step:
        key = request.object_key
        patience = self._context.patience
        try:
            stat = patience.keep_trying(lambda: self._site.objects.stat(key))
        except ObjectMissingError:
            return Removal(object_key=key)
        except (BadKeyError, StoreRefusedError) as error:
            return refusal(self._context, key, fault=store_fault(error), reason=str(error))
        return self._compare(request, stat)

    def _compare(self, request: Request, stat: ObjectStat) -> Step:
        """Compare an object with what is indexed of it."""
        key, record = stat.key, request.record
        is_same = not request.is_forced and self._is_indexed(stat, request.record)
        try:
            ObjectKey.parse(key)
        except ObjectKeyError as error:
            return self._refused_as_is(request, stat, fault=KEY_FAULT, reason=str(error))
        try:
            metadata = self._context.resolve(key, stat.user_metadata)
        except MetadataError as error:
            return self._without_metadata(request, stat, error=error, is_same=is_same)
        if is_same and record is not None and record.metadata_hash == metadata.metadata_hash():
            return Unchanged(object_key=key)
        quarantined = self._quarantined(stat)
        is_quarantined = quarantined is not None
        if is_same and record is not None:
            return Rekeying(
                stat=stat, metadata=metadata, former=record, is_quarantined=is_quarantined
            )
        if (
            quarantined is not None
            and quarantined.content == stored_content(stat)
            and quarantined.fault != METADATA_FAULT
        ):
            return _still_refused(quarantined, record)
        return self._take(request, stat, metadata=metadata, is_quarantined=is_quarantined)

    def _quarantined(self, stat: ObjectStat) -> QuarantineRecord | None:
        """An object's quarantine record, unless other models alone are refused what it holds."""
        found = self._context.patience.keep_trying(lambda: self._site.quarantine.get(stat.key))
        if found is not None and found.content == stored_content(stat):
            return found if found.holds_for(self._context.model) else None
        return found

    def _is_indexed(self, stat: ObjectStat, record: ScanRecord | None) -> bool:
        """Whether this content is indexed with this preprocessing, whatever its metadata."""
        generation = generation_of(stored_content(stat), self._context.fingerprint)
        return record is not None and (record.etag, record.generation) == (stat.etag, generation)

    def _without_metadata(
        self, request: Request, stat: ObjectStat, *, error: MetadataError, is_same: bool
    ) -> Step:
        """Leave alone what is indexed or waits for a table; refuse what contradicts itself."""
        key, reason = stat.key, "; ".join(map(str, error.problems))
        if is_same:
            reason = f"its rows keep the metadata that they had: {reason}"
            return Deferred(object_key=key, reason=one_line(reason))
        if self._context.metadata.problems:  # a broken table speaks of no scan in particular
            return Deferred(object_key=key, reason=one_line(f"its metadata waits: {reason}"))
        return self._refused_as_is(request, stat, fault=METADATA_FAULT, reason=reason)

    def _refused_as_is(
        self, request: Request, stat: ObjectStat, *, fault: str, reason: str
    ) -> Step:
        """Refuse an object that was not even fetched, unless it is refused for that already."""
        known = self._quarantined(stat)
        now = (stored_content(stat), fault, one_line(reason))
        if known is not None and (known.content, known.fault, known.reason) == now:
            return _still_refused(known, request.record)
        return refusal(self._context, stat, fault=fault, reason=reason)

    def _take(
        self,
        request: Request,
        stat: ObjectStat,
        *,
        metadata: ScanMetadata,
        is_quarantined: bool,
    ) -> Step:
        """Count the attempt, then fetch and decode."""
        key = stat.key
        contents = {key: stored_content(stat)}
        crashes = 0 if key in self._begun else self._site.attempts.counts(contents)[key]
        if crashes >= MAX_CRASHES:
            return refusal(
                self._context,
                stat,
                fault=CRASH_FAULT,
                reason=f"{crashes} workers died while they worked on it; check the file, or "
                f"give it another try: lithoscope quarantine retry {key}",
                tried=self._tried(stat, crashes),
            )
        if crashes and not request.is_alone:
            return Suspect(object_key=key, attempts=crashes)
        tried = self._begin(stat)
        try:
            scan = self._decode(stat)
        except ObjectMissingError:
            return Removal(object_key=key)
        except ScanError as error:
            return refusal(self._context, stat, fault=error.fault, reason=error.reason, tried=tried)
        except LocalFileError:
            raise  # our own disk's fault
        except (ChecksumError, ObjectTooLargeError, StoreRefusedError) as error:
            return refusal(
                self._context, stat, fault=store_fault(error), reason=str(error), tried=tried
            )
        return Prepared(
            stat=stat,
            metadata=metadata,
            scan=scan,
            former=request.record,
            is_quarantined=is_quarantined,
            tried=tried,
        )

    def _begin(self, stat: ObjectStat) -> Tried:
        """Count an attempt; a further look at a scan that changes is none."""
        key = stat.key
        if key in self._begun:
            return Tried()
        attempts = self._site.attempts.begin({key: stored_content(stat)})[key]
        with self._lock:
            self._begun.add(key)
        return self._tried(stat, attempts)

    def _tried(self, stat: ObjectStat, attempts: int) -> Tried:
        if attempts == 1:
            return Tried()
        times = self._site.attempts.first_times({stat.key: stored_content(stat)})
        return Tried(attempts=attempts, first=times.get(stat.key))

    def _decode(self, stat: ObjectStat) -> DecodedScan:
        context = self._context
        options = DecodeOptions.for_encoding(
            context.preprocessing,
            read_options(stat.key, stat.user_metadata),
            pictures=context.pictures,
        )
        folder = self._scratch.subfolder()
        try:
            path = folder / file_name(stat.key)
            with timed("fetch"):
                context.patience.keep_trying(lambda: self._fetch(stat, path))
            with timed("decode"):
                return context.pool.decode(path, options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, stat: ObjectStat, path: Path) -> None:
        limit = self._site.settings.decode.download_mib << 20
        try:
            self._site.objects.get(stat.key, path, max_bytes=limit, etag=stat.etag)
        except ChecksumError:  # perhaps damaged on its way only
            self._site.objects.get(stat.key, path, max_bytes=limit, etag=stat.etag)


def _still_refused(record: QuarantineRecord, indexed: ScanRecord | None) -> Step:
    """What is quarantined stays so; rows of a former content go, if a crash left them."""
    if indexed is not None:
        return Refusal(record=record, is_recorded=True)
    return Quarantined(object_key=record.object_key, fault=record.fault, reason=record.reason)
