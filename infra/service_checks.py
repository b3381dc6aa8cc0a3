"""Asks the services that one service needs whether they answer; what hangs keeps nobody waiting."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHECK_SECONDS = 5.0
"""Time that each service has to answer."""

KEPT_SECONDS = 5.0
"""Time that an answer holds, however often it is asked for."""

_LOG = logging.getLogger(__name__)


class Readiness:
    """Asks the services that one service needs; any thread may."""

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        """Use checks.

        Args:
            checks: Called by the service's name; one that raises tells that it is away.
        """
        self._checks = [_Check(name, call) for name, call in checks.items()]
        self._lock = threading.Lock()
        self._away: tuple[str, ...] = ()
        self._asked: float | None = None

    def away(self) -> tuple[str, ...]:
        """Names of the services that don't answer; asked for at most once in a few seconds."""
        with self._lock:
            if self._asked is None or time.monotonic() - self._asked >= KEPT_SECONDS:
                self._away = self._ask()
                self._asked = time.monotonic()
            return self._away

    def _ask(self) -> tuple[str, ...]:
        deadline = time.monotonic() + CHECK_SECONDS
        for check in self._checks:
            check.begin()
        return tuple(check.name for check in self._checks if not check.is_well(deadline))


class _Check:
    """One service, asked in a thread: never by a second one while the first waits."""

    def __init__(self, name: str, call: Callable[[], object]) -> None:
        self.name = name
        self._call = call
        self._thread = threading.Thread()  # replaced by the first question
        self._fault: str | None = None
        self._told: str | None = None

    def begin(self) -> None:
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=f"ask {self.name}", daemon=True)
            self._thread.start()

    def is_well(self, deadline: float) -> bool:
        """Wait for the answer; what is wrong is logged once, until it is another or nothing."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        fault = f"no answer in {CHECK_SECONDS:g} s" if self._thread.is_alive() else self._fault
        if fault is not None and fault != self._told:
            _LOG.warning("%s is away: %s", self.name, fault)
        elif fault is None and self._told is not None:
            _LOG.warning("%s answers again", self.name)
        self._told = fault
        return fault is None

    def _run(self) -> None:
        self._fault = "failed"  # stands where it raises what nobody expects
        try:
            self._call()
        except (LithoscopeError, OSError) as error:
            self._fault = one_line(error)
        else:
            self._fault = None
