"""Names of the figures that an evaluation gives."""

from __future__ import annotations

from typing import NamedTuple


class FigureKey(NamedTuple):
    """What a figure says.

    Attributes:
        measure: What was measured, with its unit where it has one, such as ``"MAE (mD)"``.
        scope: Of what: a case of retrieval, or a property and whether it is a slice's or a
            sample's.
        at: At which k or rank, such as ``"10"``, ``"all"`` or ``"top-1"``; empty where there is
            none.
    """

    measure: str
    scope: str
    at: str = ""

    def __str__(self) -> str:
        """One line for messages and tables."""
        joint = "" if not self.at else " " if self.at.startswith("top") else "@"
        return f"{self.measure}{joint}{self.at}, {self.scope}"


def at_k(k: int | None) -> str:
    """Write a k: ``"10"``, or ``"all"``."""
    return "all" if k is None else str(k)
