"""Runs functions on files that aren't trusted in child processes with limits.

A crash, a hang or a blow-up of a C library is then an exception of that call, and the sandbox goes
on with a fresh child. Why not a library's process pool: pebble's becomes unusable when an idle
worker dies and its workers share locked pipes; every pool on ``multiprocessing`` imports the
caller's main module into its children (for our commands, torch) and sets their environment too
late for BLAS. Here every child has two plain pipes of its own and a given environment; no socket
is opened.

Children are limited in memory, die with the parent (even if that is killed) and keep temporary
files in a folder that is removed with them. This guards against accidents, not against an attacker
who runs code of his own inside a decoder.
"""

from __future__ import annotations

import logging
import pickle
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple

from encoder.errors import LithoscopeError
from encoder.sandbox.process import (
    ChildCrashed,
    ChildFailure,
    ChildOutOfMemory,
    ChildProcess,
    ChildRaised,
    DecodeLimits,
)
from encoder.sandbox.scratch import ScratchFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

logger = logging.getLogger(__name__)

_CLOSED = "decoder: the pool of child processes is closed; open a new one"


class Sandbox:
    """A pool of child processes for functions that may crash, hang or take all memory.

    Any thread may call it. Children start with the first calls and are replaced when they fail.
    """

    def __init__(
        self, workers: int, limits: DecodeLimits, *, preload: tuple[str, ...] = ()
    ) -> None:
        """Prepare the pool.

        Args:
            workers: Child processes, at most.
            limits: What each may take.
            preload: Modules that children import before their first call.
        """
        self._limits = limits
        self._preload = preload
        self._scratch = ScratchFolder()
        self._lock = threading.Lock()
        self._closed = False
        self._children: set[ChildProcess] = set()
        self._idle: list[ChildProcess] = []
        self._keepers = ThreadPoolExecutor(
            max_workers=workers,
            thread_name_prefix="sandbox",
            initializer=signal.pthread_sigmask,  # children inherit it: Ctrl-C is the parent's
            initargs=(signal.SIG_BLOCK, {signal.SIGINT}),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, function: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        """Run a function in a child as soon as one is free.

        Args:
            function: A function of an importable module.
            *args: Its arguments, picklable.

        Returns:
            Future of what it returns. Its exceptions: a LithoscopeError that the function raised,
            a ChildFailure, or LithoscopeError where no child can be started.

        Raises:
            LithoscopeError: The sandbox is closed.
        """
        job = pickle.dumps((function, args), protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            if self._closed:
                raise LithoscopeError(_CLOSED)
            return self._keepers.submit(self._serve, job)

    def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a function in a child and wait for what it returns: see ``submit``."""
        return self.submit(function, *args).result()

    def close(self) -> None:
        """Kill the children, whatever they do, and remove their temporary files."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()
        self._keepers.shutdown()  # what is queued ends with an error, see _serve
        for child in list(self._children):
            self._discard(child)
        self._scratch.remove()

    def _serve(self, job: bytes) -> Any:  # noqa: ANN401  whatever the job's function returns
        """Run a job, a second time where a former job may be to blame for its failure."""
        if self._closed:
            raise LithoscopeError(_CLOSED)
        child = self._idle_child() or self._new_child()
        has_history = child.calls > 0
        try:
            return self._call(child, job)
        except (ChildCrashed, ChildOutOfMemory) as failure:
            if self._closed:
                raise LithoscopeError(_CLOSED) from failure
            if not has_history:
                raise
            logger.debug("%s; trying again in a fresh child", failure)
        return self._call(self._new_child(), job)

    def _call(self, child: ChildProcess, job: bytes) -> Any:  # noqa: ANN401  see _serve
        answer = None
        try:
            answer = child.call(job, self._limits)
        finally:
            if answer is None or answer.worn:
                self._discard(child)
            else:
                self._idle.append(child)
        if answer.error is not None:
            raise answer.error
        if answer.failure is not None:
            logger.debug("in a child process: %s", answer.traceback)
            raise (ChildOutOfMemory if answer.out_of_memory else ChildRaised)(answer.failure)
        return answer.value

    def _idle_child(self) -> ChildProcess | None:
        """Take an idle child; there is at most one per keeper thread."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                child = self._idle.pop()
            if child.is_alive():
                return child
            self._discard(child)

    def _new_child(self) -> ChildProcess:
        with self._lock:
            if self._closed:
                raise LithoscopeError(_CLOSED)
            child = ChildProcess(self._scratch.subfolder(), self._limits, preload=self._preload)
            self._children.add(child)
        try:
            child.wait_until_ready()
        except ChildFailure as failure:
            self._discard(child)
            raise LithoscopeError(
                f"decoder: no child process can be started: {failure}; "
                f"check the installation, or raise the memory limit of "
                f"{self._limits.memory_bytes >> 20} MiB"
            ) from failure
        return child

    def _discard(self, child: ChildProcess) -> None:
        child.remove()
        with self._lock:
            self._children.discard(child)
