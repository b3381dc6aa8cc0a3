"""The pixel size that a TIFF file tells: by OME-XML, ImageJ's calibration, or resolution tags.

Sources: OME schema, ``Pixels/@PhysicalSizeX``; ImageJ, ``FileInfo.unit``; TIFF Revision 6.0,
XResolution, YResolution and ResolutionUnit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from encoder.readers.tiff_descriptions import ImageJStack, OmeImage
from encoder.readers.units import (
    PixelSize,
    is_same_size,
    micrometres_per,
    unknown_unit,
    width_taken,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_INCH, _CENTIMETRE = 2, 3
_UNIT_NAMES = {_INCH: "inch", _CENTIMETRE: "cm"}
_INCH_UM = 25_400.0

_FINEST_PRINT_DPI = 600.0
_USUAL_PRINT_DPI = (72.0, 96.0, 150.0, 200.0, 240.0, 300.0, 350.0, 400.0, 600.0)
_SAME_DPI_WITHIN = 2e-3
_UNCALIBRATED = {"pixel", "pixels"}


def pixel_size_of(
    description: OmeImage | ImageJStack | None, tags: Mapping[int, Any], *, is_volume: bool
) -> PixelSize:
    """Return the pixel size of a stack, from the first source that speaks of it.

    Args:
        description: What the writer says.
        tags: Values of the first page's tags, by code.
        is_volume: Whether the distance of planes is worth telling.

    Returns:
        The size along x, with notes where y or z differ or where a value is not believed.
    """
    if isinstance(description, OmeImage) and "PhysicalSizeX" in description.scale:
        return _from_ome(description.scale, is_volume=is_volume)
    per_unit = (_density(tags.get(_X_RESOLUTION)), _density(tags.get(_Y_RESOLUTION)))
    if isinstance(description, ImageJStack) and description.unit is not None:
        return _from_imagej(description, per_unit, is_volume=is_volume)
    unit = _UNIT_NAMES.get(tags.get(_RESOLUTION_UNIT, _INCH))
    return _from_density(per_unit, unit) if unit else PixelSize(None)


def _from_ome(scale: Mapping[str, str], *, is_volume: bool) -> PixelSize:
    sizes = {}
    for axis in "XYZ":
        unit = scale.get(f"PhysicalSize{axis}Unit", "um")
        factor = micrometres_per(unit)
        if factor is None:
            return unknown_unit(unit)
        sizes[axis] = _number(scale.get(f"PhysicalSize{axis}")) * factor
    return _told(sizes["X"], sizes["Y"], apart=sizes["Z"] if is_volume else math.nan)


def _from_imagej(
    stack: ImageJStack, per_unit: tuple[float, float], *, is_volume: bool
) -> PixelSize:
    unit = stack.unit or ""
    if unit.lower() in _UNCALIBRATED or math.isnan(per_unit[0]):
        return PixelSize(None)
    factor = micrometres_per(unit)
    if factor is None:
        return unknown_unit(unit)
    if factor == _INCH_UM:
        return _from_density(per_unit, "inch")
    across, down = (factor / density for density in per_unit)
    spacing = math.nan if stack.spacing is None or not is_volume else stack.spacing * factor
    return _told(across, down, apart=spacing)


def _from_density(per_unit: tuple[float, float], unit: str) -> PixelSize:
    """Take pixels per inch or centimetre, unless they only tell a printer what to do."""
    if math.isnan(per_unit[0]):
        return PixelSize(None)
    factor = _INCH_UM if unit == "inch" else 1e4
    dpi = per_unit[0] * _INCH_UM / factor
    is_for_print = (
        dpi <= _FINEST_PRINT_DPI
        if unit == "inch"
        else per_unit[0] == 1.0
        or any(math.isclose(dpi, usual, rel_tol=_SAME_DPI_WITHIN) for usual in _USUAL_PRINT_DPI)
    )
    if is_for_print:
        return PixelSize(
            None,
            (f"resolution of {per_unit[0]:g} per {unit} is taken for print, not for a pixel size",),
        )
    return _told(factor / per_unit[0], factor / per_unit[1])


def _told(across: float, down: float, *, apart: float = math.nan) -> PixelSize:
    """Return the size along x in micrometres; those along y and z may be NaN, not known."""
    if not (math.isfinite(across) and across > 0):
        return PixelSize(None, (f"pixel size ignored: {across:g} um is no size",))
    size = width_taken(across, down)
    if apart > 0 and not is_same_size(across, apart):
        note = f"planes are {apart:g} um apart, pixels {across:g} um wide"
        return PixelSize(size.um, (*size.notes, note))
    return size


def _density(value: object) -> float:
    """Return a resolution tag's pixels per unit, or NaN if it tells none."""
    match value:
        case (int(count), int(units)) if count > 0 and units > 0:
            return count / units
        case int() | float() if math.isfinite(value) and value > 0:
            return float(value)
        case _:
            return math.nan


def _number(text: str | None) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        return math.nan
