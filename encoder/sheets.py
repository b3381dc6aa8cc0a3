"""Contact sheets: slices side by side, each with its caption and scale bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from encoder.scale_bars import length_label, scale_bar_um

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

CELL_PX = 192
LINES = 3
CAPTION_PX = 56
MARGIN_PX = 8
FONT_PX = 12
PAPER = (255, 255, 255)
INK = (32, 32, 32)
MISSING = (240, 228, 224)
FAULT_INK = (160, 40, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One picture of a sheet.

    Attributes:
        lines: Caption, at most three lines are shown.
        pixels: uint8 (H, W) or (H, W, 3); None where there is nothing to show.
        width_um: Width that the picture shows in micrometres, for the scale bar.
    """

    lines: tuple[str, ...]
    pixels: NDArray[np.uint8] | None = None
    width_um: float | None = None


def draw_sheet(cells: Sequence[Cell], *, columns: int | None = None) -> Image.Image:
    """Lay cells out on a grid, row by row.

    Args:
        cells: What to show, at least one.
        columns: Cells in a row; by default the sheet comes out about 3:2.

    Returns:
        An RGB picture.
    """
    columns = columns or max(1, min(len(cells), math.ceil(math.sqrt(1.5 * len(cells)))))
    pictures = [draw_cell(cell) for cell in cells]
    rows = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) + MARGIN_PX for row in rows]
    size = (columns * (CELL_PX + MARGIN_PX) + MARGIN_PX, sum(heights) + MARGIN_PX)
    sheet = Image.new("RGB", size, PAPER)
    top = MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (MARGIN_PX + column * (CELL_PX + MARGIN_PX), top))
        top += height
    return sheet


def draw_cell(cell: Cell) -> Image.Image:
    """Draw one cell: the picture fitted, the scale bar on it, the caption below."""
    blank = Image.new("RGB", (CELL_PX, CELL_PX), MISSING)
    shown = blank if cell.pixels is None else fit(Image.fromarray(cell.pixels).convert("RGB"))
    picture = Image.new("RGB", (CELL_PX, shown.height + CAPTION_PX), PAPER)
    left = (CELL_PX - shown.width) // 2
    picture.paste(shown, (left, 0))
    pen = ImageDraw.Draw(picture)
    if cell.pixels is not None and cell.width_um and math.isfinite(cell.width_um):
        um_per_px = cell.width_um / shown.width
        _draw_scale_bar(pen, (left, 0), size=shown.size, um_per_px=um_per_px)
    ink = FAULT_INK if cell.pixels is None else INK
    for number, line in enumerate(cell.lines[:LINES]):
        place = (0, shown.height + 3 + number * (FONT_PX + 4))
        pen.text(place, shorten(line, width_px=CELL_PX), fill=ink, font=caption_font(FONT_PX))
    return picture


def fit(picture: Image.Image) -> Image.Image:
    """Scale a picture, up or down, so that its longer side fills the cell."""
    scale = CELL_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def shorten(text: str, *, width_px: int) -> str:
    """Cut the middle out of a text that is wider than ``width_px``: both ends tell files apart."""
    font = caption_font(FONT_PX)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width_px:
        return text
    keep = len(text)
    while keep > 2 and font.getlength(_without_middle(text, keep)) > width_px:
        keep -= 1
    return _without_middle(text, keep)


@cache
def caption_font(size_px: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own copy of DejaVu Sans: Pillow's built-in font lacks the micro sign."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size_px)


def _without_middle(text: str, keep: int) -> str:
    head = (keep + 1) // 2
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"


def _draw_scale_bar(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    *,
    size: tuple[int, int],
    um_per_px: float,
) -> None:
    length_um = scale_bar_um(um_per_px * size[0])
    left, bottom = corner[0] + 6, corner[1] + size[1] - 6
    right = left + round(length_um / um_per_px)
    label = length_label(length_um)
    font = caption_font(FONT_PX - 1)
    backing = (left - 4, bottom - 20, max(right, left + font.getlength(label)) + 4, bottom + 4)
    pen.rectangle(backing, fill=INK)
    pen.rectangle((left, bottom - 3, right, bottom), fill=PAPER)
    pen.text((left, bottom - 18), label, fill=PAPER, font=font)
