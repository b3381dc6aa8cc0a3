from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.errors import LithoscopeError, ScanError, ScanFault
from encoder.planes import RawLayout, ReadOptions, ScanInfo
from encoder.readers import raw
from encoder.readers.raw_layout import layout_from_parts, parse_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOXELS = np.random.default_rng(7).integers(0, 100, (4, 5, 6)).astype("u2")
SIDE_CAR: dict[str, object] = {"shape": [4, 5, 6], "dtype": "uint16"}


def read(path: Path, layout: RawLayout | None = None) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(raw.open_planes(path, ReadOptions(raw=layout))) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, layout: RawLayout | None = None, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        raw.open_planes(path, ReadOptions(raw=layout, max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def save(path: Path, dtype: str = "<u2", header: bytes = b"") -> Path:
    path.write_bytes(header + VOXELS.astype(dtype).tobytes())
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("berea_4x5x6_uint16.raw", "<u2"),
        ("berea_4x5x6_u16.raw", "<u2"),
        ("berea-4x5x6-16bit.raw", "<u2"),
        ("berea_4x5x6_16-bit.raw", "<u2"),
        ("berea_4x5x6_16bits.raw", "<u2"),
        ("berea_4x5x6_8bit.raw", "u1"),
        ("berea_uint8_4x5x6.raw", "u1"),
        ("berea_4x5x6_u8.bin", "u1"),
        ("berea_4x5x6_i8.raw", "i1"),
        ("berea_4x5x6_int16.vol", "<i2"),
        ("berea_4x5x6_s16.raw", "<i2"),
        ("berea_4x5x6_uint32.raw", "<u4"),
        ("berea_4x5x6_float32.raw", "<f4"),
        ("berea_4x5x6_f32.raw", "<f4"),
        ("berea_4x5x6_float64_le.raw", "<f8"),
        ("berea_4x5x6_uint16_be.raw", ">u2"),
        ("berea_4x5x6_uint16be.raw", ">u2"),
        ("berea_4x5x6_u16-BE.raw", ">u2"),
        ("berea_4x5x6_16bit_big-endian.raw", ">u2"),
        ("berea_4x5x6_float32_little.raw", "<f4"),
        ("Berea_4X5X6_UINT16.RAW", "<u2"),
        ("berea4x5x6uint16.raw", "<u2"),
        ("berea 4\N{MULTIPLICATION SIGN}5\N{MULTIPLICATION SIGN}6 uint16.raw", "<u2"),
        ("berea_2.25um_4x5x6.uint16.raw", "<u2"),
        ("berea_4x5x6_9x9x9um_uint16.raw", "<u2"),
        ("berea_5x5x5mm_4x5x6_uint16.raw", "<u2"),
        ("BE_S8_4x5x6_uint16.raw", "<u2"),
        ("big_4x5x6_uint16.raw", "<u2"),
    ],
)
def test_names_that_labs_give_tell_the_layout(tmp_path: Path, name: str, dtype: str) -> None:
    path = save(tmp_path / name, dtype)
    assert raw.matches(b"", path)
    info, planes = read(path)
    assert (info.format, info.n_planes, info.height, info.width) == ("raw", 4, 5, 6)
    assert info.is_volume
    assert info.dtype == planes.dtype.name == np.dtype(dtype).name
    assert planes.dtype.isnative
    np.testing.assert_array_equal(planes, VOXELS)


def test_what_a_name_leaves_to_convention_is_noted(tmp_path: Path) -> None:
    order = "byte order taken as little endian"
    axes = "shape in its name taken as planes x rows x columns: 4 x 5 x 6"
    assert read(save(tmp_path / "a_4x5x6_uint16.raw"))[0].notes == (axes, order)
    assert read(save(tmp_path / "a_4x5x6_uint16_le.raw"))[0].notes == (axes,)
    assert read(save(tmp_path / "a_4x5x6_uint8.raw", "u1"))[0].notes == (axes,)
    np.zeros((3, 3, 3), "u1").tofile(tmp_path / "a_3x3x3_uint8.raw")
    assert read(tmp_path / "a_3x3x3_uint8.raw")[0].notes == ()


@pytest.mark.parametrize(("dtype", "name"), [("u1", "uint8"), ("<u2", "uint16")])
def test_one_or_two_bytes_a_voxel_need_no_type_in_the_name(
    tmp_path: Path, dtype: str, name: str
) -> None:
    info, planes = read(save(tmp_path / "berea_4x5x6.raw", dtype))
    assert info.dtype == name
    assert f"sample type {name} taken from its size" in info.notes
    np.testing.assert_array_equal(planes, VOXELS)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("rock_4x5x6_16bit_signed.raw", "int16"),
        ("rock_4x5x6_16-bit signed.raw", "int16"),
        ("rock_4x5x6_16bitsigned_be.raw", "int16"),
        ("rock_signed_16bit_le_4x5x6.raw", "int16"),
        ("rock_4x5x6_signed16.raw", "int16"),
        ("rock_4x5x6_sint16.raw", "int16"),
        ("rock_4x5x6_signed.raw", "int16"),
        ("rock_4x5x6_i16_signed.raw", "int16"),
        ("designed_4x5x6_16bit.raw", "uint16"),
        ("rock_4x5x6_16bit_unsigned.raw", "uint16"),
        ("rock_unsigned16_4x5x6.raw", "uint16"),
        ("rock_4x5x6_unsigned_int16.raw", "uint16"),
        ("rock_4x5x6_unsigned.raw", "uint16"),
        ("rock_4x5x6_8bit_signed.raw", "int8"),
        ("rock_4x5x6_32bit_signed.raw", "int32"),
        ("rock_4x5x6_32-bit unsigned.raw", "uint32"),
        ("rock_4x5x6_32bit_real.raw", "float32"),
        ("rock_4x5x6_signed_float64.raw", "float64"),
    ],
)
def test_signs_in_words(tmp_path: Path, name: str, dtype: str) -> None:
    stored = np.dtype(dtype).newbyteorder(">" if "_be" in name else "<")
    info, planes = read(save(tmp_path / name, stored.str))
    assert info.dtype == dtype
    assert any("unsigned" in note for note in info.notes) == name.startswith("designed")
    np.testing.assert_array_equal(planes, VOXELS)


def test_bits_of_no_told_sign_are_noted(tmp_path: Path) -> None:
    note = "sample type taken as unsigned: uint16"
    assert note in read(save(tmp_path / "a_4x5x6_16bit.raw"))[0].notes
    assert "sample type taken as unsigned: uint8" in (
        read(save(tmp_path / "a_4x5x6_8bit.raw", "u1"))[0].notes
    )
    assert note not in read(save(tmp_path / "a_4x5x6_uint16.raw"))[0].notes


@pytest.mark.parametrize(
    ("name", "dtype", "problem"),
    [
        ("a_4x5x6_uint16_signed.raw", "u2", "its name tells more than one sample type"),
        ("a_4x5x6_sint16_unsigned.raw", "u2", "its name tells more than one sample type"),
        ("a_4x5x6_signed_unsigned.raw", "u2", "its name tells more than one sign"),
        ("berea_4x5x6.raw", "f4", "no sample type, its size fits uint32 or int32 or float32"),
        ("berea_4x5x6_32bit.raw", "f4", "no sample type, its size fits uint32 or int32 or float32"),
        ("berea_4x5x6.raw", "f8", "no sample type, its size fits uint64 or int64 or float64"),
        ("berea.raw", "u2", "neither a side-car nor its name tells its shape"),
        ("berea_4x5_uint16.raw", "u2", "neither a side-car nor its name tells its shape"),
        ("berea_2x4x5x6_uint16.raw", "u2", "neither a side-car nor its name tells its shape"),
        ("berea_4x5x6_6x5x4_uint16.raw", "u2", "its name tells more than one shape"),
        ("berea_4x5x6_uint16_float32.raw", "u2", "its name tells more than one sample type"),
        ("berea_4x5x6_uint16_le_be.raw", "u2", "its name tells more than one byte order"),
    ],
)
def test_an_unknown_layout_is_told_with_three_remedies(
    tmp_path: Path, name: str, dtype: str, problem: str
) -> None:
    told = refusal(save(tmp_path / name, dtype))
    assert told.fault is ScanFault.UNKNOWN_SHAPE
    assert problem in str(told)
    assert "_1000x1000x1000_uint16.raw), in a side-car " in told.remedy
    assert f'{name}.json ({{"shape": [1000, 1000, 1000], "dtype": "uint16"}})' in told.remedy
    assert "as the raw layout (--raw 1000x1000x1000:uint16)" in told.remedy


@pytest.mark.parametrize("extension", [".mhd", ".nhdr"])
def test_the_lone_half_of_a_pair_names_its_header(tmp_path: Path, extension: str) -> None:
    (tmp_path / f"berea{extension}").touch()
    told = refusal(save(tmp_path / "berea.raw"))
    assert told.remedy == f"open its header berea{extension}, which lies beside it"


def test_a_size_that_does_not_match_is_told_with_what_it_fits(tmp_path: Path) -> None:
    told = refusal(save(tmp_path / "berea_4x5x6_uint16.raw", "u1"))
    assert told.fault is ScanFault.SIZE_MISMATCH
    assert "expected 240 bytes (0 of header, then 4 x 5 x 6 of uint16), found 120, which fits" in (
        told.problem
    )
    assert told.problem.endswith("which fits uint8 or int8")
    told = refusal(save(tmp_path / "berea_4x5x7_uint16.raw"))
    assert told.problem.endswith("found 240")
    told = refusal(save(tmp_path / "berea_4x5x7.raw"))
    assert told.fault is ScanFault.SIZE_MISMATCH
    assert "4 x 5 x 7 voxels need 140 bytes per byte of a sample, found 240" in told.problem


@pytest.mark.parametrize("name", ["berea.raw.json", "berea.json"])
def test_a_side_car_tells_the_layout(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "berea.raw", ">i2", header=b"seven b")
    fields = SIDE_CAR | {"dtype": "int16", "byte_order": "big"}
    fields |= {"header_bytes": 7, "pixel_size_um": 2.25}
    (tmp_path / name).write_text(json.dumps(fields))
    info, planes = read(path)
    assert (info.dtype, info.pixel_size_um, info.notes) == ("int16", 2.25, ())
    np.testing.assert_array_equal(planes, VOXELS)


def test_a_side_car_goes_before_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "berea_6x5x4_uint16_be.raw")
    (tmp_path / f"{path.name}.json").write_text(json.dumps(SIDE_CAR))
    (tmp_path / "berea_6x5x4_uint16_be.json").write_text("{not even JSON")
    np.testing.assert_array_equal(read(path)[1], VOXELS)


def test_a_json_file_about_something_else_is_left_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "berea_4x5x6_uint16.raw")
    (tmp_path / "berea_4x5x6_uint16.json").write_text('{"porosity": 0.2}')
    np.testing.assert_array_equal(read(path)[1], VOXELS)


def test_all_problems_of_a_side_car_are_told_at_once(tmp_path: Path) -> None:
    fields = {
        "shape": [4, 5.5, True],
        "dtype": "uint12",
        "byte_order": "middle",
        "header_bytes": -1,
        "pixel_size_um": 0,
        "dtpye": "uint16",
    }
    (tmp_path / "berea.raw.json").write_text(json.dumps(fields))
    told = refusal(save(tmp_path / "berea.raw"))
    assert told.fault is ScanFault.UNKNOWN_SHAPE
    assert told.problem == (
        "its side-car berea.raw.json can't be used: "
        "unknown key 'dtpye', expected shape, dtype, byte_order, header_bytes, pixel_size_um; "
        "shape: expected 3 whole numbers above 0, found [4, 5.5, true]; "
        "dtype: expected one of uint8, int8, uint16, int16, uint32, int32, uint64, int64, "
        'float16, float32, float64, found "uint12"; '
        'byte_order: expected little or big, found "middle"; '
        "header_bytes: expected a whole number, found -1; "
        "pixel_size_um: expected a pixel size from 0.0001 to 1,000,000 micrometres, found 0"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 60_000, "it is not JSON"),
        (b"[1, 2]", "expected an object, found [1, 2]"),
        (b"{}", "shape: expected 3 whole numbers above 0, found nothing"),
        (b'{"shape": [4, 5], "dtype": "uint16"}', "found [4, 5]"),
        (b'{"shape": [4, 0, 6], "dtype": "uint16"}', "found [4, 0, 6]"),
        (b'{"shape": [4, 5, 6], "dtype": ["uint16"]}', 'found ["uint16"]'),
        (b'{"shape": [4, 5, 6], "dtype": "uint16", "pixel_size_um": NaN}', "found NaN"),
        (b'{"shape": [4, 5, 6], "dtype": "uint16", "byte_order": []}', "little or big, found []"),
        (b" " * 70_000, "expected at most 65,536 bytes"),
    ],
)
def test_side_cars_that_cannot_be_used(tmp_path: Path, text: bytes, problem: str) -> None:
    (tmp_path / "berea.raw.json").write_bytes(text)
    told = refusal(save(tmp_path / "berea.raw"))
    assert told.fault is ScanFault.UNKNOWN_SHAPE
    assert problem in told.problem
    assert len(str(told)) < 600


def test_a_header_of_less_than_nothing_is_no_layout(tmp_path: Path) -> None:
    layout = RawLayout(shape=(4, 5, 7), dtype="<u2", header_bytes=-40)
    told = refusal(save(tmp_path / "berea.raw"), layout)
    assert told.fault is ScanFault.UNKNOWN_SHAPE
    assert "its layout has a header of -40 bytes" in told.problem


def test_the_layout_given_goes_before_all(tmp_path: Path) -> None:
    path = save(tmp_path / "berea_6x5x4_float32.dat", ">u2", header=b"abc")
    (tmp_path / f"{path.name}.json").write_text("{}")
    layout = RawLayout(shape=(4, 5, 6), dtype=">u2", header_bytes=3, pixel_size_um=5.0)
    info, planes = read(path, layout)
    assert (info.pixel_size_um, info.notes) == (5.0, ())
    np.testing.assert_array_equal(planes, VOXELS)


@pytest.mark.parametrize(
    ("shape", "dtype", "fault"),
    [
        ((0, 5, 6), "<u2", ScanFault.ZERO_SIZE),
        ((1, 20, 6), "<u2", ScanFault.TOO_THIN),
        ((2, 60, 50), "<u2", ScanFault.TOO_LARGE),
        ((4, 5, 6), "<c8", ScanFault.UNSUPPORTED),
        ((4, 5, 6), "uint12", ScanFault.UNKNOWN_SHAPE),
    ],
)
def test_layouts_that_cannot_be_used(
    tmp_path: Path, shape: tuple[int, int, int], dtype: str, fault: ScanFault
) -> None:
    told = refusal(save(tmp_path / "berea.raw"), RawLayout(shape=shape, dtype=dtype))
    assert told.fault is fault


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("1000x900x800:uint16", RawLayout(shape=(1000, 900, 800), dtype="<u2")),
        (" 4X5X6:Float32:BIG ", RawLayout(shape=(4, 5, 6), dtype=">f4")),
        ("4x5x6:int8:little:512", RawLayout(shape=(4, 5, 6), dtype="<i1", header_bytes=512)),
        ("4x5x6:uint16:be", RawLayout(shape=(4, 5, 6), dtype=">u2")),
        ("4x5x6:uint16:1024", RawLayout(shape=(4, 5, 6), dtype="<u2", header_bytes=1024)),
    ],
)
def test_a_layout_is_read_from_text(text: str, layout: RawLayout) -> None:
    assert parse_layout(text) == layout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4x5x6",
        "4x5:uint16",
        "4x5x6:uint12",
        "4x5x6:uint16:middle",
        "4x5x6:uint16:little:-1",
        "4x5x6:uint16:little:1:2",
        "-4x5x6:uint16",
        "\N{ARABIC-INDIC DIGIT FOUR}x5x6:uint16",
        "9" * 5000 + "x5x6:uint16",
    ],
)
def test_text_that_is_no_layout_is_told_with_an_example(text: str) -> None:
    with pytest.raises(LithoscopeError, match="write for example 1000x1000x1000:uint16"):
        parse_layout(text)


@pytest.mark.parametrize("name", ["berea.png", "berea", "raw", "berea.raw.gz"])
def test_other_extensions_do_not_match(tmp_path: Path, name: str) -> None:
    assert not raw.matches(b"", tmp_path / name)


def test_a_layout_is_put_together_from_its_parts() -> None:
    layout = layout_from_parts((4, 16, 20), "uint16", byte_order="big", pixel_size_um=2.5)
    assert layout == RawLayout(shape=(4, 16, 20), dtype=">u2", pixel_size_um=2.5)


@pytest.mark.parametrize(
    ("shape", "sample_type", "others", "told"),
    [
        ((4, None, 20), "uint8", {}, "found 4 x [?] x 20"),
        ((4, 0, 20), "uint8", {}, "give all three, from 1"),
        ((4, 16), "uint8", {}, "planes x rows x columns"),
        ((4, 16, 20), None, {}, "found no type"),
        ((4, 16, 20), "uint12", {}, "found uint12 type"),
        ((4, 16, 20), "uint8", {"byte_order": "middle"}, "byte order middle"),
        ((4, 16, 20), "uint8", {"header_bytes": -1}, "-1 bytes"),
        ((4, 16, 20), "uint8", {"pixel_size_um": 0.0}, "pixel size of 0"),
        ((4, 16, 20), "uint8", {"pixel_size_um": float("nan")}, "pixel size of nan"),
        ((4, 16, 20), "uint8", {"pixel_size_um": 1e308}, "pixel size of 1e[+]308"),
    ],
)
def test_parts_that_make_no_layout_are_told_in_a_line(
    shape: tuple[int | None, ...], sample_type: str | None, others: dict[str, Any], told: str
) -> None:
    with pytest.raises(LithoscopeError, match=told) as error:
        layout_from_parts(shape, sample_type, **others)
    assert "\n" not in str(error.value)
