"""The filled sheet of a spreadsheet, read in a child process.

Damaged ``.xls`` files can make the parser panic, loop or take all memory, so it gets a process of
its own with limits. That process runs this very file as a script: it must import nothing of ours.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import python_calamine as calamine

if TYPE_CHECKING:
    from pathlib import Path

SheetCell: TypeAlias = str | int | float | bool | dt.date | dt.datetime

MAX_CELLS = 5_000_000
"""Largest sheet that is read, empty cells between others included."""

MAX_TEXT_BYTES = 256 * 2**20
"""Largest sheet in bytes, as JSON: a small file may unpack to any size."""

MEMORY_BYTES = 2 * 2**30
SECONDS = 60

_DAMAGED = 3
_REFUSED = 4


class SheetError(Exception):
    """A spreadsheet that can't be used: what was found, and what was expected instead."""

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(found, expected, remedy)
        self.found = found
        self.expected = expected
        self.remedy = remedy


def read_sheet(path: Path) -> list[list[SheetCell]]:
    """Read the only filled and visible sheet of a workbook (.xlsx, .xls, .ods).

    Returns:
        Rows from the first one of the sheet on, empty cells as ``""``; none if no sheet is filled.

    Raises:
        SheetError: A damaged or protected workbook, several filled sheets, or one beyond
            `MAX_CELLS`, `MAX_TEXT_BYTES`, `MEMORY_BYTES` or `SECONDS`.
    """
    try:
        child = subprocess.run(  # noqa: S603 - our own file, given a path as its only argument
            [sys.executable, "-P", __file__, str(path)],
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _damaged(f"it was not read within {SECONDS} s") from None
    if child.returncode == 0:
        rows: list[list[SheetCell]] = json.loads(child.stdout, object_hook=_date_of)
        return rows
    if child.returncode == _REFUSED:
        raise SheetError(*json.loads(child.stdout))
    if child.returncode == _DAMAGED:
        raise _damaged(json.loads(child.stdout))
    raise _damaged("its reader failed")


def _damaged(reason: str) -> SheetError:
    return SheetError(
        f"a damaged spreadsheet ({reason})",
        "a spreadsheet (.xlsx, .xls, .ods)",
        "save it again as .xlsx or as CSV (UTF-8)",
    )


def _date_of(cell: dict[str, str]) -> dt.date:
    text = cell["date"]
    return dt.datetime.fromisoformat(text) if "T" in text else dt.date.fromisoformat(text)


def _child_main(path: str) -> None:
    """Print the sheet's rows as JSON; dates as ``{"date": …}``."""
    _limit_memory()
    try:
        with calamine.load_workbook(path) as book:
            text = json.dumps(_only_sheet(book), default=_json_of)
    except calamine.PasswordError:
        _exit(_REFUSED, ["a password", "a spreadsheet without one", "save it without password"])
    except (calamine.CalamineError, OSError) as error:
        _exit(_DAMAGED, str(error))
    if len(text) > MAX_TEXT_BYTES:
        found, limit = f"{len(text):,} bytes of cells", f"at most {MAX_TEXT_BYTES:,}"
        _exit(_REFUSED, [found, limit, "split it into several tables"])
    sys.stdout.write(text)


def _limit_memory() -> None:
    try:
        import resource  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _only_sheet(book: calamine.CalamineWorkbook) -> list[list[object]]:
    filled = [sheet for sheet in _visible_sheets(book) if sheet.end is not None]
    if not filled:
        return []
    names = ", ".join(repr(sheet.name[:30]) for sheet in filled[:10])
    if len(filled) > 1:
        found = f"{len(filled)} filled sheets ({names})"
        _exit(_REFUSED, [found, "one", "save the sheet that is meant as a file of its own"])
    height, width = filled[0].total_height, filled[0].total_width
    if height * width > MAX_CELLS:
        found, limit = f"a sheet of {height:,} by {width:,} cells", f"at most {MAX_CELLS:,} cells"
        _exit(_REFUSED, [found, limit, "remove stray cells far from the table, or use CSV"])
    return [list(row) for row in filled[0].to_python(skip_empty_area=False)]


def _visible_sheets(book: calamine.CalamineWorkbook) -> list[calamine.CalamineSheet]:
    return [
        book.get_sheet_by_name(sheet.name)
        for sheet in book.sheets_metadata
        if sheet.typ is calamine.SheetTypeEnum.WorkSheet
        and sheet.visible is calamine.SheetVisibleEnum.Visible
    ]


def _json_of(cell: object) -> object:
    # times and durations have no type of their own in a table: they are text
    return {"date": cell.isoformat()} if isinstance(cell, dt.date) else str(cell)


def _exit(code: int, answer: object) -> NoReturn:
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    _child_main(sys.argv[1])
