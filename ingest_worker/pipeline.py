"""The ingest of objects: the one pipeline that commands, watchers and workers share.

Each object goes through the steps of docs/design.md in their order. Objects are fetched and
decoded ahead in child processes, encoded in groups by the caller's thread, and committed beside
that by another, so that none of the three waits for the others.

An object is encoded once however often the process is killed, but for those that were not
committed yet. What was being worked on when a worker died is tried again with nothing beside it,
after everything else: only a scan that kills its worker each time is quarantined for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import islice, takewhile
from threading import Event
from typing import TYPE_CHECKING

from encoder.inference import Encoded
from encoder.look_ahead import in_order
from encoder.model_errors import EncoderError
from encoder.sandbox.scratch import ScratchFolder
from infra.logs import carried
from infra.lookup import records_of
from infra.metrics import busy
from infra.quarantine import ENCODER_FAULT
from ingest_worker.committing import Committer
from ingest_worker.filling import encode_group
from ingest_worker.outcomes import Deferred, Outcome, Quarantined, Unchanged
from ingest_worker.preparing import CHANGED, Preparer, Request
from ingest_worker.refusing import refusal
from ingest_worker.steps import Change, Filled, Prepared, Step, Suspect

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from infra.indexing.records import ScanRecord
    from ingest_worker.context import IngestContext
    from ingest_worker.writing import Again

GROUP_SLICES = 128
"""Slices that are gathered before they are encoded: what a kill -9 loses, and what a search that
runs meanwhile can't find yet."""

_GROUP_BYTES = 96 << 20
"""Slices with their pictures that are gathered, in bytes."""

_RECORDS_AT_ONCE = 256
_LEAST_BYTES = 1 << 20
"""What a result counts at least while it waits: no more than a few hundred are decoded ahead."""

_BROKEN_ENCODER = 8
"""Scans that fail together, and none succeeds: then it is not they that are to blame."""

_ENDING_SECONDS = 5.0

_ROUNDS = 3
"""Times that an object which changed while it was ingested is ingested again."""


def ingest_objects(
    keys: Iterable[str],
    context: IngestContext,
    *,
    is_forced: bool = False,
    stop: Event | None = None,
) -> Generator[Outcome, None, None]:
    """Bring the index up to date with some objects.

    Args:
        keys: Keys of scans, those of removed ones too.
        context: What ingest needs.
        is_forced: Index them again even if nothing changed.
        stop: No further ones are begun once it is set; what was begun is ended.

    Yields:
        What became of each, as soon as it is settled, in no particular order.

    Raises:
        LithoscopeError: A service stayed away or refuses, or the disk is full: what was told
            stands, the rest is taken up by the next run.
    """
    with _Run(context, is_forced=is_forced, stop=stop or Event()) as run:
        yield from run.ingest(keys)


def ingest_object(key: str, context: IngestContext) -> Outcome:
    """Bring the index up to date with one object.

    Raises:
        LithoscopeError: As `ingest_objects`.
    """
    (outcome,) = ingest_objects([key], context)
    return outcome


class _Run:
    """One call of the pipeline."""

    def __init__(self, context: IngestContext, *, is_forced: bool, stop: Event) -> None:
        self._context = replace(context, patience=replace(context.patience, stop=Event()))
        self._is_forced = is_forced
        self._stop = stop
        self._group: list[Prepared] = []
        self._suspects: list[Suspect] = []
        self._running: set[Future[Step]] = set()
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        folder = self._context.site.settings.home / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        scratch = ScratchFolder(folder)
        self._closing.callback(scratch.remove)
        self._preparer = Preparer(self._context, scratch)
        self._closing.callback(self._preparer.close)
        self._n_running = 2 * self._context.pool.workers
        self._prepares = ThreadPoolExecutor(
            self._n_running, thread_name_prefix="prepare", initializer=carried()
        )
        self._closing.callback(self._end_preparing)
        self._committer = Committer(self._context, self._preparer.clear)
        self._closing.callback(self._committer.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._context.patience.stop.set()
        self._closing.close()

    def ingest(self, keys: Iterable[str]) -> Iterator[Outcome]:
        requests = self._requests(keys, is_forced=self._is_forced)
        yield from self._together(takewhile(lambda _: not self._stop.is_set(), requests))
        yield from self._one_by_one()
        again = self._committer.drain()
        yield from self._committer.outcomes()
        for _ in range(_ROUNDS):
            if not again:
                return
            yield from self._together(self._requests_again(again))
            yield from self._one_by_one()
            again = self._committer.drain()
            yield from self._committer.outcomes()
        for each in again:
            yield Deferred(object_key=each.object_key, reason=CHANGED)

    def _requests(self, keys: Iterable[str], *, is_forced: bool) -> Iterator[Request]:
        remaining = iter(keys)
        while part := tuple(islice(remaining, _RECORDS_AT_ONCE)):
            records = self._records(part)
            for key in part:
                yield Request(object_key=key, record=records.get(key), is_forced=is_forced)

    def _requests_again(self, again: list[Again]) -> Iterator[Request]:
        forced = {each.object_key for each in again if each.is_forced}
        for request in self._requests([each.object_key for each in again], is_forced=False):
            yield replace(request, is_forced=request.object_key in forced)

    def _records(self, keys: Sequence[str]) -> dict[str, ScanRecord]:
        look = partial(records_of, self._context.collection, keys)
        return self._context.patience.keep_trying(look)

    def _together(self, requests: Iterable[Request]) -> Iterator[Outcome]:
        steps = in_order(requests, self._submit, n_running=self._n_running, nbytes=_nbytes)
        with closing(steps):
            for _, step in steps:
                yield from self._take(step.result())
        self._encode()
        yield from self._committer.outcomes()

    def _submit(self, request: Request) -> Future[Step]:
        step = self._prepares.submit(self._preparer.prepare, request)
        self._running.add(step)
        step.add_done_callback(self._running.discard)
        return step

    def _end_preparing(self) -> None:
        """End the threads; a decoder that hangs is left to those who close the pool."""
        self._prepares.shutdown(wait=False, cancel_futures=True)
        wait(set(self._running), timeout=_ENDING_SECONDS)

    def _one_by_one(self) -> Iterator[Outcome]:
        """Take up what was being worked on when a worker died, the least suspect first."""
        suspects, self._suspects = self._suspects, []
        for suspect in sorted(suspects, key=lambda each: each.attempts):
            if self._stop.is_set():
                return
            (request,) = self._requests([suspect.object_key], is_forced=self._is_forced)
            yield from self._take(self._preparer.prepare(replace(request, is_alone=True)))
            self._encode()

    def _take(self, step: Step) -> Iterator[Outcome]:
        match step:
            case Prepared():
                self._group.append(step)
                if self._is_full():
                    self._encode()
            case Suspect():
                self._suspects.append(step)
            case Unchanged() | Quarantined() | Deferred():
                yield step
            case _:
                self._committer.put(step)
        yield from self._committer.outcomes()

    def _is_full(self) -> bool:
        slices = sum(len(each.scan.slices) for each in self._group)
        return slices >= GROUP_SLICES or sum(each.nbytes for each in self._group) >= _GROUP_BYTES

    def _encode(self) -> None:
        """Encode what was gathered; from here on no scan can be to blame for a dying worker."""
        group, self._group = self._group, []
        if not group:
            return
        session = self._context.session
        with busy(session.device.type):
            results = encode_group(group, session)
        errors = [result for result in results if isinstance(result, EncoderError)]
        if len(errors) == len(group) >= _BROKEN_ENCODER:
            raise errors[0]
        for scan, result in zip(group, results, strict=True):
            self._committer.put(self._change(scan, result))
        self._preparer.clear([scan.object_key for scan in group])

    def _change(self, scan: Prepared, result: Encoded | EncoderError) -> Change:
        if isinstance(result, Encoded):
            return Filled(prepared=scan, encoded=result)
        return refusal(
            self._context, scan.stat, fault=ENCODER_FAULT, reason=str(result), tried=scan.tried
        )


def _nbytes(step: Step) -> int:
    return max(step.nbytes, _LEAST_BYTES) if isinstance(step, Prepared) else 0
