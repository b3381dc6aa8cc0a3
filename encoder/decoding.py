"""From a file that nobody vouches for to slices: in this process, or safely in child processes."""

from __future__ import annotations

import textwrap
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from encoder.cutting import DecodeOptions, cut_slices
from encoder.errors import ScanError, ScanFault, printable
from encoder.look_ahead import in_order
from encoder.processors import usable_cpus
from encoder.sandbox.pool import Sandbox
from encoder.sandbox.process import (
    ChildCrashed,
    ChildFailure,
    ChildOutOfMemory,
    ChildTimedOut,
    DecodeLimits,
)
from encoder.scans import open_scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from encoder.planes import ScanInfo
    from encoder.slicing import Slice
    from encoder.windows import Window

__all__ = [
    "DecodeLimits",
    "DecodeOptions",
    "DecodedScan",
    "DecoderPool",
    "decode_scan",
]


MAX_PROBLEM = 300
"""Signs of an error's problem that are kept: some quote what a file says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedScan:
    """The slices of a scan, all in one window.

    Attributes:
        path: File that the scan was read from.
        info: Facts of the scan.
        window: Window that the slices are shown in, in stored values.
        slices: The slices that were asked for, by ascending index.
    """

    path: Path
    info: ScanInfo
    window: Window
    slices: tuple[Slice, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels and pictures."""
        return sum(piece.nbytes for piece in self.slices)


def decode_scan(path: Path, options: DecodeOptions) -> DecodedScan:
    """Decode a trusted file in this process: a crash of a C library is this process's.

    Args:
        path: File to read.
        options: What is wanted.

    Returns:
        Its slices.

    Raises:
        ScanError: The scan can't be used.
    """
    try:
        with closing(open_scan(path, options.read)) as source:
            window, slices = cut_slices(source, options, name=path.name)
            return DecodedScan(path=path, info=source.info, window=window, slices=slices)
    except ScanError as error:
        raise _tamed(error) from error


def _tamed(error: ScanError) -> ScanError:
    """Tame what an error quotes: a file's own words must not reach a terminal or a page raw."""
    problem = textwrap.shorten(error.problem, MAX_PROBLEM, placeholder="…")
    return ScanError(
        printable(error.source),
        error.fault,
        problem=printable(problem),
        remedy=printable(error.remedy),
        datasets=error.datasets,
    )


class DecoderPool:
    """Decodes files in child processes with limits, so that no file can harm this process.

    Any thread may call it. A file that crashes, hangs or blows up its decoder is refused with the
    reason, and the pool goes on. Children start with the first file (about 0.3 s each).

    Attributes:
        workers: Child processes, at most.
    """

    def __init__(self, workers: int | None = None, limits: DecodeLimits | None = None) -> None:
        """Prepare the pool.

        Args:
            workers: Child processes, at most; None for one per CPU that this process may use.
            limits: What each may take; None for the defaults.
        """
        self.workers = workers or usable_cpus()
        self._limits = limits or DecodeLimits()
        self._sandbox = Sandbox(self.workers, self._limits, preload=(__name__,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the children, whatever they do, and remove their temporary files."""
        self._sandbox.close()

    def decode(self, path: Path, options: DecodeOptions) -> DecodedScan:
        """Decode a file in a child process.

        Args:
            path: File to read.
            options: What is wanted.

        Returns:
            Its slices.

        Raises:
            ScanError: The scan can't be used, or its decoder crashed (DECODER_CRASHED), took too
                long (DECODER_TIMED_OUT) or too much memory (OUT_OF_MEMORY), or raised another
                exception (UNREADABLE).
            LithoscopeError: The pool is closed, or no child process can be started.
        """
        try:
            return self._sandbox.run(decode_scan, path, options)
        except ChildFailure as failure:
            raise self._refusal(path, failure) from failure

    def decode_many(
        self, paths: Iterable[Path], options: DecodeOptions
    ) -> Iterator[tuple[Path, DecodedScan | ScanError]]:
        """Decode files side by side, ahead of the caller.

        Args:
            paths: Files to read; up to ``look_ahead.MAX_AHEAD`` of them are asked for in advance.
            options: What is wanted of each.

        Yields:
            Each path with its slices or the reason why it has none, in the order of ``paths``.
            Files are decoded ahead of the caller only until ``look_ahead.MAX_WAITING_BYTES`` wait
            for it.

        Raises:
            LithoscopeError: The pool is closed, or no child process can be started.
        """
        results = in_order(
            paths,
            lambda path: self._sandbox.submit(decode_scan, path, options),
            n_running=2 * self.workers,
            nbytes=lambda scan: scan.nbytes,
        )
        for path, result in results:
            try:
                yield path, result.result()
            except ScanError as error:
                yield path, error
            except ChildFailure as failure:
                yield path, self._refusal(path, failure)

    def _refusal(self, path: Path, failure: ChildFailure) -> ScanError:
        """Tell what befell a child process as an error of the file."""
        limits = self._limits
        match failure:
            case ChildTimedOut():
                fault = ScanFault.DECODER_TIMED_OUT
                problem = f"its decoder took longer than {limits.seconds:g} s and was stopped"
                remedy = "check the file, or raise the time limit (--timeout-s) if it is that large"
            case ChildOutOfMemory():
                fault = ScanFault.OUT_OF_MEMORY
                problem = f"decoding it takes more than {limits.memory_bytes >> 20} MiB of memory"
                remedy = (
                    "check the file, or raise the memory limit (--memory-mib) if it is that large"
                )
            case ChildCrashed():
                fault = ScanFault.DECODER_CRASHED
                problem = f"its decoder crashed (the process {failure})"
                remedy = "check that the file is whole, then export it again"
            case _:
                fault = ScanFault.UNREADABLE
                problem = f"it can't be decoded ({failure})"
                remedy = "check that the file is whole and of a supported kind"
        return ScanError(path.name, fault, problem=problem, remedy=remedy)
