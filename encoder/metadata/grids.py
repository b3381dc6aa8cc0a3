"""Rows of cells out of a CSV file or a spreadsheet; what the cells mean is decided elsewhere.

The content decides the format, never the extension. A CSV may be UTF-8 (with or without BOM) or
UTF-16; anything else is read as Windows-1252, and a note says so. Commas, semicolons, tabs and
bars delimit it: whichever the header row has most of.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.metadata.cells import RawCell, has_decimal_comma, has_decimal_point, text_of
from encoder.metadata.problems import MetadataError, MetadataProblem
from encoder.metadata.sheets import MAX_CELLS, SheetError, read_sheet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_TABLE_BYTES = 256 * 2**20
"""Largest table that is read."""

MAX_ROWS = 1 << 20
"""Most rows of a table that are read, as in a spreadsheet."""

_DELIMITERS = ",;\t|"
_ZIP = b"PK\x03\x04"
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_SAVE_AGAIN = "save it again as CSV (UTF-8) or .xlsx"
_NO_ROWS = {"expected": "a header row and rows", "remedy": "fill it, or remove it"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table as cells.

    Attributes:
        header_row: Row number of the header as a spreadsheet shows it.
        header: Names of the columns.
        rows: Row number and cells of every row below that is not empty.
        decimal_comma: Whether its numbers are written ``0,23``.
        notes: Oddities worth telling.
    """

    header_row: int
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[RawCell]], ...]
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()


def read_grid(path: Path, *, source: str) -> Grid:
    """Read a CSV file, or the only filled and visible sheet of a spreadsheet.

    Args:
        path: The file.
        source: Its name in messages.

    Raises:
        MetadataError: A file that can't be read, is empty, too large, damaged or no table; or a
            spreadsheet with several filled sheets.
    """
    data = _read_bytes(path, source)
    if not data:
        raise _refused(source, "an empty file", **_NO_ROWS)
    if data.startswith((_ZIP, _OLE)):
        return _sheet_grid(path, source)
    text, note = _decoded(data, source)
    delimiter, text = _delimiter(text)
    rows = list(_text_rows(text, delimiter, source=source))
    comma = _has_decimal_commas(rows, delimiter)
    return _grid(rows, source, decimal_comma=comma, notes=(note,) if note else ())


def _refused(source: str, found: str, *, expected: str, remedy: str) -> MetadataError:
    problem = MetadataProblem(source=source, found=found, expected=expected, remedy=remedy)
    return MetadataError([problem])


def _read_bytes(path: Path, source: str) -> bytes:
    try:
        size = path.stat().st_size
        if size <= MAX_TABLE_BYTES:
            return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _refused(
            source, reason, expected="a readable file", remedy="check its name and permissions"
        ) from None
    raise _refused(
        source,
        f"{size:,} bytes",
        expected=f"at most {MAX_TABLE_BYTES:,}",
        remedy="split it into several tables",
    )


def _grid(
    numbered: Iterable[tuple[int, list[RawCell]]],
    source: str,
    *,
    decimal_comma: bool = False,
    notes: tuple[str, ...] = (),
) -> Grid:
    filled = [(number, row) for number, row in numbered if any(map(_is_filled, row))]
    if not filled:
        raise _refused(source, "no filled row", **_NO_ROWS)
    header_row, header = filled[0]
    return Grid(
        header_row=header_row,
        header=tuple(map(text_of, header)),
        rows=tuple(filled[1:]),
        decimal_comma=decimal_comma,
        notes=notes,
    )


def _is_filled(cell: RawCell) -> bool:
    return not isinstance(cell, str) or bool(cell.strip())


def _decoded(data: bytes, source: str) -> tuple[str, str | None]:
    """Decode text, with a note where its encoding had to be guessed."""
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16"), None
        # ASCII in UTF-16 without a mark has a zero byte in every pair
        head = data[:1000]
        for zeros, encoding in ((head[1::2], "utf-16-le"), (head[0::2], "utf-16-be")):
            if zeros.count(0) > len(head) // 4:
                return data.decode(encoding), None
    except UnicodeDecodeError:
        raise _refused(
            source, "damaged UTF-16 text", expected="a text table", remedy=_SAVE_AGAIN
        ) from None
    if b"\0" in data:
        expected = "a CSV file or a spreadsheet (.xlsx, .xls, .ods)"
        raise _refused(source, "binary data", expected=expected, remedy=_SAVE_AGAIN)
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        note = f"{source} is not UTF-8 (line {line}): read as Windows-1252; check its names"
        # five bytes mean nothing in Windows-1252: in Latin-1 every byte means something
        for encoding in ("cp1252", "latin-1"):
            try:
                return data.decode(encoding), note
            except UnicodeDecodeError:
                continue
        raise


def _delimiter(text: str) -> tuple[str, str]:
    """Find the delimiter, and drop the ``sep=;`` line that Excel understands."""
    if hint := re.match(r"sep=([,;\t|])\r?\n", text, re.IGNORECASE):
        return hint[1], text[hint.end() :]
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", first)
    return max(_DELIMITERS, key=bare.count), text


def _has_decimal_commas(rows: Iterable[tuple[int, list[RawCell]]], delimiter: str) -> bool:
    """Whether numbers are written ``0,23``.

    A semicolon delimits where the comma is decimal. Tabs and bars tell nothing: there a point in
    any number says that it is the decimal one.
    """
    if delimiter == ",":
        return False
    cells = [cell for _, row in rows for cell in row]
    if not any(map(has_decimal_comma, cells)):
        return False
    return delimiter == ";" or not any(map(has_decimal_point, cells))


def _text_rows(text: str, delimiter: str, *, source: str) -> Iterator[tuple[int, list[RawCell]]]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    number = n_rows = n_cells = 0
    try:
        for number, row in enumerate(reader, start=1):
            if not row:
                continue
            n_rows, n_cells = n_rows + 1, n_cells + len(row)
            if n_rows > MAX_ROWS or n_cells > MAX_CELLS:
                limit = f"at most {MAX_ROWS:,} rows and {MAX_CELLS:,} cells"
                found = f"more by row {number:,}"
                raise _refused(source, found, expected=limit, remedy="split it into several tables")
            yield number, list(row)
    except csv.Error as error:
        problem = MetadataProblem(
            source=source,
            row=number + 1,
            found=f"broken quoting ({error})",
            expected='cells as in CSV: quotes at both ends, "" for a quote inside',
            remedy=f"correct the row, or {_SAVE_AGAIN}",
        )
        raise MetadataError([problem]) from None


def _sheet_grid(path: Path, source: str) -> Grid:
    try:
        sheet = read_sheet(path)
    except SheetError as error:
        raise _refused(source, error.found, expected=error.expected, remedy=error.remedy) from None
    rows: Iterable[tuple[int, list[RawCell]]] = (
        (number, list(row)) for number, row in enumerate(sheet.rows, start=1)
    )
    return _grid(rows, source, notes=tuple(f"{source}: {note}" for note in sheet.notes))
