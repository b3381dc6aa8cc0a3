"""A worker's own faults, for which no scan is to blame: a full disk, a broken device.

A worker that fails at once takes tasks faster than those that work, and would empty the queue. So
after each failure it stands back, longer each time, and leaves the work to others until it succeeds
again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError, one_line

if TYPE_CHECKING:
    import threading

OWN_FAULTS = (LithoscopeError, OSError, RuntimeError, MemoryError)
"""Errors of a worker; those of scans are outcomes. PyTorch's are runtime errors."""

FAULTY_AFTER = 3
"""After so many failures in a row a worker is not well; fewer may be due to what it was given."""

_LOG = logging.getLogger(__name__)


class WorkerFaultError(LithoscopeError):
    """A worker fails whatever it is given."""


class Faults:
    """Failures in a row of a worker, told to any thread."""

    def __init__(
        self, stop: threading.Event, *, first_seconds: float = 1.0, longest_seconds: float = 60.0
    ) -> None:
        """Begin without any.

        Args:
            stop: Ends all standing back when it is set.
            first_seconds: Pause after the first failure; each further one is twice as long.
            longest_seconds: Longest pause.
        """
        self._stop = stop
        self._first = first_seconds
        self._longest = longest_seconds
        self._count = 0
        self._last = ""

    @property
    def is_well(self) -> bool:
        """Whether it did not fail again and again."""
        return self._count < FAULTY_AFTER

    def check(self) -> None:
        """Say whether the worker is well.

        Raises:
            WorkerFaultError: It failed again and again.
        """
        if not self.is_well:
            raise WorkerFaultError(
                f"worker: failed {self._count} times in a row; mend what it says: {self._last}"
            )

    def succeed(self) -> None:
        """Note that the worker did what it was given."""
        self._count = 0

    def stand_back(self, error: BaseException) -> None:
        """Note a failure, and pause: what failed should be given back to the others before."""
        self._last = one_line(error)
        pause = min(self._first * 2**self._count, self._longest)
        self._count = min(self._count + 1, 100)
        _LOG.error("%s; standing back for %.0f s", self._last, pause)
        self._stop.wait(pause)
