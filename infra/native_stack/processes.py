"""Processes of a native stack: each in a group of its own, found again, ended with all of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0
_OUR_SETTINGS = "LITHOSCOPE_"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told from a later one of the same number by when it began.

    Attributes:
        pid: Its number, and that of its group.
        created: When it began, in seconds since 1970.
    """

    pid: int
    created: float

    def is_alive(self) -> bool:
        """Whether it still runs; one that ended and was not asked for its exit status does not."""
        process = self._process()
        if process is None:
            return False
        try:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal to its whole group, if it is there."""
        if self._process() is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal_number)

    def end(self, seconds: float) -> bool:
        """Ask it to end, and kill it and what it began if it takes longer.

        Args:
            seconds: How long it may take.

        Returns:
            Whether it ended by itself.
        """
        if self.is_alive():
            self.send(signal.SIGCONT)
            # Only the process itself is asked: what it began is its own to end in order.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        ended = self._wait(seconds)
        self._kill_group()
        return ended

    def kill(self) -> None:
        """Kill it and what it began, at once."""
        self._kill_group()
        self._wait(_KILL_SECONDS)

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _kill_group(self) -> None:
        """Its group keeps its number as long as anything of it runs, so no other can have it."""
        members = [
            process
            for process in psutil.process_iter()
            if _group_of(process.pid) == self.pid and process.create_time() >= self.created - 1
        ]
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            began = process.create_time()
        except psutil.NoSuchProcess:
            return None
        return process if abs(began - self.created) < 1 else None


def start(
    command: tuple[str, ...], environment: Mapping[str, str], *, folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; what it prints is added to a log.

    Args:
        command: What to run.
        environment: Variables beside those of this process; settings of ours that this process
            has are not passed on.
        folder: Where it runs.
        log: Where its output goes.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_OUR_SETTINGS)
    }
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  commands of the compose file
            command,
            cwd=folder,
            env=inherited | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def identify(child: subprocess.Popen[bytes]) -> ProcessId:
    """Tell a child from later processes of its number."""
    try:
        return ProcessId(child.pid, psutil.Process(child.pid).create_time())
    except psutil.NoSuchProcess:  # ended already, and reaped
        return ProcessId(child.pid, 0.0)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
