"""Where a slice lies in its scan, and how large it is, in words and in micrometres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from encoder.metadata.problems import NUMBER_RULES

if TYPE_CHECKING:
    from infra.indexing.records import SliceRow


def size_px(row: SliceRow) -> tuple[int, int] | None:
    """Width and height of a slice in pixels of its file; None where its scan doesn't tell."""
    tile = _tile(row)
    if tile is not None:
        return tile[2], tile[3]
    facts = row.extra.get("scan")
    if not isinstance(facts, dict):
        return None
    width, height = facts.get("width"), facts.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def size_um(row: SliceRow) -> tuple[float, float] | None:
    """Width and height of a slice in micrometres; None where its pixel size is not known."""
    sides, pixel = size_px(row), row.numbers.get("pixel_size_um")
    if sides is None or pixel is None or not NUMBER_RULES["pixel_size_um"].accepts(pixel):
        return None
    return sides[0] * pixel, sides[1] * pixel


def position_of(row: SliceRow) -> float | None:
    """Place along a volume's axis, from 0 to 1; None for images."""
    value = row.position.get("position")
    return float(value) if isinstance(value, int | float) else None


def place_text(row: SliceRow) -> str:
    """Where a slice lies in its scan, such as ``plane 46 of 90``."""
    tile = _tile(row)
    if tile is not None:
        left, top, width, height = tile
        return f"tile of {width:,} × {height:,} pixels at {left:,}, {top:,}"
    plane = row.position.get("plane")
    if not isinstance(plane, int):
        return "the whole image"
    facts = row.extra.get("scan")
    planes = facts.get("n_planes") if isinstance(facts, dict) else None
    return f"plane {plane + 1:,}" + (f" of {planes:,}" if isinstance(planes, int) else "")


def _tile(row: SliceRow) -> tuple[int, int, int, int] | None:
    tile: Any = row.position.get("tile")
    if not isinstance(tile, list) or len(tile) != 4:
        return None
    left, top, width, height = map(int, tile)
    return left, top, width, height
