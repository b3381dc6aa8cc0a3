"""Opening the live model before there is work for it, so that no upload has to wait for that."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
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
            self._started.set()

    def _look(self) -> None:
        try:
            opened = self._worker.open_live()
        except AWAY as error:  # readiness tells which service it is
            _LOG.debug("%s", error)
        except LithoscopeError as error:
            if str(error) != str(self._fault):
                _LOG.error("%s", error)
            self._fault = error
        else:
            self._fault = None
            if opened is not None:
                _LOG.info("collection %s: its model is open", opened)
