"""Metadata tables (CSV, Excel), found, read and checked as a whole.

Every problem of a table is found before any is raised, so that its owner mends it in one go.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.metadata.cells import is_missing
from encoder.metadata.columns import Field
from encoder.metadata.grids import Grid, read_grid
from encoder.metadata.header import Column, read_header
from encoder.metadata.problems import MetadataError, MetadataProblem, shown
from encoder.metadata.values import ColumnReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from encoder.metadata.records import Scalar

TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".ods")
"""Extensions of the files that `find_tables` looks for."""

_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)

_NAMING = (Field.OBJECT_KEY, Field.IMAGE, Field.SAMPLE)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        number: Row number as a spreadsheet shows it.
        image: Path or name of the scan as written, or None.
        object_key: Scan's key in its canonical spelling, or None.
        values: Known values by name of the field or free property, in our units.
    """

    number: int
    image: str | None
    object_key: str | None
    values: Mapping[str, Scalar]

    @property
    def names_scan(self) -> bool:
        """Whether it is about one scan (not about a whole sample)."""
        return self.image is not None or self.object_key is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataTable:
    """A table that was read without a problem.

    Attributes:
        name: Its name in messages and provenance.
        columns: What each column holds.
        rows: Its rows.
        notes: Oddities worth telling.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()

    def header_of(self, name: str) -> str:
        """Header of the column that holds a field or free property."""
        return next(column.header for column in self.columns if column.name == name)

    def has(self, field: Field) -> bool:
        """Whether a column holds the field."""
        return any(column.field is field for column in self.columns)

    @property
    def is_keyed_by_folder(self) -> bool:
        """Whether rows stand for a sample's folder, image or not, as in RockIR's tables."""
        return any(column.is_sample_folder for column in self.columns)


def find_tables(folder: Path, *, root: Path | None = None) -> list[Path]:
    """Find the metadata tables that may speak for the scans of a folder.

    These are the files named ``metadata*`` with one of `TABLE_SUFFIXES` (in any case) in the
    folder itself and in each folder above it, up to and including ``root``.

    Args:
        folder: Folder of a scan.
        root: Topmost folder to look in; without it only ``folder`` is looked in.

    Returns:
        The tables, those of the topmost folder first, by name within a folder.

    Raises:
        MetadataError: A folder that can't be listed.
        ValueError: ``folder`` is not inside ``root``.
    """
    here = folder.absolute()
    top = here if root is None else root.absolute()
    below = here.relative_to(top).parts
    folders = [top.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
    return [table for each in folders for table in _tables_in(each)]


def find_tables_below(root: Path) -> list[Path]:
    """Find every metadata table in a folder and the folders inside it, by path.

    Hidden folders are not entered, and links to folders are not followed.

    Raises:
        MetadataError: A folder that can't be listed.
    """
    found = []
    for place, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += _tables_in(Path(place))
    return sorted(found)


def is_table_name(name: str) -> bool:
    """Whether a file is named like a metadata table."""
    return name.casefold().startswith("metadata") and name.casefold().endswith(TABLE_SUFFIXES)


def read_table(path: Path, *, name: str | None = None) -> MetadataTable:
    """Read a metadata table.

    Args:
        path: A CSV file or spreadsheet.
        name: Its name in messages and provenance; else the path.

    Raises:
        MetadataError: Every problem of the file: see `grids.read_grid` and
            `header.read_header`; values out of bounds, numbers that are none, rows that
            name no scan, cells beyond the last column.
    """
    source = str(path) if name is None else name
    grid = read_grid(path, source=source)
    columns = read_header(grid.header, source=source, row=grid.header_row)
    if not any(column.field in _NAMING for column in columns):
        raise MetadataError([_no_naming_column(grid, source)])
    reader = ColumnReader(source=source, decimal_comma=grid.decimal_comma)
    rows = _read_rows(grid, columns, reader=reader)
    problems = [*reader.problems, *_row_problems(rows, grid, source=source)]
    if problems:
        raise MetadataError(sorted(problems, key=lambda problem: problem.row or 0))
    notes = (*grid.notes, *_notes(columns, rows, grid=grid, source=source))
    return MetadataTable(name=source, columns=columns, rows=rows, notes=notes)


def _tables_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            named = [entry for entry in entries if is_table_name(entry.name)]
            return sorted(Path(entry.path) for entry in named if _is_file(entry))
    except OSError as error:
        if error.errno in _NO_FOLDER:
            return []
        reason = error.strerror or type(error).__name__
        problem = MetadataProblem(
            source=str(folder),
            found=reason,
            expected="a folder that can be listed: it may hold metadata tables",
            remedy="check its permissions",
        )
        raise MetadataError([problem]) from None


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link that leads nowhere (whoever reads it will tell)."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True


def _no_naming_column(grid: Grid, source: str) -> MetadataProblem:
    return MetadataProblem(
        source=source,
        row=grid.header_row,
        found=f"the columns {', '.join(map(shown, grid.header[:12]))}",
        expected="object_key, Image or Sample among them",
        remedy="name the column that says which scan a row is about",
    )


def _read_rows(
    grid: Grid, columns: Sequence[Column], *, reader: ColumnReader
) -> tuple[TableRow, ...]:
    """Read column by column (a free column's type is the whole column's), then turn to rows."""
    numbers = [number for number, _ in grid.rows]
    by_row: list[dict[str, Scalar]] = [{} for _ in numbers]
    for column in columns:
        place = column.index
        cells = [row[place] if place < len(row) else "" for _, row in grid.rows]
        for values, value in zip(by_row, reader.values(column, cells, rows=numbers), strict=True):
            if value is not None:
                values[column.name] = value
    return tuple(map(_row, numbers, by_row))


def _row(number: int, values: dict[str, Scalar]) -> TableRow:
    image = values.pop(Field.IMAGE, None)
    key = values.pop(Field.OBJECT_KEY, None)
    return TableRow(
        number,
        None if image is None else str(image),
        None if key is None else str(key),
        values,
    )


def _row_problems(
    rows: Iterable[TableRow], grid: Grid, *, source: str
) -> Iterable[MetadataProblem]:
    width = len(grid.header)
    for row, (number, cells) in zip(rows, grid.rows, strict=True):
        if not row.names_scan and Field.SAMPLE not in row.values:
            yield MetadataProblem(
                source=source,
                row=number,
                found="neither object_key, image nor sample",
                expected="one of them",
                remedy="say which scan or sample the row is about, or remove it",
            )
        if len(cells) > width:
            yield MetadataProblem(
                source=source,
                row=number,
                found=f"{len(cells)} cells",
                expected=f"{width}, as in the header row",
                remedy="put cells that hold the delimiter (a decimal comma?) in double quotes",
            )


def _notes(
    columns: Sequence[Column], rows: Sequence[TableRow], *, grid: Grid, source: str
) -> Iterable[str]:
    nameless = [i for i, header in enumerate(grid.header) if not header.strip()]
    if any(not is_missing(row[i]) for _, row in grid.rows for i in nameless if i < len(row)):
        yield f"{source}: {len(nameless)} column(s) without a name were left out"
    for column in columns:
        if column.field is Field.POROSITY and column.unit in ("%", "percent", "pct", "pu"):
            found = [row.values[column.name] for row in rows if column.name in row.values]
            if found and all(float(value) <= 0.01 for value in found):
                yield (
                    f"{source}: no value of {shown(column.header)} is above 1 per cent; "
                    "if they are fractions, take the unit out of the column's name"
                )
