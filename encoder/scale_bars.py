"""How long a scale bar is, and what it is labelled with."""

from __future__ import annotations

import math


def scale_bar_um(width_um: float) -> float:
    """Length of a scale bar: the largest of 1, 2, 5 · 10ⁿ µm within a third of the picture."""
    decade = 10.0 ** math.floor(math.log10(width_um / 3))
    return max(step * decade for step in (1, 2, 5) if step * decade <= width_um / 3)


def length_label(length_um: float) -> str:
    """Write a length with the unit that suits it, such as ``"200 µm"`` or ``"2 mm"``."""
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
