"""Lengths in a scan's header, made micrometres."""

from __future__ import annotations

import math
from typing import NamedTuple

from encoder.metadata.problems import NUMBER_RULES

MICROMETRES = {
    "nm": 1e-3,
    "um": 1.0,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "nanometer": 1e-3,
    "micron": 1.0,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25_400.0,
    "in": 25_400.0,
}
"""Micrometres in one of each unit, by its name or sign."""

_SQUARE_WITHIN = 1e-3


class PixelSize(NamedTuple):
    """A pixel's size, or why it isn't known.

    Attributes:
        um: Size in micrometres; None where it isn't known.
        notes: What is worth telling about it.
    """

    um: float | None
    notes: tuple[str, ...] = ()


def micrometres_per(unit: str) -> float | None:
    """Return how many micrometres a unit has, or None if its name is not known."""
    name = unit.strip().lower().replace("metre", "meter")
    for known in (name, name.removesuffix("s")):
        if known in MICROMETRES:
            return MICROMETRES[known]
    return None


def pixel_size(across: float, down: float, *, unit: str | None) -> PixelSize:
    """Turn a header's spacing within the plane into a pixel size.

    Rounded to six digits: headers carry it in 32-bit floats and in millimetres. Of pixels that
    are not square the width is taken, with a note, as scale bars lie along it.

    Args:
        across: Spacing of columns, in ``unit``.
        down: Spacing of rows, in ``unit``.
        unit: Name or sign of the unit, such as ``"um"``; None if the header tells none.
    """
    if not all(math.isfinite(size) and size > 0 for size in (across, down)):
        return PixelSize(None, (f"pixel size ignored: {across:g} x {down:g} is no size",))
    if unit is None:
        return PixelSize(None, (f"pixel size ignored: {across:g} has no unit",))
    factor = micrometres_per(unit)
    if factor is None:
        return unknown_unit(unit)
    return width_taken(across * factor, down * factor)


def width_taken(across: float, down: float) -> PixelSize:
    """Take the width of a pixel, rounded to six digits, with a note where the height differs.

    One that no picture has is not known, with a note.

    Args:
        across: Spacing of columns in micrometres, finite and above 0.
        down: Spacing of rows in micrometres; NaN, or 0 and less, where it isn't known.
    """
    size_um = float(f"{across:.6g}")
    if not NUMBER_RULES["pixel_size_um"].accepts(size_um):
        return PixelSize(None, (f"pixel size ignored: {across:g} um is no size",))
    if not down > 0 or is_same_size(across, down):
        return PixelSize(size_um)
    return PixelSize(size_um, (f"pixels are not square: {across:g} x {down:g} um, width taken",))


def is_same_size(one: float, other: float) -> bool:
    """Say whether two lengths differ by rounding only."""
    return math.isclose(one, other, rel_tol=_SQUARE_WITHIN)


def unknown_unit(unit: str) -> PixelSize:
    """Return that a pixel size isn't known, as its unit isn't."""
    return PixelSize(None, (f"pixel size ignored: unit '{unit}' is not known",))


def default_pixel_size(across: float, down: float, *, field: str) -> PixelSize:
    """Turn a spacing in millimetres into a pixel size, if it isn't the writer's default of 1.

    Libraries that know no spacing write 1, which nobody has measured.

    Args:
        across: Spacing of columns in mm.
        down: Spacing of rows in mm.
        field: Name of the header's field, for the note.
    """
    if across == down == 1.0:
        return PixelSize(None, (f"pixel size ignored: {field} 1 is what writers put by default",))
    return pixel_size(across, down, unit="mm")
