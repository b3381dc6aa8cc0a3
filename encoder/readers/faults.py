"""What parsers raise on bytes that they did not expect, told as a scan's fault."""

from __future__ import annotations

import struct
import warnings
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from encoder.errors import ScanError, ScanFault

if TYPE_CHECKING:
    from collections.abc import Iterator

PARSER_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What Pillow, tifffile and imagecodecs raise on damaged files; running out of memory is not it."""

_SIGNS_OF_TRUNCATION = ("truncat", "not enough", "too small", "premature", "requires a buffer")
_SIGNS_OF_NO_SUPPORT = ("unsupported", "not supported", "cannot handle")


@contextmanager
def telling_damage(source: str, content: str) -> Iterator[None]:
    """Tell a parser's complaint as a scan's fault, and keep its warnings quiet.

    Args:
        source: Name of the scan.
        content: What was being read, such as ``"PNG image"``.

    Raises:
        ScanError: ``TRUNCATED``, ``UNSUPPORTED`` or, for any other complaint, ``UNREADABLE``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PARSER_ERRORS as error:
            raise _told(source, content, error=error) from error


def truncated(source: str, problem: str) -> ScanError:
    """Return the fault of a file that ends too early."""
    return ScanError(
        source, ScanFault.TRUNCATED, problem=problem, remedy="copy it again from its origin"
    )


def damaged(source: str, problem: str) -> ScanError:
    """Return the fault of a file whose bytes contradict each other."""
    return ScanError(
        source, ScanFault.UNREADABLE, problem=problem, remedy="copy it again from its origin"
    )


def unsupported(source: str, *reason: *tuple[str, str]) -> ScanError:
    """Return the fault of a sound file that holds no image or volume we can take.

    Args:
        source: Name of the scan.
        reason: The problem, then the remedy.
    """
    problem, remedy = reason
    return ScanError(source, ScanFault.UNSUPPORTED, problem=problem, remedy=remedy)


def _told(source: str, content: str, *, error: Exception) -> ScanError:
    reason = str(error) or type(error).__name__
    if any(sign in reason.lower() for sign in _SIGNS_OF_TRUNCATION):
        return truncated(source, f"its {content} ends too early ({reason})")
    if any(sign in reason.lower() for sign in _SIGNS_OF_NO_SUPPORT):
        return unsupported(
            source,
            f"its {content} is of a kind that can't be decoded ({reason})",
            "save it as an 8 or 16-bit grey or RGB image",
        )
    return damaged(source, f"its {content} is damaged ({reason})")
