"""Opening the live model before there is work for it, so that no upload has to wait for that."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError, one_line
from ingest_worker.faults import OWN_FAULTS, WorkerFaultError
from ingest_worker.patience import AWAY

if TYPE_CHECKING:
    from typing import Self

    from ingest_worker.stack_worker import StackWorker

LOOK_SECONDS = 5.0
"""Whether another model has become live is asked so often."""

_LOG = logging.getLogger(__name__)


class Warming:
    """Keeps a worker's live model open, from a thread of its own. A context manager."""

    def __init__(
        self, worker: StackWorker, *, is_wanted: bool = True, seconds: float = LOOK_SECONDS
    ) -> None:
        """Prepare it.

        Args:
            worker: Whose model.
            is_wanted: Whether the worker takes uploads at all; else nothing is opened.
            seconds: Time between two looks.
        """
        self._worker = worker
        self._is_wanted = is_wanted
        self._seconds = seconds
        self._fault: LithoscopeError | None = None
        self._has_ended = False
        self._started = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="open the model", daemon=True)

    def has_started(self) -> bool:
        """Whether the first look is over: the live model is open, or there is a reason why not."""
        return self._started.is_set()

    def check(self) -> None:
        """Say whether the live model can be opened, as far as is known.

        Raises:
            LithoscopeError: It can't, as long as something else does not change.
        """
        if (fault := self._fault) is not None:
            raise fault
        if self._has_ended:
            raise WorkerFaultError(
                "worker: looks after its live model no more, for a reason that its log tells; "
                "start it again"
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._is_wanted and not self._stop.is_set():
                self._look()
                self._started.set()
                self._stop.wait(self._seconds)
        finally:
            self._has_ended = self._is_wanted and not self._stop.is_set()
            self._started.set()

    def _look(self) -> None:
        try:
            opened = self._worker.open_live()
        except AWAY as error:  # readiness tells which service it is
            _LOG.debug("%s", error)
        except OWN_FAULTS as error:
            fault = _told(error)
            if str(fault) != str(self._fault):
                _LOG.error("%s", fault)
            self._fault = fault
        else:
            self._fault = None
            if opened is not None:
                _LOG.info("collection %s: its model is open", opened)


def _told(error: Exception) -> LithoscopeError:
    """A fault with its remedy: of a full disk or a broken device the error knows none."""
    if isinstance(error, LithoscopeError):
        return error
    told = one_line(error)
    return WorkerFaultError(f"worker: the live model can't be opened ({told}); mend what it says")
