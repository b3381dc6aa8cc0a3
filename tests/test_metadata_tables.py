"""Metadata tables: encodings, delimiters, units, types, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from encoder.metadata.grids import MAX_ROWS, MAX_TABLE_BYTES
from encoder.metadata.problems import MetadataError, MetadataProblem
from encoder.metadata.sheets import MAX_CELLS
from encoder.metadata.tables import find_tables, find_tables_below, read_table

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(folder: Path, text: str | bytes, name: str = "metadata.csv") -> list[dict[str, Any]]:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [dict(row.values) for row in read_table(path, name=name).rows]


def problems_of(folder: Path, text: str | bytes) -> list[MetadataProblem]:
    with pytest.raises(MetadataError) as caught:
        rows_of(folder, text)
    return caught.value.problems


TEXT = 'Image,Sample,Porosity,Remark\r\na.png,"S, ""1""",0.2,grün\r\n\r\nb.png,S2,,\r\n'
TEXT_VALUES = [{"sample": 'S, "1"', "porosity": 0.2, "remark": "grün"}, {"sample": "S2"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    assert rows_of(tmp_path, TEXT.encode(encoding)) == TEXT_VALUES


def test_other_encodings_are_read_as_windows_1252_and_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    table = read_table(path, name="metadata.csv")
    assert [dict(row.values) for row in table.rows] == TEXT_VALUES
    assert table.notes == (
        "metadata.csv is not UTF-8 (line 2): read as Windows-1252; check its names",
    )


def test_bytes_that_mean_nothing_in_windows_1252_are_kept(tmp_path: Path) -> None:
    [row] = rows_of(tmp_path, b"Image,Remark\na.png,\xb5\x81\n")
    assert row == {"remark": "\xb5\x81"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, newline: str) -> None:
    lines = ['Image#"k, mD; air"#Porosity', "", "a.png#1.5#0.2", "##", "b.png#-#n/a", ""]
    text = newline.join(lines).replace("#", delimiter)
    assert rows_of(tmp_path, text) == [{"k_md_air": 1.5, "porosity": 0.2}, {}]


def test_excels_delimiter_line_is_no_row(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "sep=;\r\nImage;phi\r\na.png;2\r\n")
    assert [problem.row for problem in problems] == [2]


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    text = "Image;Porosity;Permeability;n\na.png;0,25;1660,5;3\nb.png;1;7;4\n"
    assert rows_of(tmp_path, text) == [
        {"porosity": 0.25, "permeability_md": 1660.5, "n": 3},
        {"porosity": 1.0, "permeability_md": 7.0, "n": 4},
    ]


def test_points_between_semicolons_are_decimal_where_no_comma_is(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "Image;Porosity\na.png;0.25\n") == [{"porosity": 0.25}]


def test_point_beside_decimal_commas_might_group_thousands(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "Image;phi;k_md\na.png;0,25;1.660\nb.png;0,1;1.660,5\n")
    assert [(problem.row, problem.column) for problem in problems] == [(2, "k_md"), (3, "k_md")]
    assert "decimal comma" in str(problems[0])


@pytest.mark.parametrize("delimiter", ["\t", "|"])
def test_decimal_commas_between_tabs_and_bars(tmp_path: Path, delimiter: str) -> None:
    text = "Image#Porosity#Depth\na.png#0,25#1234,5\nb.png#1#7\n".replace("#", delimiter)
    assert rows_of(tmp_path, text) == [
        {"porosity": 0.25, "depth": 1234.5},
        {"porosity": 1.0, "depth": 7.0},
    ]


def test_commas_beside_decimal_points_between_tabs_are_text(tmp_path: Path) -> None:
    text = "Image\tPorosity\tPlugs\na.png\t0.25\t1,2\n"
    assert rows_of(tmp_path, text) == [{"porosity": 0.25, "plugs": "1,2"}]


def test_errors_of_a_spreadsheet_in_text_are_refused(tmp_path: Path) -> None:
    text = "Image,Sample,Porosity,Remark\na.png,#REF!,#DIV/0!,#N/A\nb.png,S1,#N/A,#VALUE!\n"
    problems = problems_of(tmp_path, text)
    assert [(problem.row, problem.column, problem.found) for problem in problems] == [
        (2, "Sample", "'#REF!'"),
        (2, "Porosity", "'#DIV/0!'"),
        (3, "Remark", "'#VALUE!'"),
    ]


@pytest.mark.parametrize(
    ("header", "cell"), [("Porosity", "-0.1"), ("Porosity (%)", "230"), ("Porosity", "1e999")]
)
def test_remedy_of_a_porosity_that_dividing_would_not_mend(
    tmp_path: Path, header: str, cell: str
) -> None:
    [problem] = problems_of(tmp_path, f"Image,{header}\na.png,{cell}\n")
    assert "100" not in problem.remedy


@pytest.mark.parametrize(
    ("line", "count"), [("a\n", MAX_ROWS + 2), (f"a{',' * 9999}\n", MAX_CELLS // 10_000 + 2)]
)
def test_tables_of_too_many_cells_are_refused(tmp_path: Path, line: str, count: int) -> None:
    """Five million short rows took 2.4 GB."""
    [problem] = problems_of(tmp_path, "Image,Porosity\n" + line * count)
    assert f"{MAX_ROWS:,} rows and {MAX_CELLS:,} cells" in problem.expected
    assert "split it" in problem.remedy


@pytest.mark.parametrize("missing", ["", " ", "NaN", "nan", "-", "–", "n/a", "N/A", "NULL", "#N/A"])
def test_what_was_not_measured_is_left_out(tmp_path: Path, missing: str) -> None:
    text = f"Image,Porosity,Reservoir,Depth_m\na.png,{missing},{missing},{missing}\n"
    assert rows_of(tmp_path, text) == [{}]


# factors from the units' definitions: 1 darcy = 0.9869233 µm²
@pytest.mark.parametrize(
    ("header", "cell", "name", "value"),
    [
        ("Porosity", "0.235", "porosity", 0.235),
        ("porosity (%)", "23.5", "porosity", 0.235),
        ("Porosity_pct", "7", "porosity", 0.07),
        ("Porosity per cent", "7", "porosity", 0.07),
        ("φ [-]", "0.07", "porosity", 0.07),
        ("PHI", "1", "porosity", 1.0),
        ("Permeability", "1660", "permeability_md", 1660.0),
        ("Permeability_mD", "1660", "permeability_md", 1660.0),
        ("PermeabilitymD", "1660", "permeability_md", 1660.0),
        ("perm [D]", "1.2", "permeability_md", 1200.0),
        ("Permeability (m²)", "9.869233e-13", "permeability_md", 1000.0),
        ("Permeability (um^2)", "0.9869233", "permeability_md", 1000.0),
        ("k_nd", "500", "permeability_md", 0.0005),
        ("k in mD", "2", "permeability_md", 2.0),
        ("Pixelsize", "5.345", "pixel_size_um", 5.345),
        ("Pixelsize_um", "5.345", "pixel_size_um", 5.345),
        ("Voxel size (µm)", "5.345", "pixel_size_um", 5.345),
        ("Voxel size [μm/voxel]", "5.345", "pixel_size_um", 5.345),
        ("Pixelsize_mm", "0.005345", "pixel_size_um", 5.345),
        ("PixelSize_nm", "700", "pixel_size_um", 0.7),
        ("voxel-size (m)", "2.5e-6", "pixel_size_um", 2.5),
        ("resolution (µm)", "3", "pixel_size_um", 3.0),
    ],
)
def test_units_in_a_name_decide(
    tmp_path: Path, header: str, cell: str, name: str, value: float
) -> None:
    [row] = rows_of(tmp_path, f"Image,{header}\na.png,{cell}\n")
    assert row == {name: pytest.approx(value, rel=1e-7)}


@pytest.mark.parametrize(
    "header",
    [
        *("Porosity (mD)", "Porosity_ft", "Permeability (furlong)", "Permeability_um"),
        *("Pixelsize (%)", "Pixelsize_inch", "perm [psi]", "Porosity (helium)"),
    ],
)
def test_units_that_are_unknown_or_wrong_are_refused(tmp_path: Path, header: str) -> None:
    [problem] = problems_of(tmp_path, f"Image,{header}\na.png,0.5\n")
    assert (problem.row, problem.column) == (1, header)
    assert "unit" in problem.found


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Permeability_horizontal", "permeability_horizontal"),
        ("phi_d", "phi_d"),
        ("K", "k"),
        ("K_d", "k_d"),
        ("Resolution", "resolution"),
        ("Depth (m)", "depth_m"),
        ("Clay (%)", "clay_percent"),
        ("Größe", "größe"),
        ("Label", "label"),
    ],
)
def test_other_columns_are_free_properties(tmp_path: Path, header: str, name: str) -> None:
    assert rows_of(tmp_path, f"Image,{header}\na.png,0.5\n") == [{name: 0.5}]


@pytest.mark.parametrize(
    "header",
    [
        *("Image,Porosity,phi", "Image,perm,k_md", "Image,Sample,Sample name"),
        *("Image,Clay fraction,clay_fraction", "Image,Pixelsize_um,Voxelsize_um"),
    ],
)
def test_two_columns_for_one_field_are_refused(tmp_path: Path, header: str) -> None:
    [problem] = problems_of(tmp_path, f"{header}\na.png,0.5,0.5\n")
    assert "2 columns for" in problem.found
    assert header.split(",")[2] in problem.found


def test_second_choice_names_yield_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text("Image,File,Reservoir,Formation\na.png,b.png,E1,Brent\n")
    [row] = read_table(path).rows
    assert (row.image, dict(row.values)) == (
        "a.png",
        {"file": "b.png", "reservoir": "E1", "formation": "Brent"},
    )
    path.write_text("File name,Formation\nb.png,Brent\n")
    [row] = read_table(path).rows
    assert (row.image, dict(row.values)) == ("b.png", {"reservoir": "Brent"})


def test_rockirs_columns(tmp_path: Path) -> None:
    text = (
        "Label,GI,NI,Size,Depth,Image,Porosity,Permeability,Pixelsize,Created_label\n"
        "E1,1,2,1000,1800.5,E002M0,0.21,350,2.5,AA01\n"
    )
    path = tmp_path / "microct_0114_random_labels.csv"
    path.write_text(text)
    [row] = read_table(path).rows
    assert row.image == "E002M0"
    assert row.values == {
        "reservoir": "E1",
        "sample": "AA01",
        "porosity": 0.21,
        "permeability_md": 350.0,
        "pixel_size_um": 2.5,
        "gi": 1,
        "ni": 2,
        "size": 1000,
        "depth": 1800.5,
    }


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["1.0", "2", "-"], [1.0, 2.0, None]),
        (["1", "x", "1e3"], ["1", "x", "1e3"]),
        (["TRUE", "false", ""], [True, False, None]),
        (["TRUE", "1", ""], ["TRUE", "1", None]),
        (["2020-05-04", "", "2020-05-04T10:00"], ["2020-05-04", None, "2020-05-04T10:00"]),
        (["2020-05-04", "2020-99-99", ""], ["2020-05-04", "2020-99-99", None]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["12345678901234567890", "1", ""], ["12345678901234567890", "1", None]),
        (["1e999", "1", ""], ["1e999", "1", None]),
        ([" x ", "inf", "n/a"], ["x", "inf", None]),
    ],
)
def test_free_columns_keep_their_type(
    tmp_path: Path, cells: list[str], values: list[object]
) -> None:
    text = "".join(f"{name}.png,{cell}\n" for name, cell in zip("abc", cells, strict=True))
    found = [row.get("free") for row in rows_of(tmp_path, f"Image,Free\n{text}")]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("written", "modality"),
    [
        *(("microCT", "micro_ct"), ("Micro CT", "micro_ct"), ("µCT", "micro_ct")),
        *(("thin section", "thin_section"), ("Thin-Section", "thin_section")),
    ],
)
def test_modality_in_near_spellings(tmp_path: Path, written: str, modality: str) -> None:
    text = f"Image,Modality\na.png,{written}\n"
    assert rows_of(tmp_path, text) == [{"modality": modality}]


def test_every_problem_of_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    text = (
        "\nImage,Sample,Porosity,k_md,Pixelsize_um,Modality,object_key\n"
        "a.png,S1,23.5,1,2,,\n"
        "\n"
        'b.png,S1,"0,2",-5,0,MRI,\n'
        ",,0.2,12 mD,2,,\n"
        "c.png,S1,0.2,1e999,2,,nowhere\n"
        "d.png,S1,0,2,1,2,,\n"
    )
    problems = problems_of(tmp_path, text)
    assert [(problem.row, problem.column) for problem in problems] == [
        (3, "Porosity"),
        *((5, name) for name in ("Porosity", "k_md", "Pixelsize_um", "Modality")),
        (6, "k_md"),
        (6, None),
        (7, "k_md"),
        (7, "object_key"),
        (8, "Modality"),
        (8, None),
    ]
    lines = [str(problem) for problem in problems]
    assert lines[0] == (
        "metadata.csv row 3, column 'Porosity': found '23.5', expected a fraction from 0 to 1, "
        "not per cent; divide by 100, or say so in the column's name: 'Porosity (%)'"
    )
    assert "decimal point" in lines[1]
    assert "delimiter" in lines[-1]
    assert all("\n" not in line for line in lines)


def test_found_text_is_quoted_and_bounded(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, f'Image,Porosity\na.png,"x\n{"y" * 5000}"\n')
    assert len(problem.found) <= 60
    assert "\\n" in problem.found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"\n\n ,,\n", "no filled row"),
        (b"Porosity,Reservoir\n0.2,E1\n", "object_key, Image or Sample"),
        (b'Image,Porosity\n"a.png,0.2\n', "broken quoting"),
        (b"\x00\x01\x02\x03\x80\xff" * 50, "binary data"),
        (b"\xff\xfea\x00b\xd8", "UTF-16"),
        (b"PK\x03\x04 no spreadsheet", "damaged spreadsheet"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    [problem] = problems_of(tmp_path, content)
    assert words in str(problem)
    assert str(problem).startswith("metadata.csv")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"nowhere\.csv: found No such file"):
        read_table(tmp_path / "nowhere.csv", name="nowhere.csv")


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    with path.open("wb") as file:
        file.truncate(MAX_TABLE_BYTES + 1)  # a hole: it takes no disk
    with pytest.raises(MetadataError, match="split it"):
        read_table(path)


def test_table_without_rows_is_fine(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "Image,Porosity\n") == []


def test_index_column_of_pandas_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text(",Image,Porosity\n0,a.png,0.1\n1,b.png,0.2\n")
    table = read_table(path, name="metadata.csv")
    assert [dict(row.values) for row in table.rows] == [{"porosity": 0.1}, {"porosity": 0.2}]
    assert table.notes == ("metadata.csv: 1 column(s) without a name were left out",)


def test_fractions_under_a_per_cent_name_are_told(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text("Image,Porosity (%)\na.png,0.21\n")
    table = read_table(path, name="metadata.csv")
    assert table.rows[0].values["porosity"] == pytest.approx(0.0021)
    assert "fractions" in table.notes[0]


def test_csv_named_like_a_spreadsheet_is_read(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "Image,phi\na,0.1\n", name="metadata.xlsx") == [{"porosity": 0.1}]


def test_tables_are_found_beside_and_above_up_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "library"
    deep = root / "E1" / "S1"
    deep.mkdir(parents=True)
    (root / "E2").mkdir()
    wanted = [root / "metadata.csv", root / "metadata_extra.TSV", deep / "Metadata-lab.xlsx"]
    unwanted = [
        *(tmp_path / "metadata.csv", root / "metadata.txt", root / "~$metadata.xlsx"),
        *(root / "my_metadata.csv", root / "E2" / "metadata.csv"),
    ]
    for path in (*wanted, *unwanted):
        path.touch()
    (deep / "metadata.csv").mkdir()  # a folder is no table
    assert find_tables(deep, root=root) == wanted
    assert find_tables(deep) == [wanted[-1]]
    assert find_tables(root, root=root) == wanted[:2]
    assert find_tables_below(root) == sorted([*wanted, root / "E2" / "metadata.csv"])
    with pytest.raises(ValueError, match="not in the subpath"):
        find_tables(tmp_path, root=root)
