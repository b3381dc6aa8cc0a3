"""Metadata in spreadsheets: .xlsx, .xls and .ods by content, sheets, types, damage."""

from __future__ import annotations

import base64
import datetime as dt
import zipfile
import zlib
from typing import TYPE_CHECKING

import openpyxl  # type: ignore[import-untyped]  # it has no stubs
import pytest

from encoder.metadata.problems import MetadataError
from encoder.metadata.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# a workbook that xlwt 1.3 wrote: SHEET's rows, and an empty second sheet
XLS = """
eNrtWE1IVFEU/u6bNzqa82caaSCDpKlpMrRpY1OhSQtlqkU/BDWTwyCjM8PkZlqUZbMMglZFG8EWbaw2/WBF7VpERi2C
IBhr2SooaKG+zjnvzfiTggMqGO973HPvOfeec8+799yf9z5M+/Pjj+tnsAwH4cC8UYGyRTJFqaLA+ED1hsHFQu6iZNjY
Uqhw0USWOTHlflfOc8jzPQMNj/Q3RIFvlM4hjf5UMhbYRBwRHyKKfehSOsWehnuUPKgTv6qFXhS6XehDaftC6CGR3BTa
RW3z6iymQ/1tB6w4Pq01Sp2HqMJT0fkikiBq8Zbj+OotZbZ14nBmMDK0xSoa9CpMgKa0N5aMZZj34j4qgTOEjr6+ju7u
PGpouifw2wgAvwrr+nXAlm+uXIHkf5bKy1eRu2gSl8tvazowCuOC4mDO0Rbdo5uxEMnBjbhs4U7EhtMj2Vn0c1BIcgLH
hiPxWBUQTmVSlwZHsoGWplaq6s4MDg3FBiiikrQmUoltQE+w82SwM7IvnYwXuShzlXwoyCbiW7KJuGVpVREdgFfKfllg
PnqH2Qc/P/ZFw6HzIhmVg8M8Xpr4XWDgGmuQskdqHDBfAWgTjb1Cr4vVXVKuF1pDbShvDtdahaNj0uaG1DZTP/sFn0J7
FpVbqJz7cfxZQ+57qJXKk70zl2smP4fG0UhjOUD6/IyhXbWru3cYz0OFXFkb0Vehdf9sSi7NZ/luWGeoF3O8DAl+oSbH
o6OKnGaNlck5iHMUOZ043bKsVrCsxDKP1UvsFM/9mNrNG+b7SbbrEYtOzUU1uvTKlrQVLGliiefylXBsif26ojHHXlWz
FlnSxBJdGrRqPGE12oAXsH4RglUjZAFbLUJkzLDSmNmwYcOGDRs2bGwIlFw3zSu2bl2yy6wPBP6vM0dp3v5N8t/iBFL0
jNAnZQ+SlGeQLSl+dsCpCrbUGnUK/wsZp6j3DBKIih+JkuOXLtdq8fusWdG3fkuo1P7nS/Fzg/v/C4CMDPI=
"""
SHEET: list[list[object]] = [
    ["Image", "Porosity (%)", "Drilled", "n", "ok"],
    ["E1/S1/a.png", 23.5, dt.date(2020, 5, 4), 3, True],
    ["E1/S1/b.png", None, None, 4, False],
]
SHEET_VALUES = [
    {"porosity": 0.235, "drilled": "2020-05-04", "n": 3, "ok": True},
    {"n": 4, "ok": False},
]


def xls_bytes() -> bytes:
    return zlib.decompress(base64.b64decode(XLS))


def write_xlsx(path: Path, sheets: dict[str, Sequence[Sequence[object]]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)


def write_ods(path: Path) -> None:
    """A minimal OpenDocument spreadsheet with SHEET's rows, by the format's specification."""

    def cell(value: object) -> str:
        kinds = {bool: "boolean", float: "float", int: "float", dt.date: "date", str: "string"}
        kind = kinds.get(type(value))
        if kind is None:
            return "<table:table-cell/>"
        plain = str(value).lower() if kind == "boolean" else str(value)
        name = {"float": "value", "string": "string-value"}.get(kind, f"{kind}-value")
        return (
            f'<table:table-cell office:value-type="{kind}" office:{name}="{plain}">'
            f"<text:p>{plain}</text:p></table:table-cell>"
        )

    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in SHEET)
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    content = (
        f"<office:document-content{spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="a">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
@pytest.mark.parametrize("extension", ["own", "csv"])
def test_spreadsheets_by_their_content(tmp_path: Path, kind: str, extension: str) -> None:
    path = tmp_path / f"metadata.{kind if extension == 'own' else extension}"
    if kind == "xlsx":
        write_xlsx(path, {"a": SHEET, "empty": []})
    elif kind == "ods":
        write_ods(path)
    else:
        path.write_bytes(xls_bytes())
    table = read_table(path)
    assert [(row.number, row.image) for row in table.rows] == [
        (2, "E1/S1/a.png"),
        (3, "E1/S1/b.png"),
    ]
    assert [dict(row.values) for row in table.rows] == SHEET_VALUES


def test_row_numbers_of_a_spreadsheet_count_empty_rows(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    rows: list[list[object]] = [[], [], ["Image", "Porosity"], [], ["a.png", 40]]
    write_xlsx(path, {"a": rows})
    with pytest.raises(MetadataError) as caught:
        read_table(path)
    assert [problem.row for problem in caught.value.problems] == [5]


def test_several_filled_sheets_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    write_xlsx(path, {"plugs": SHEET, "notes": [["made by hand"]]})
    with pytest.raises(MetadataError, match=r"2 filled sheets \('plugs', 'notes'\)"):
        read_table(path)


def test_hidden_sheets_are_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    write_xlsx(path, {"lists": [["x"]], "plugs": SHEET})
    book = openpyxl.load_workbook(path)
    book["lists"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert [dict(row.values) for row in read_table(path).rows] == SHEET_VALUES


def test_spreadsheet_numbers_as_names(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    write_xlsx(path, {"a": [["Sample", "Reservoir", "Porosity"], [12, 3.0, "0.2"]]})
    [row] = read_table(path).rows
    assert row.values == {"sample": "12", "reservoir": "3", "porosity": 0.2}


def test_wrong_types_in_a_spreadsheet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    rows: list[list[object]] = [
        ["Image", "Porosity"],
        ["a", True],
        ["b", dt.date(2020, 1, 2)],
        ["c", 0.1],
    ]
    write_xlsx(path, {"a": rows})
    with pytest.raises(MetadataError) as caught:
        read_table(path)
    assert [(problem.row, problem.found) for problem in caught.value.problems] == [
        (2, "'True'"),
        (3, "'2020-01-02'"),
    ]


def test_error_cells_are_refused_with_their_place(tmp_path: Path) -> None:
    """They were once taken as not measured."""
    path = tmp_path / "metadata.xlsx"
    write_xlsx(path, {"other": [], "a": [["Image", "Porosity", "Remark"], ["a.png", 0.2, "x"]]})
    book = openpyxl.load_workbook(path)
    for row, errors in ((3, ("#DIV/0!", None)), (5, ("#N/A", "#REF!"))):
        book["a"].cell(row=row, column=1).value = "b.png"
        for column, error in enumerate(errors, start=2):
            if error is not None:
                book["a"].cell(row=row, column=column).value = error
                assert book["a"].cell(row=row, column=column).data_type == "e"
    book.save(path)
    with pytest.raises(MetadataError) as caught:
        read_table(path)
    assert [(each.row, each.column, each.found) for each in caught.value.problems] == [
        (3, "Porosity", "'#DIV/0!'"),
        (5, "Remark", "'#REF!'"),
    ]


def test_formulas_that_no_program_has_computed_are_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    write_xlsx(path, {"a": [["Image", "Porosity"], ["a.png", "=1/4"], ["b.png", "=1/5"]]})
    table = read_table(path, name="metadata.xlsx")
    assert [dict(row.values) for row in table.rows] == [{}, {}]
    assert len(table.notes) == 1
    assert table.notes[0].startswith("metadata.xlsx: 2 formulas without a computed value")
    assert "B2" in table.notes[0]


def test_stray_cell_far_below_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xlsx"
    book = openpyxl.Workbook()
    book.active["A1"] = "Image"
    book.active.cell(row=1_048_576, column=6).value = "x"
    book.save(path)
    with pytest.raises(MetadataError, match=r"1,048,576 by 6 cells.*stray"):
        read_table(path)


@pytest.mark.parametrize("length", [9, 700, 3602, 5000])
def test_damaged_xls_is_refused(tmp_path: Path, length: int) -> None:
    """At 3602 bytes its parser panics; other damage makes it loop, out of Python's reach."""
    path = tmp_path / "metadata.xls"
    path.write_bytes(xls_bytes()[:length])
    with pytest.raises(MetadataError, match=r"metadata\.xls: found a damaged spreadsheet"):
        read_table(path, name="metadata.xls")
