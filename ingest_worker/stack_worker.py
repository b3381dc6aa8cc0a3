"""What a worker of the stack has open, and what it does with a batch of scans.

A worker serves whichever collections there are: the live one, and one that is being filled. Each
needs its model and its decoding processes, which are opened with the first batch for it and closed
once it is neither any more. So models are published, switched and dropped without a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from infra.broker import BrokerError
from infra.bucket_metadata import BucketMetadata, table_etags
from infra.fed_collections import LIVE, fed_collections
from infra.metrics import tell_models
from infra.model_versions import ModelRegistryError
from infra.site import open_site
from infra.task_queue import TaskQueue
from ingest_worker.faults import OWN_FAULTS, Faults
from ingest_worker.models import Target, open_context, rehearse
from ingest_worker.patience import Patience
from ingest_worker.patient_attempts import PatientAttempts
from ingest_worker.tally import OUTCOME_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from infra.settings import Settings
    from infra.site import Site
    from ingest_worker.context import IngestContext
    from ingest_worker.outcomes import Outcome

PATIENCE = Patience(total_seconds=120.0)
"""A worker waits for so long within a task: nothing else that it might do would go better."""

LOOK_SECONDS = 60.0
"""Whether what is open is still needed is asked at least so often."""

FORMER = "former"
"""What a collection is that is open and not fed."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Scans that a task is about.

    Attributes:
        keys: Their keys.
        collection: Name of the collection that is to be brought up to date with them.
        is_suspect: Whether a worker had them before and did not come to an end: then each is worked
            on alone, so that one that kills its worker harms no other.
        is_bulk: Whether they are not new, but what a new collection misses.
    """

    keys: tuple[str, ...]
    collection: str
    is_suspect: bool = False
    is_bulk: bool = False


class StackWorker:
    """One worker process. A context manager; for one batch at a time, others wait.

    Attributes:
        settings: What it was started with.
        queue: The stack's queues.
        stopping: Set once the process is to end: what was begun is ended, and no more.
        faults: How it fares.
        on_progress: Called with each scan that was settled.
    """

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet: services may come up later than their workers.

        Raises:
            SettingsError: No broker is set.
        """
        self.settings = settings
        self.queue = TaskQueue(settings)
        self.stopping = threading.Event()
        self.faults = Faults(self.stopping)
        self.on_progress: Callable[[], None] = lambda: None
        self._working = threading.Lock()
        self._opening = threading.Lock()
        self._closing = ExitStack()
        self._fillings: dict[str, _Filling] = {}
        self._looked = 0.0

    @property
    def site(self) -> Site:
        """The site, opened on first use; any thread may ask.

        Raises:
            StoreAwayError: The object store does not answer.
            StoreRefusedError: The account is wrong or may not.
        """
        with self._opening:
            return self._site

    @cached_property
    def _site(self) -> Site:
        return self._closing.enter_context(open_site(self.settings))

    def encode(self, batch: Batch) -> dict[str, int]:
        """Bring a collection up to date with some scans.

        Returns:
            Number of scans by outcome; none if the collection is not there any more. What was
            not begun when the worker was told to stop is sent again.

        Raises:
            StoreAwayError: The object store stayed away: the batch is to be done again.
            IndexUnavailableError: The index did.
            BrokerAwayError: The broker did.
            LithoscopeError: This worker can't: others may, so it is to be done again. So it is
                after an `OSError`, `RuntimeError` or `MemoryError`.
        """
        began = PATIENCE.keep_trying(self.queue.now)
        settled: list[str] = []
        counts: Counter[str] = Counter()
        with self._working:
            try:
                for outcome in self._outcomes(batch):
                    settled.append(outcome.object_key)
                    self.on_progress()
                    counts[OUTCOME_NAMES[type(outcome)]] += 1
            except OWN_FAULTS:
                self._settle(settled, batch.collection, began=began)
                raise
            self._settle(batch.keys, batch.collection, began=began)
        if self.stopping.is_set():
            left = set(batch.keys) - set(settled)
            keys = [key for key in batch.keys if key in left]
            self.queue.send(keys, collection=batch.collection, bulk=batch.is_bulk)
        return dict(counts)

    def open_live(self) -> str | None:
        """Open the live collection and its model now, not with the first batch for it.

        Returns:
            Its name if it was opened; None if it was open, if there is none, or while there is a
            batch to be worked on, which opens what it needs.

        Raises:
            StoreAwayError: The object store does not answer.
            IndexUnavailableError: The index does not.
            LithoscopeError: The model is missing or damaged.
        """
        name = self.site.index.live()
        if name is None or not self._working.acquire(blocking=False):
            return None
        try:
            filling = self._filling(name)
            if filling is None or filling.is_open:
                return None
            try:
                rehearse(filling.context_now())
            except OWN_FAULTS:
                self._close_filling(name)  # the next look is to begin anew, not to find it open
                raise
            return name
        finally:
            self._working.release()

    def close(self) -> None:
        """Let go of everything that was opened."""
        with ExitStack() as stack:
            stack.callback(self.queue.close)
            stack.callback(self._closing.close)
            for name in list(self._fillings):
                stack.callback(self._close_filling, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outcomes(self, batch: Batch) -> Iterator[Outcome]:
        from ingest_worker.measuring import measured  # noqa: PLC0415  torch
        from ingest_worker.pipeline import ingest_objects  # noqa: PLC0415  torch

        filling = self._filling(batch.collection)
        if filling is None:
            _LOG.warning(
                "collection %s: not there any more; %d scans were to be indexed in it, and need "
                "not be",
                batch.collection,
                len(batch.keys),
            )
            return
        context = filling.context_now()
        is_fresh = not batch.is_bulk and self.site.index.live() == batch.collection
        groups = [(key,) for key in batch.keys] if batch.is_suspect else [batch.keys]
        for keys in groups:
            yield from measured(
                ingest_objects(keys, context, stop=self.stopping), is_fresh=is_fresh
            )

    def _settle(self, keys: list[str] | tuple[str, ...], collection: str, *, began: float) -> None:
        try:
            self.queue.settle(keys, collection=collection, began=began)
        except BrokerError as error:  # it is a hint, and the queue's order corrects it
            _LOG.warning("%s", error)

    def _filling(self, name: str) -> _Filling | None:
        """What filling a collection needs; None where there is no such collection or model."""
        site = self.site
        if name not in site.index.collections():
            self._close_filling(name)
            return None
        is_new = name not in self._fillings
        if is_new:
            try:
                version = site.models.of_collection(name)
            except ModelRegistryError as error:
                if name in fed_collections(site):
                    raise  # it can't be read here and now, and is needed
                _LOG.warning("%s", error)
                return None
            target = Target(
                site=self._counting_site(name),
                version=version,
                collection=site.index.open(name),
                is_live=fed_collections(site).get(name) == LIVE,
            )
            self._fillings[name] = _Filling(target)
        if is_new or time.monotonic() - self._looked > LOOK_SECONDS:
            self._close_what_is_not_needed(name)
        return self._fillings[name]

    def _counting_site(self, name: str) -> Site:
        site = self.site.counting(name)
        site.attempts = PatientAttempts(site.attempts, PATIENCE)
        return site

    def _close_what_is_not_needed(self, name: str) -> None:
        roles = fed_collections(self.site)
        for other in set(self._fillings) - roles.keys() - {name}:
            _LOG.info("collection %s: not fed any more; closed", other)
            self._close_filling(other)
        tell_models(
            {
                filling.target.version.bundle_id: roles.get(each, FORMER)
                for each, filling in self._fillings.items()
            }
        )
        self._looked = time.monotonic()

    def _close_filling(self, name: str) -> None:
        filling = self._fillings.pop(name, None)
        if filling is not None:
            filling.close()


class _Filling:
    """A collection that is filled, with its model and its decoding processes."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._closing = ExitStack()
        self._context: IngestContext | None = None

    @property
    def is_open(self) -> bool:
        """Whether its model is loaded."""
        return self._context is not None

    def context_now(self) -> IngestContext:
        """What ingest needs, with the bucket's tables as they are now."""
        objects = self.target.site.objects
        if self._context is None:
            metadata = BucketMetadata.read(objects)
            opened = self._closing.enter_context(open_context(self.target, metadata))
            self._context = replace(opened, patience=PATIENCE)
        elif self._has_other_tables(table_etags(objects)):
            self._context = replace(self._context, metadata=BucketMetadata.read(objects))
        return self._context

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self.target.site.attempts.close)
            stack.callback(self._closing.close)

    def _has_other_tables(self, etags: Mapping[str, str]) -> bool:
        return self._context is not None and self._context.metadata.etags != etags
