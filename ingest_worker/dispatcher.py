"""From the bucket's events to the workers' tasks, so that no event is lost whoever dies.

An event is a hint that a key is to be looked at: what becomes of it is seen by the worker who
looks. So events may be passed on twice, late, or out of order, but not never: an entry of the
journal is done only once its tasks are in the queue.

Nor may events fill the broker: a full one takes nothing, not even what its workers need to empty
it. Where too much waits, events are let go, and a sweep finds later what they told.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.object_keys import SCANS_PREFIX
from infra.broker import BrokerFullError
from infra.bucket_metadata import METADATA_PREFIX
from infra.metrics import tell_event
from infra.store_keys import is_hidden
from infra.task_names import ENCODE, SWEEP
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

_LET_GO_AT_ONCE = 10_000
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
    _owes_sweep: bool = False

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
            except BrokerFullError as error:
                self._is_sure = False
                if not self._make_room(error):
                    stop.wait(_LONGEST_WAIT)  # it is full of what is not ours
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
            if self._owes_sweep:
                self.journal.owe_sweep()
            else:
                self._owes_sweep = self.journal.owes_sweep()
            self._is_sure = True
        if self._owes_sweep:
            self._pay_sweep()
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
            if self._has_room(scans):
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

    def _has_room(self, scans: Sequence[str]) -> bool:
        """Whether scans may be sent; once the mark is passed, not before much was done."""
        if self._owes_sweep or not scans:
            return not self._owes_sweep
        waiting = self.queue.waiting(ENCODE).keys
        if waiting >= self.work.high_water:
            _LOG.warning(
                "%d scans wait, with %d as the limit: events are let go, and a sweep finds what "
                "they tell; start more workers",
                waiting,
                self.work.high_water,
            )
            self._owes_sweep = True
            self.journal.owe_sweep()  # should this dispatcher die, the next one owes it
        return not self._owes_sweep

    def _pay_sweep(self) -> None:
        """Ask for a sweep in place of the events that were let go, once there is room for it."""
        if 2 * self.queue.waiting(ENCODE).keys < self.work.high_water:
            self.queue.request(SWEEP)
            self.journal.sweep_is_asked_for()
            self._owes_sweep = False

    def _make_room(self, error: BrokerFullError) -> bool:
        """Let events of a full broker go: nobody else could take anything from it."""
        try:
            count = self.journal.let_go(_LET_GO_AT_ONCE)
        except AWAY as other:
            _LOG.warning("%s", other)
            return False
        self._owes_sweep = self._owes_sweep or count > 0  # the next step keeps it in mind
        _LOG.error("%s; %d events are let go, and a sweep finds what they told", error, count)
        return count > 0

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
