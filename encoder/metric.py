"""How two vectors are compared."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """Measure of closeness that an encoder's vectors are made for.

    The values are the names that vector databases give them.
    """

    L2 = "L2"
    """Euclidean distance: the smaller, the closer."""

    INNER_PRODUCT = "IP"
    """Inner product: the larger, the closer."""
