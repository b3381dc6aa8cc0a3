from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from encoder.scale_bars import length_label, scale_bar_um
from encoder.sheets import CAPTION_PX, CELL_PX, Cell, caption_font, draw_sheet, shorten


def grey(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width), level, dtype=np.uint8)


def test_sheet_shows_each_picture_in_reading_order() -> None:
    cells = [Cell(lines=(str(level),), pixels=grey(8, 8, level)) for level in (10, 90, 170, 250)]
    sheet = np.asarray(draw_sheet(cells, columns=2))
    step_x, step_y = CELL_PX + 8, CELL_PX + CAPTION_PX + 8
    centres = [
        (8 + r * step_y + CELL_PX // 2, 8 + c * step_x + CELL_PX // 2)
        for r in range(2)
        for c in range(2)
    ]
    assert [int(sheet[y, x, 0]) for y, x in centres] == [10, 90, 170, 250]


def test_aspect_is_kept() -> None:
    sheet = np.asarray(draw_sheet([Cell(lines=(), pixels=grey(50, 100, 0))]).convert("L"))
    cell = sheet[8 : 8 + CELL_PX, 8 : 8 + CELL_PX]
    assert (cell == 0).sum() == CELL_PX * CELL_PX // 2


def test_a_refused_scan_has_a_cell_too() -> None:
    sheet = np.asarray(draw_sheet([Cell(lines=("bad.tif", "truncated"))]))
    assert tuple(sheet[20, 20]) != (255, 255, 255)


@pytest.mark.parametrize(
    ("width_um", "bar_um"), [(300.0, 100.0), (299.0, 50.0), (7000.0, 2000.0), (1.6, 0.5)]
)
def test_scale_bar_is_a_round_length_within_a_third(width_um: float, bar_um: float) -> None:
    assert scale_bar_um(width_um) == pytest.approx(bar_um)


def test_scale_bar_is_drawn_to_scale() -> None:
    cell = Cell(lines=(), pixels=grey(100, 100, 128), width_um=300.0)
    sheet = np.asarray(draw_sheet([cell]).convert("L"))
    bar_row = sheet[8 + CELL_PX - 8, 8 : 8 + CELL_PX]
    assert int((bar_row == 255).sum()) == pytest.approx(CELL_PX / 3, abs=1.5)


def test_lengths_read_with_their_unit() -> None:
    assert [length_label(um) for um in (0.5, 200.0, 2000.0)] == ["0.5 µm", "200 µm", "2 mm"]


def test_long_names_lose_their_middle_only() -> None:
    cut = shorten("reservoir_east_well_17_plug_0042_scan_b.tif", width_px=120)
    assert cut.startswith("reser")
    assert cut.endswith(".tif")
    assert "…" in cut
    assert shorten("short", width_px=120) == "short"
    assert "\n" not in shorten("a\nb", width_px=120)


def test_captions_can_show_units() -> None:
    """Pillow's built-in font draws the micro sign as an empty box."""
    font = caption_font(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert bytes(font.getmask("µ")) != bytes(font.getmask("\uffff"))
