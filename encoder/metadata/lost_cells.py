"""Cells of an .xlsx workbook that its reader leaves empty: errors, and formulas not computed.

It is parsed in the child process that reads the sheet, within its limits; expat itself bounds how
far entities may grow.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_SIGNS = re.compile(rb"""t=["']e["']|<(\w+:)?f[\s/>]""")
_CHUNK = 1 << 20


class Place(NamedTuple):
    """Row and column of a cell, counted from 0."""

    row: int
    column: int


@dataclass
class LostCells:
    """What a sheet holds beside its values.

    Attributes:
        errors: Text of each error, such as ``#DIV/0!``, by its place.
        uncomputed: References of formulas that no program has computed yet.
    """

    errors: dict[Place, str] = field(default_factory=dict)
    uncomputed: list[str] = field(default_factory=list)


def find_lost_cells(path: Path, sheet: str) -> LostCells:
    """Find a sheet's errors and formulas without a value; none if the file is no .xlsx.

    Args:
        path: The workbook, which was read without a problem.
        sheet: Name of the sheet.
    """
    lost = LostCells()
    try:
        with zipfile.ZipFile(path) as archive:
            name = _file_of(archive, sheet)
            if name is None or not _has_signs(archive, name):
                return lost
            with archive.open(name) as file:
                for cell in _cells(file):
                    _take(cell, lost)
    except (zipfile.BadZipFile, zlib.error, ET.ParseError, KeyError, EOFError, OSError):
        return LostCells()  # .xls and .ods; what is damaged was refused before
    return lost


def _file_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    for element in ET.fromstring(archive.read(_WORKBOOK)).iter():  # noqa: S314 - see above
        if _tag(element) == "sheet" and element.get("name") == sheet:
            relations = [value for key, value in element.items() if key.endswith("}id")]
            return _target(archive, relations[0]) if relations else None
    return None


def _target(archive: zipfile.ZipFile, relation: str) -> str | None:
    for element in ET.fromstring(archive.read(_RELATIONS)):  # noqa: S314 - see above
        if element.get("Id") == relation:
            return posixpath.normpath(posixpath.join("/xl", element.get("Target", ""))).lstrip("/")
    return None


def _has_signs(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether a sheet has errors or formulas at all: looking is much quicker than parsing."""
    end = b""
    with archive.open(name) as file:
        while chunk := file.read(_CHUNK):
            if _SIGNS.search(end + chunk):
                return True
            end = chunk[-32:]
    return False


def _cells(file: IO[bytes]) -> Iterator[ET.Element]:
    for _, element in ET.iterparse(file):  # noqa: S314 - see above
        if _tag(element) == "c":
            yield element
        elif _tag(element) == "row":
            element.clear()


def _take(cell: ET.Element, lost: LostCells) -> None:
    reference = cell.get("r", "")
    place = _REFERENCE.fullmatch(reference)
    parts = {_tag(part): part.text or "" for part in cell}
    if place is None:
        return
    if cell.get("t") == "e":
        lost.errors[_place(*place.groups())] = parts.get("v", "")
    elif "f" in parts and not parts.get("v") and cell.get("t") != "str":
        lost.uncomputed.append(reference)


def _place(letters: str, digits: str) -> Place:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - ord("A") + 1
    return Place(int(digits) - 1, column - 1)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
