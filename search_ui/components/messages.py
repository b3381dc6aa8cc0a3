"""What goes wrong, as one friendly line with its remedy, where it happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Show an error of ours where it happens; what follows on the page is shown all the same."""
    try:
        yield
    except LithoscopeError as error:
        tell(error)
