"""What changes in the store and the index once a scan was looked at or encoded.

The order keeps every moment safe to be killed in: pictures first, then the commit, then what was
before is removed, and last the object is looked at again.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.indexing.records import record_to_row, slice_to_row
from infra.indexing.rekeying import Rekey
from infra.indexing.schema import ColumnKind
from infra.lookup import records_of
from infra.pictures import PictureKey, picture_prefixes, preview_key, thumbnail_key
from infra.quarantine import INDEX_FAULT
from infra.store_errors import (
    BadKeyError,
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
)
from infra.store_keys import is_text
from infra.stored_scans import stored_content
from ingest_worker.outcomes import Indexed, Outcome, Quarantined, Rekeyed, Removed
from ingest_worker.refusing import refusal
from ingest_worker.rows import indexed_scan, rekeyed_record, rekeyed_row
from ingest_worker.steps import Change, Filled, Refusal, Rekeying, Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from infra.indexing.records import IndexedScan, ScanRecord
    from infra.object_store import ObjectStat
    from infra.quarantine import QuarantineRecord
    from ingest_worker.context import IngestContext

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_CALLS_AT_ONCE = 4

_SLICES_AT_ONCE = 4096

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """An object that is to be looked at again: it changed while it was ingested.

    Attributes:
        object_key: The object.
        is_forced: Whether it is indexed again even if nothing changed.
    """

    object_key: str
    is_forced: bool = False


Result: TypeAlias = Outcome | Again


class Writer:
    """Writes changes. Not to be called by two threads at once."""

    def __init__(self, context: IngestContext) -> None:
        """Use a context."""
        self._context = context
        self._site = context.site
        self._collection = context.collection
        self._calls = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="pictures")

    def close(self) -> None:
        """End its threads."""
        self._calls.shutdown(cancel_futures=True)

    def write(self, changes: Sequence[Change]) -> list[Result]:
        """Write changes of different objects.

        Args:
            changes: At most one of each object.

        Returns:
            What became of each object, in no order.

        Raises:
            StoreError: The store is away for good, or refuses.
            VectorIndexError: The index does.
        """
        gone = [change for change in changes if isinstance(change, Refusal | Removal)]
        results = self._commit([change for change in changes if isinstance(change, Filled)])
        results += self._remove(gone)
        results += self._rekey([change for change in changes if isinstance(change, Rekeying)])
        return results

    def _commit(self, scans: Sequence[Filled]) -> list[Result]:
        if not scans:
            return []
        made = [self._made(scan) for scan in scans]
        self._each(self._put_picture, (job for scan in made for job in _pictures(*scan)))
        try:
            self._patiently(lambda: self._collection.commit(scan for _, scan in made))
        except IndexUnavailableError:
            raise
        except VectorIndexError as error:
            return self._commit_takable(made, error)
        return self._each(self._after_commit, made)

    def _made(self, scan: Filled) -> tuple[Filled, IndexedScan]:
        fingerprint = self._context.fingerprint
        return scan, indexed_scan(scan, self._collection.schema, fingerprint=fingerprint)

    def _commit_takable(
        self, made: Sequence[tuple[Filled, IndexedScan]], error: VectorIndexError
    ) -> list[Result]:
        """Refuse the scans that the index can't take, and commit the others.

        Raises:
            VectorIndexError: No scan is to blame.
        """
        faults = {scan.object_key: self._fault(indexed) for scan, indexed in made}
        if not any(faults.values()):
            raise error
        refused = [
            refusal(
                self._context,
                scan.prepared.stat,
                fault=INDEX_FAULT,
                reason=fault,
                tried=scan.prepared.tried,
            )
            for scan, _ in made
            if (fault := faults[scan.object_key]) is not None
        ]
        rest = [scan for scan, _ in made if faults[scan.object_key] is None]
        return self._remove(refused) + self._commit(rest)

    def _fault(self, scan: IndexedScan) -> str | None:
        numbers = self._collection.schema.names(ColumnKind.NUMBER)
        try:
            scan.check(self._collection.schema.dimension)
            record_to_row(scan.record)
            for row, vector in zip(scan.slices, scan.vectors, strict=True):
                slice_to_row(row, vector, numbers=numbers)
        except VectorIndexError as error:
            return str(error)
        return None

    def _after_commit(self, made: tuple[Filled, IndexedScan]) -> Result:
        scan, indexed = made
        prepared, record = scan.prepared, indexed.record
        if prepared.is_quarantined:
            self._site.quarantine.drop(record.object_key)
        if prepared.former is not None and prepared.former.generation != record.generation:
            self._remove_former_pictures(prepared.former)
        done = Indexed(
            object_key=record.object_key, n_slices=record.n_slices, uploaded=prepared.uploaded
        )
        return self._looked_again(prepared.stat, done)

    def _rekey(self, rekeyings: Sequence[Rekeying]) -> list[Result]:
        results: list[Result] = []
        for part in _parts(rekeyings):
            rekeys = [self._rekey_of(rekeying) for rekeying in part]
            try:
                self._patiently(partial(self._collection.rekey, rekeys))
            except IndexUnavailableError:
                raise
            except VectorIndexError as error:
                if len(part) > 1:
                    results += [result for each in part for result in self._rekey([each])]
                else:  # rows are missing, or it can't take the metadata
                    _LOG.warning("%s; it is indexed anew", error)
                    results.append(Again(object_key=part[0].object_key, is_forced=True))
            else:
                results += self._each(self._after_rekey, part)
        return results

    def _rekey_of(self, rekeying: Rekeying) -> Rekey:
        metadata, schema = rekeying.metadata, self._collection.schema
        return Rekey(
            record=rekeyed_record(rekeying),
            change=partial(
                rekeyed_row,
                metadata=metadata,
                schema=schema,
                scales_permeability=self._context.scales_permeability,
            ),
        )

    def _after_rekey(self, rekeying: Rekeying) -> Result:
        if rekeying.is_quarantined:
            self._site.quarantine.drop(rekeying.object_key)
        return self._looked_again(rekeying.stat, Rekeyed(object_key=rekeying.object_key))

    def _remove(self, gone: Sequence[Refusal | Removal]) -> list[Result]:
        """Remove everything about objects; what is refused gets its quarantine record first."""
        if not gone:
            return []
        refused = [change for change in gone if isinstance(change, Refusal)]
        self._each(self._keep, (r.record for r in refused if not r.is_recorded))
        keys = [change.object_key for change in gone if is_text(change.object_key)]
        self._patiently(lambda: self._collection.remove(keys))
        self._each(self._remove_pictures, self._shown_elsewhere(keys).items())
        return self._each(self._after_removal, gone)

    def _keep(self, record: QuarantineRecord) -> None:
        """Keep a quarantine record, and what a former one tells of other models."""
        former = self._site.quarantine.get(record.object_key)
        self._site.quarantine.put(record if former is None else record.beside(former))

    def _after_removal(self, change: Refusal | Removal) -> Result:
        """Look whether another process may have indexed meanwhile what was removed here.

        Then it is indexed again even if it has a record: its pictures may be gone.
        """
        key = change.object_key
        again = Again(object_key=key, is_forced=True)
        if isinstance(change, Removal):
            self._site.quarantine.drop(key)
        try:
            content = stored_content(self._site.objects.stat(key))
        except ObjectChangedError:
            return again
        except (ObjectMissingError, BadKeyError, StoreRefusedError):
            content = ""  # as of what was refused without a look
        if isinstance(change, Removal):
            return again if content else Removed(object_key=key)
        record = change.record
        if content and record.content not in ("", content):
            return again
        return Quarantined(object_key=key, fault=record.fault, reason=record.reason)

    def _looked_again(self, stat: ObjectStat, done: Result) -> Result:
        """Look whether the object is still what was written."""
        try:
            now = self._site.objects.stat(stat.key)
        except (ObjectMissingError, ObjectChangedError):
            return Again(object_key=stat.key)
        if (now.etag, now.user_metadata) != (stat.etag, stat.user_metadata):
            return Again(object_key=stat.key)
        return done

    def _put_picture(self, job: tuple[str, bytes]) -> None:
        self._site.objects.put(*job, is_durable=False)

    def _shown_elsewhere(self, keys: Sequence[str]) -> dict[str, set[str]]:
        """Generations of some scans that other collections have: their pictures are owed."""
        shown: dict[str, set[str]] = {key: set() for key in keys}
        index = self._site.index
        for name in self._patiently(index.collections):
            if name != self._collection.name:
                other = self._patiently(partial(index.open, name))
                for record in self._patiently(partial(records_of, other, keys)).values():
                    shown[record.object_key].add(record.generation)
        return shown

    def _remove_pictures(self, scan: tuple[str, set[str]]) -> None:
        """Remove the pictures of a scan, but for those of generations that are kept."""
        object_key, kept = scan
        for prefix in picture_prefixes(object_key):
            for page in self._site.objects.pages(prefix):
                for entry in page:
                    picture = PictureKey.parse(entry.key)
                    if picture is None or picture.generation not in kept:
                        self._site.objects.delete(entry.key)

    def _remove_former_pictures(self, former: ScanRecord) -> None:
        """Remove the pictures of one generation, unless some collection shows it.

        Those of any other may be of a scan that another process is about to commit.
        """
        key = former.object_key
        shown = self._shown_elsewhere([key])[key]
        now = self._collection.record(key)
        if former.generation in shown | ({now.generation} if now else set()):
            return
        for prefix in picture_prefixes(key):
            for page in self._site.objects.pages(f"{prefix}{former.generation}/"):
                for entry in page:
                    self._site.objects.delete(entry.key)

    def _each(self, call: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        """Call for each item, a few at a time; services that are away are waited for."""
        patience = self._context.patience
        return list(self._calls.map(lambda item: patience.keep_trying(partial(call, item)), items))

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        return self._context.patience.keep_trying(call)


def _parts(rekeyings: Sequence[Rekeying]) -> Iterator[list[Rekeying]]:
    """Cut changes of metadata into parts whose vectors may be in memory at once."""
    part: list[Rekeying] = []
    for rekeying in rekeyings:
        part.append(rekeying)
        if sum(each.former.n_slices for each in part) >= _SLICES_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _pictures(scan: Filled, indexed: IndexedScan) -> list[tuple[str, bytes]]:
    """Keys and contents of the pictures of a scan."""
    generation = indexed.record.generation
    pictures = []
    for piece in scan.prepared.scan.slices:
        for key_of, content in ((thumbnail_key, piece.thumbnail), (preview_key, piece.preview)):
            if content is not None:
                key = key_of(scan.object_key, generation, slice_index=piece.index)
                pictures.append((key, content))
    return pictures
