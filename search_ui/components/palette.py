"""Every colour and symbol of the pages, in one place.

The categories are Okabe and Ito's, which people of any colour vision tell apart; each has a symbol
of its own too, so that no colour is ever the only sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.ranking import View

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Mark:
    """How something is marked.

    Attributes:
        color: Its colour, on light and dark ground.
        symbol: Its symbol, as plotly calls it.
        sign: The same as a letter.
    """

    color: str
    symbol: str
    sign: str


QUERY = Mark("#D55E00", "star", "★")
LIBRARY = Mark("#8A8F98", "circle", "·")
UNKNOWN = Mark("#CC79A7", "cross", "✚")
MARKS: Mapping[View | None, Mark] = {
    View.SAME_SAMPLE: Mark("#0072B2", "circle", "●"),
    View.SAME_RESERVOIR: Mark("#E69F00", "square", "■"),
    View.OTHER_RESERVOIRS: Mark("#009E73", "diamond", "◆"),
    None: UNKNOWN,
}
"""Of hits, by where they come from, seen from the query."""

ACCENT_LIGHT = "#0B6E69"
ACCENT_DARK = "#27978B"
