"""From the bucket's events to the workers' tasks, so that no event is lost whoever dies.

An event is a hint that a key is to be looked at: what becomes of it is seen by the worker who
looks. So events may be passed on twice, late, or out of order, but not never: an entry of the
journal is done only once its tasks are in the queue.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.object_keys import SCANS_PREFIX
from infra.bucket_metadata import METADATA_PREFIX
from infra.metrics import tell_event
from infra.store_keys import is_hidden
from infra.task_names import SWEEP
from ingest_worker.events import EventError, last_by_key, read_entry
from ingest_worker.patience import AWAY

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from infra.event_journal import EventJournal
    from infra.settings_groups import WorkSettings
    from infra.task_queue import TaskQueue
    from ingest_worker.events import ObjectEvent

KNOWN_SECONDS = 2.0
"""Which collections are fed is asked for again after so long."""

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0
_SCANS = f"{SCANS_PREFIX}/"
_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Dispatcher:
    """Passes events on. One a journal is enough; a second one does double work, and no harm.

    Attributes:
        journal: Where the events are.
        queue: Where the tasks go.
        bucket: Events of other buckets are passed over.
        work: How large batches are.
        find_collections: Finds the collections that are fed: the live one, and the one that is
            being filled.
    """

    journal: EventJournal
    queue: TaskQueue
    bucket: str
    work: WorkSettings
    find_collections: Callable[[], Sequence[str]]
    _is_sure: bool = field(default=False)
    _collections: Sequence[str] = ()
    _asked: float | None = None
    _has_told: bool = False

    def run(self, stop: threading.Event) -> None:
        """Pass events on until told to stop; services that are away are waited for.

        Raises:
            BrokerError: The broker refuses: a wrong password, a journal of another kind.
            LithoscopeError: As the index or the store, but for being away.
        """
        wait = _FIRST_WAIT
        while not stop.is_set():
            try:
                self.step()
                wait = _FIRST_WAIT
            except AWAY as error:
                self._is_sure = False
                pause = wait * random.uniform(0.5, 1.0)  # noqa: S311  no secret
                _LOG.warning("%s; trying again in %.1f s", error, pause)
                stop.wait(pause)
                wait = min(2 * wait, _LONGEST_WAIT)

    def step(self) -> int:
        """Pass on what is there, or comes within a batch's time.

        Returns:
            Number of the journal's entries that were passed on.

        Raises:
            BrokerAwayError: The broker does not answer: nothing is lost, the next step begins with
                what was not passed on.
            StoreAwayError: Likewise.
            IndexUnavailableError: Likewise.
        """
        if not self._is_sure:  # a former reader, or we ourselves, may have left something
            if count := self.journal.recover():
                _LOG.info("%d events were taken and not passed on; taken up again", count)
            self._is_sure = True
        entries = self.journal.take(self.work.batch_seconds, self.work.batch_keys)
        if entries:
            self._is_sure = False
            self._pass_on(entries)
            self._is_sure = True
        return len(entries)

    def _pass_on(self, entries: list[bytes]) -> None:
        events, right, wrong = self._read(entries)
        scans = [event.key for event in events.values() if event.key.startswith(_SCANS)]
        has_tables = any(key.startswith(METADATA_PREFIX) for key in events)
        if collections := self._fed() if scans or has_tables else ():
            for name in collections:
                self.queue.send(scans, collection=name)
            if has_tables:
                self.queue.request(SWEEP)
        self.journal.done(right)
        self.journal.put_aside(wrong)
        for event in events.values():
            tell_event(event.kind.value, stored=event.time.timestamp())
        for _ in wrong:
            tell_event("damaged")

    def _read(
        self, entries: list[bytes]
    ) -> tuple[dict[str, ObjectEvent], list[bytes], list[bytes]]:
        """Events by key, and the entries that could be read and those that could not."""
        events: list[ObjectEvent] = []
        right, wrong = [], []
        for entry in entries:
            try:
                events += filter(self._is_ours, read_entry(entry))
            except EventError as error:
                _LOG.error("%s", error)
                wrong.append(entry)
            else:
                right.append(entry)
        return last_by_key(events), right, wrong

    def _is_ours(self, event: ObjectEvent) -> bool:
        """Whether an event is about what a comparison would look at, too."""
        return (
            event.bucket == self.bucket
            and event.key.startswith((_SCANS, METADATA_PREFIX))
            and not event.key.endswith("/")  # other tools' folders
            and not is_hidden(event.key)
        )

    def _fed(self) -> Sequence[str]:
        now = time.monotonic()
        if self._asked is None or now - self._asked > KNOWN_SECONDS:
            self._collections = self.find_collections()
            self._asked = now
        if not self._collections and not self._has_told:
            _LOG.warning(
                "no model is live: events are let go; a sweep finds all scans once one is published"
            )
        self._has_told = not self._collections
        return self._collections
