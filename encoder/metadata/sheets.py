"""The filled sheet of a spreadsheet, read in a child process.

Damaged ``.xls`` files can make the parser panic, loop or take all memory.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import python_calamine as calamine

from encoder.errors import LithoscopeError
from encoder.metadata.lost_cells import find_lost_cells
from encoder.sandbox.pool import Sandbox
from encoder.sandbox.process import ChildFailure, DecodeLimits

if TYPE_CHECKING:
    from pathlib import Path

SheetCell: TypeAlias = str | int | float | bool | dt.date | dt.datetime | dt.time | dt.timedelta

MAX_CELLS = 5_000_000
"""Largest sheet that is read, empty cells between others included."""

LIMITS = DecodeLimits(memory_bytes=2 << 30, seconds=60.0)
"""What reading one spreadsheet may take."""


class SheetError(LithoscopeError):
    """A spreadsheet that can't be used.

    Attributes:
        found: What was found.
        expected: What should have been there.
        remedy: What its owner can do.
    """

    def __init__(self, found: str, expected: str, *, remedy: str) -> None:
        super().__init__(found, expected, remedy)
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.found, self.expected, self.remedy)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as cells.

    Attributes:
        rows: Rows from the first one of the sheet on, empty cells as ``""``; errors of an .xlsx
            as text (``#DIV/0!``).
        notes: Oddities worth telling.
    """

    rows: list[list[SheetCell]]
    notes: tuple[str, ...] = ()


def read_sheet(path: Path) -> Sheet:
    """Read the only filled and visible sheet of a workbook (.xlsx, .xls, .ods).

    Returns:
        The sheet; without rows if none is filled.

    Raises:
        SheetError: A damaged or protected workbook, several filled sheets, or one beyond
            `MAX_CELLS` or `LIMITS`.
    """
    with Sandbox(1, LIMITS, preload=(__name__,)) as sandbox:
        try:
            return sandbox.run(_read, path)
        except ChildFailure as failure:
            raise _damaged(str(failure)) from failure


def _read(path: Path) -> Sheet:
    try:
        with calamine.load_workbook(path) as book:
            sheet = _only_sheet(book)
            return Sheet([]) if sheet is None else _with_lost_cells(sheet, path)
    except calamine.PasswordError:
        raise SheetError(
            "a password", "a spreadsheet without one", remedy="save it without password"
        ) from None
    except (calamine.CalamineError, OSError) as error:
        raise _damaged(str(error)) from None


def _with_lost_cells(sheet: calamine.CalamineSheet, path: Path) -> Sheet:
    rows = [list(row) for row in sheet.to_python(skip_empty_area=False)]
    lost = find_lost_cells(path, sheet.name)
    for place, text in lost.errors.items():
        if place.row < len(rows) and place.column < len(rows[place.row]):
            rows[place.row][place.column] = text
    if not lost.uncomputed:
        return Sheet(rows)
    count = len(lost.uncomputed)
    note = (
        f"{count} formula{'s' if count > 1 else ''} without a computed value (first in "
        f"{lost.uncomputed[0]}), taken as not measured; open and save it in a spreadsheet program"
    )
    return Sheet(rows, (note,))


def _only_sheet(book: calamine.CalamineWorkbook) -> calamine.CalamineSheet | None:
    filled = [(sheet, sheet.end) for sheet in _visible_sheets(book) if sheet.end is not None]
    if not filled:
        return None
    if len(filled) > 1:
        names = ", ".join(repr(sheet.name[:30]) for sheet, _ in filled[:10])
        raise SheetError(
            f"{len(filled)} filled sheets ({names})",
            "one",
            remedy="save the sheet that is meant as a file of its own",
        )
    sheet, (last_row, last_column) = filled[0]
    height, width = last_row + 1, last_column + 1
    if height * width > MAX_CELLS:
        raise SheetError(
            f"a sheet of {height:,} by {width:,} cells",
            f"at most {MAX_CELLS:,} cells",
            remedy="remove stray cells far from the table, or use CSV",
        )
    return sheet


def _visible_sheets(book: calamine.CalamineWorkbook) -> list[calamine.CalamineSheet]:
    return [
        book.get_sheet_by_name(sheet.name)
        for sheet in book.sheets_metadata
        if sheet.typ is calamine.SheetTypeEnum.WorkSheet
        and sheet.visible is calamine.SheetVisibleEnum.Visible
    ]


def _damaged(reason: str) -> SheetError:
    return SheetError(
        f"a damaged spreadsheet ({reason})",
        "a spreadsheet (.xlsx, .xls, .ods)",
        remedy="save it again as .xlsx or as CSV (UTF-8)",
    )


def _rebuilt(*words: str) -> SheetError:
    found, expected, remedy = words
    return SheetError(found, expected, remedy=remedy)
