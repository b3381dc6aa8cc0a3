"""How much rock a picture shows: what scale bars and pictures of the same scale are drawn by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.indexing.records import SliceRow


def shown_pixels(row: SliceRow) -> tuple[int, int] | None:
    """Width and height of a slice in pixels of its scan; None where its row does not tell."""
    tile = row.position.get("tile")
    if tile is not None:
        _, _, width, height = tile
        return int(width), int(height)
    facts = row.extra.get("scan", {})
    if "width" not in facts or "height" not in facts:
        return None
    return int(facts["width"]), int(facts["height"])


def width_um(row: SliceRow) -> float | None:
    """Width that a slice shows in micrometres; None where its scan's pixel size is not known."""
    shown, size = shown_pixels(row), row.numbers.get("pixel_size_um")
    return None if shown is None or size is None else shown[0] * size
