"""What goes wrong, as one friendly line with its remedy, where it happens."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, ParamSpec

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.access import Role
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Words = ParamSpec("_Words")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Show an error of ours where it happens; what follows on the page is shown all the same."""
    try:
        yield
    except LithoscopeError as error:
        tell(error)


def for_viewers(show: Callable[_Words, None]) -> Callable[_Words, None]:
    """Have a dialog ask each time whether somebody may see it, and tell its errors as one line.

    The frame round a page asks as well, but only a dialog's own part is run while it is open.

    Args:
        show: Shows what is in the dialog.
    """

    @functools.wraps(show)
    def shown(*words: _Words.args, **named: _Words.kwargs) -> None:
        with guarded():
            resources.require(Role.VIEWER)
            show(*words, **named)

    return shown
