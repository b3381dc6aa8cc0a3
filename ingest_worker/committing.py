"""Writing beside the encoding: a thread that takes all that waits, and commits it together.

The quicker scans come, the more of them share one commit, which is what takes the time on small
indexes; a scan that comes alone is committed at once.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.logs import carried
from infra.metrics import timed
from ingest_worker.writing import Again, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest_worker.context import IngestContext
    from ingest_worker.outcomes import Outcome
    from ingest_worker.steps import Change

_BATCH_CHANGES = 512
_BATCH_BYTES = 128 << 20
_WAITING_CHANGES = 1024
_WAITING_BYTES = 192 << 20


class Committer:
    """Writes changes in their order, in a thread of its own."""

    def __init__(self, context: IngestContext, settled: Callable[[list[str]], None]) -> None:
        """Start the thread.

        Args:
            context: What ingest needs.
            settled: Told the keys of objects that were written.
        """
        self._writer = Writer(context)
        self._settled = settled
        self._inbox: deque[Change] = deque()
        self._waiting_bytes = 0
        self._is_writing = False
        self._is_closed = False
        self._outcomes: deque[Outcome] = deque()
        self._again: list[Again] = []
        self._changed = threading.Condition()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="committer", initializer=carried())
        self._work = self._thread.submit(self._run)
        self._work.add_done_callback(self._tell)

    def put(self, change: Change) -> None:
        """Hand over a change; waits while too many wait.

        Raises:
            LithoscopeError: A former change could not be written, and nothing further is.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._work.done() or self._has_room())
            self._raise()
            self._inbox.append(change)
            self._waiting_bytes += _nbytes(change)
            self._changed.notify_all()

    def outcomes(self) -> list[Outcome]:
        """What was written since this was asked last.

        Raises:
            LithoscopeError: As `put`.
        """
        with self._changed:
            found = list(self._outcomes)
            self._outcomes.clear()
            if not found:
                self._raise()
            return found

    def drain(self) -> list[Again]:
        """Wait until all is written.

        Returns:
            Objects that are to be looked at again.

        Raises:
            LithoscopeError: As `put`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._work.done() or not (self._inbox or self._is_writing)
            )
            self._raise()
            again, self._again = self._again, []
            return again

    def close(self) -> None:
        """Write what waits, unless something could not be written, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.shutdown()
        self._writer.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            with timed("commit"):
                results = self._writer.write(batch)
            self._settled([change.object_key for change in batch])
            with self._changed:
                self._again += [each for each in results if isinstance(each, Again)]
                self._outcomes += [each for each in results if not isinstance(each, Again)]
                self._is_writing = False
                self._changed.notify_all()

    def _tell(self, _: object) -> None:
        """Wake whoever waits for writing that has ended."""
        with self._changed:
            self._changed.notify_all()

    def _next_batch(self) -> list[Change]:
        """Wait for changes; none of two are of one object, so that their order is kept."""
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._is_closed)
            batch: list[Change] = []
            nbytes = 0
            keys: set[str] = set()
            while (
                self._inbox
                and len(batch) < _BATCH_CHANGES
                and nbytes < _BATCH_BYTES
                and self._inbox[0].object_key not in keys
            ):
                change = self._inbox.popleft()
                batch.append(change)
                keys.add(change.object_key)
                nbytes += _nbytes(change)
            self._waiting_bytes -= nbytes
            self._is_writing = bool(batch)
            self._changed.notify_all()
            return batch

    def _has_room(self) -> bool:
        return len(self._inbox) < _WAITING_CHANGES and self._waiting_bytes < _WAITING_BYTES

    def _raise(self) -> None:
        if self._work.done():
            self._work.result()


def _nbytes(change: Change) -> int:
    return getattr(change, "nbytes", 0)
