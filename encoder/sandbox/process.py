"""A child process as its parent sees it: what it may take, what it is told, how it ends."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from encoder.sandbox.child import READY, Answer

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
"""Time for a child to start: imports on a cold, busy disk."""

LONGEST_SECONDS = 2_000_000.0
"""Longest time (23 days) that is kept: systems count milliseconds in 31 bits."""

_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "BLOSC_NTHREADS",
        "TIFFFILE_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    ),
    "1",
)


class ChildFailure(Exception):  # noqa: N818  a base class; its kinds below name the error
    """A function that was run in a child process gave no result."""


class ChildCrashed(ChildFailure):
    """The child ended, by a signal or by itself."""


class ChildTimedOut(ChildFailure):
    """The child took longer than allowed and was killed."""


class ChildOutOfMemory(ChildFailure):
    """The child needed more memory than allowed."""


class ChildRaised(ChildFailure):
    """The function raised an exception that isn't one of ours; the text names it in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What a child may take.

    Attributes:
        memory_bytes: Data that it may hold, libraries' (about 0.1 GB) included, files mapped
            from disk not.
        seconds: Time for one call; infinity, or anything beyond `LONGEST_SECONDS`, for no limit.
    """

    memory_bytes: int = 2 << 30
    seconds: float = 120.0

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep.

        Raises:
            ValueError: A limit is not above 0.
        """
        if self.memory_bytes < 1 or not self.seconds > 0:
            raise ValueError(f"memory_bytes and seconds must be above 0, not {self}")


class ChildProcess:
    """A child process, its two pipes and its folder.

    Attributes:
        calls: Jobs that it was given.
    """

    def __init__(self, folder: Path, limits: DecodeLimits, *, preload: tuple[str, ...]) -> None:
        """Start the process.

        Args:
            folder: Empty folder, for its temporary files and its last words.
            limits: What it may take.
            preload: Modules that it imports before its first job.
        """
        self._folder = folder
        self._last_words = folder / "stderr.txt"
        scratch = folder / "tmp"
        scratch.mkdir()
        self.calls = 0
        job_reader, self._jobs = Pipe(duplex=False)
        self._answers, answer_writer = Pipe(duplex=False)
        pipes = (job_reader.fileno(), answer_writer.fileno())
        program = (
            "from encoder.sandbox.child import main\n"
            f"main(parent={os.getpid()}, memory_bytes={limits.memory_bytes}, pipes={pipes}, "
            f"scratch={str(scratch)!r}, preload={list(preload)})"
        )
        with job_reader, answer_writer, self._last_words.open("wb") as last_words:
            self._process = subprocess.Popen(  # noqa: S603  our own program, by this interpreter
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                pass_fds=pipes,
                env=_environment(scratch),
            )

    def wait_until_ready(self) -> None:
        """Wait until the child takes jobs.

        Raises:
            ChildFailure: It ended, or took too long.
        """
        if self._receive(START_SECONDS) != READY:
            raise ChildCrashed(self._how_it_ended())

    def call(self, job: bytes, limits: DecodeLimits) -> Answer:
        """Run a job.

        Args:
            job: A pickled function with its arguments.
            limits: For the time that it may take.

        Returns:
            What became of it.

        Raises:
            ChildFailure: There is no answer.
        """
        self.calls += 1
        try:
            self._jobs.send_bytes(job)
        except OSError as error:
            raise ChildCrashed(self._how_it_ended()) from error
        answer = pickle.loads(self._receive(limits.seconds))  # noqa: S301  from our own program
        if not isinstance(answer, Answer):
            raise ChildCrashed("answered with nonsense")
        return answer

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()

    def remove(self) -> None:
        """Kill the child and remove its pipes and files."""
        self._process.kill()
        self._process.wait()
        self._jobs.close()
        self._answers.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, seconds: float) -> bytes:
        try:
            if not self._answers.poll(None if seconds > LONGEST_SECONDS else seconds):
                raise ChildTimedOut(f"took longer than {seconds:g} s")
            return self._answers.recv_bytes()
        except (EOFError, OSError) as error:
            raise ChildCrashed(self._how_it_ended()) from error

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        words = self._last_words.read_text(errors="replace").strip()
        logger.debug("a child process ended with code %d: %s", code, words[-4000:])
        return _ending(code, words)


def _ending(code: int, words: str) -> str:
    """Name the end of a process in one line."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    last_line = words.rsplit("\n", maxsplit=1)[-1].strip()
    return " ".join(f"exited with code {code} {last_line[:200]}".split())


def _environment(scratch: Path) -> dict[str, str]:
    """One thread per child, our own search path, temporary files in the child's folder."""
    search_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, **_ONE_THREAD, "PYTHONPATH": search_path, "TMPDIR": str(scratch)}
