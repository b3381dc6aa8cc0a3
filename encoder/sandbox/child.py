"""The main program of a sandbox's child process: runs functions and sends back what they return.

A job is a pickled ``(function, arguments)``; its answer is a pickled ``Answer``.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from encoder.errors import LithoscopeError

READY = b"ready"
"""What a child says once it can take jobs."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a job.

    Attributes:
        value: What the function returned.
        error: The function's own complaint about its input.
        failure: Any other exception, in one line.
        traceback: Where that one was raised.
        out_of_memory: Whether that one was that memory ran out.
        worn: Whether the child holds on to so much memory that it should be replaced.
    """

    value: Any = None
    error: LithoscopeError | None = None
    failure: str | None = None
    traceback: str = ""
    out_of_memory: bool = False
    worn: bool = False


def main(
    *, parent: int, memory_bytes: int, pipes: tuple[int, int], scratch: str, preload: list[str]
) -> None:
    """Serve jobs until the parent closes its end of the pipe or dies.

    Args:
        parent: Process id of the parent.
        memory_bytes: Limit of the data that this process may hold.
        pipes: Handles that jobs are read from and answers are written to.
        scratch: Folder for temporary files, emptied after every job.
        preload: Modules to import before the first job, so that its time isn't spent on them.
    """
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Data, not address space: file-backed mappings of lazy volumes are no burden.
    memory_bytes = _limit_data(memory_bytes)
    for module in preload:
        importlib.import_module(module)
    worn_at = (_data_bytes() + memory_bytes) // 2
    inbox = Connection(pipes[0], writable=False)
    outbox = Connection(pipes[1], readable=False)
    outbox.send_bytes(READY)
    _silence_libraries()
    tempfile.tempdir = scratch
    # Jobs run in a thread of their own, so that the main one sees at once when the parent is gone,
    # and so that every exception of a job, whatever its type, is handed over by its future.
    jobs = ThreadPoolExecutor(max_workers=1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = inbox.recv_bytes()
            jobs.submit(_run, job, Path(scratch), worn_at=worn_at).add_done_callback(
                partial(_answer, outbox)
            )
    os._exit(0)


def _limit_data(memory_bytes: int) -> int:
    """Limit this process's data, to less where it may have less already; return the limit."""
    _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
    most = sys.maxsize if allowed == resource.RLIM_INFINITY else allowed
    limit = min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit


def _run(job: bytes, scratch: Path, *, worn_at: int) -> bytes:
    """Run a job and pickle its answer, which may take much memory too."""
    try:
        function, arguments = pickle.loads(job)  # noqa: S301  it comes from the parent
        value = function(*arguments)
        return pickle.dumps(Answer(value=value, worn=_data_bytes() > worn_at), protocol=5)
    except LithoscopeError as error:
        return pickle.dumps(Answer(error=error, worn=_data_bytes() > worn_at))
    finally:
        _remove_contents(scratch)


def _answer(outbox: Connection, job: Future[bytes]) -> None:
    error = job.exception()
    outbox.send_bytes(job.result() if error is None else pickle.dumps(_describe(error)))


def _describe(error: BaseException) -> Answer:
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return Answer(
        failure=text if len(text) <= 200 else f"{text[:199]}…",
        traceback="".join(traceback.format_exception(error)),
        out_of_memory=isinstance(error, MemoryError),
        worn=isinstance(error, MemoryError),
    )


def _data_bytes() -> int:
    """Memory that counts against the limit; 0 where the system doesn't tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[5]) * resource.getpagesize()


def _remove_contents(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def die_with(parent: int) -> None:
    """End with the parent even while a C library holds on to the interpreter (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _silence_libraries() -> None:
    """Keep C libraries' warnings from being piled up, but not the last words of a crash."""
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
