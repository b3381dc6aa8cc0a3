"""Errors that a user can act on: what was expected, what was found, what to do."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from unicodedata import category


class LithoscopeError(Exception):
    """A fault of the input or the surroundings, told in one line that names the remedy."""


class OutputError(LithoscopeError):
    """A file that can't be written."""


class ScanFault(StrEnum):
    """Why a scan was refused."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_AN_IMAGE = "not an image"
    UNSUPPORTED = "unsupported"
    ZERO_SIZE = "zero size"
    TOO_THIN = "too thin"
    TOO_LARGE = "too large"
    CONSTANT = "constant"
    NOT_FINITE = "not finite"
    UNKNOWN_SHAPE = "unknown shape"
    SIZE_MISMATCH = "size mismatch"
    AMBIGUOUS = "ambiguous"
    UNREADABLE = "unreadable"
    DECODER_CRASHED = "decoder crashed"
    DECODER_TIMED_OUT = "decoder timed out"
    OUT_OF_MEMORY = "out of memory"


class ScanError(LithoscopeError):
    """A scan that can't be used.

    Attributes:
        source: File name or object key.
        fault: Kind of fault.
        problem: What was found, and what was expected.
        remedy: What its owner can do.
        datasets: Names to choose from, as the file spells them, where one is to be named.
    """

    def __init__(
        self,
        source: str,
        fault: ScanFault,
        *,
        problem: str,
        remedy: str,
        datasets: tuple[str, ...] = (),
    ) -> None:
        super().__init__(source, fault, problem, remedy)
        self.source = source
        self.fault = fault
        self.problem = problem
        self.remedy = remedy
        self.datasets = datasets

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = partial(
            ScanError, problem=self.problem, remedy=self.remedy, datasets=self.datasets
        )
        return rebuild, (self.source, self.fault)

    @property
    def reason(self) -> str:
        """What is wrong and what to do, in one line, without the name of the scan."""
        return one_line(f"{self.problem}; {self.remedy}")

    def __str__(self) -> str:
        return one_line(f"{self.source}: {self.reason}")


def one_line(error: object) -> str:
    """What an error says, in one line; its kind where it says nothing.

    Args:
        error: An error, or what it carries as its message.
    """
    return " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """Tame text that comes from a file: its words must not reach a terminal or a page raw.

    Args:
        text: A path, a name or a value, of any characters.

    Returns:
        The text with a replacement character for each line break, control character, override of
        the writing direction and undecodable byte; all else, spaces of any width too, as it is.
    """
    return "".join(
        sign if sign.isprintable() or category(sign) == "Zs" else "\N{REPLACEMENT CHARACTER}"
        for sign in text
    )
