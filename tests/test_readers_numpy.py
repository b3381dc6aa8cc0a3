from __future__ import annotations

import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions, ScanInfo
from encoder.readers import numpy_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray


def read(path: Path) -> tuple[ScanInfo, NDArray[Any]]:
    with closing(numpy_file.open_planes(path, ReadOptions())) as source:
        return source.info, np.stack([source.plane(i) for i in range(source.info.n_planes)])


def refusal(path: Path, max_pixels: int = 1000) -> ScanError:
    with pytest.raises(ScanError) as told:
        numpy_file.open_planes(path, ReadOptions(max_pixels=max_pixels))
    assert told.value.source == path.name
    return told.value


def save(path: Path, array: NDArray[Any]) -> Path:
    np.save(path, array)
    return path


def ordered(array: NDArray[Any], order: str) -> NDArray[Any]:
    return np.asfortranarray(array) if order == "F" else np.ascontiguousarray(array)


def numbers(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.random.default_rng(7).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype", ["|u1", "|i1", "<u2", ">u2", "<i4", ">f4", "<f8", ">i8", "<f2", "|b1"]
)
def test_a_volume_of_any_type_and_order_comes_back_voxel_by_voxel(
    tmp_path: Path, dtype: str, order: str
) -> None:
    stored = ordered(numbers((4, 5, 6), dtype), order)
    info, planes = read(save(tmp_path / "rock.npy", stored))
    assert (info.format, info.n_planes, info.height, info.width) == ("NumPy", 4, 5, 6)
    assert info.is_volume
    assert info.channels == 1
    assert info.dtype == planes.dtype.name
    assert planes.dtype.isnative
    assert planes.dtype == (np.uint8 if dtype == "|b1" else np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(planes, stored)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_trailing_axis_of_three_or_four_is_colour_and_alpha_goes(
    tmp_path: Path, channels: int, order: str
) -> None:
    image = ordered(numbers((5, 6, channels), "u2"), order)
    volume = ordered(numbers((4, 5, 6, channels), "u2"), order)
    info, planes = read(save(tmp_path / "image.npy", image))
    assert (info.channels, info.n_planes, info.is_volume) == (3, 1, False)
    np.testing.assert_array_equal(planes[0], image[..., :3])
    info, planes = read(save(tmp_path / "volume.npy", volume))
    assert (info.channels, info.n_planes, info.is_volume) == (3, 4, True)
    np.testing.assert_array_equal(planes, volume[..., :3])


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_image_is_one_plane(tmp_path: Path, order: str) -> None:
    image = ordered(numbers((5, 7), "u1"), order)
    info, planes = read(save(tmp_path / "image.npy", image))
    assert (info.n_planes, info.height, info.width, info.is_volume) == (1, 5, 7, False)
    np.testing.assert_array_equal(planes[0], image)


def test_a_column_major_plane_larger_than_a_block_is_gathered_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_file, "_BLOCK_BYTES", 100)
    stored = np.asfortranarray(numbers((7, 33, 41), "u2"))
    _, planes = read(save(tmp_path / "rock.npy", stored))
    np.testing.assert_array_equal(planes, stored)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    path, stored = tmp_path / "rock.npy", numbers((3, 4, 5), "u2")
    with path.open("wb") as file:
        np.lib.format.write_array(file, stored, version=version)
    np.testing.assert_array_equal(read(path)[1], stored)


def test_content_decides_whether_it_matches(tmp_path: Path) -> None:
    path = save(tmp_path / "rock.npy", numbers((3, 4, 5), "u1"))
    assert numpy_file.matches(path.read_bytes()[:4096], tmp_path / "rock.png")
    assert not numpy_file.matches(b"\x89PNG\r\n", path)


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "S4", [("a", "u1"), ("b", "u2")]])
def test_samples_that_are_no_numbers_are_unsupported(tmp_path: Path, dtype: DTypeLike) -> None:
    told = refusal(save(tmp_path / "rock.npy", np.zeros((3, 4, 5), dtype)))
    assert told.fault is ScanFault.UNSUPPORTED
    assert "its samples are of type" in str(told)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (tmp_path.joinpath("exploded").touch, ())

    bombs = np.empty((2, 2), object)
    bombs[...] = [[Bomb(), Bomb()], [Bomb(), Bomb()]]
    np.save(tmp_path / "rock.npy", bombs, allow_pickle=True)
    assert refusal(tmp_path / "rock.npy").fault is ScanFault.UNSUPPORTED
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4, 5), (2, 2, 3, 4, 3)])
def test_other_numbers_of_axes_are_unsupported(tmp_path: Path, shape: tuple[int, ...]) -> None:
    told = refusal(save(tmp_path / "rock.npy", np.zeros(shape, np.uint8)))
    assert told.fault is ScanFault.UNSUPPORTED
    assert f"its array has shape {shape}" in str(told)


def test_sizes_are_checked_before_any_voxel_is_read(tmp_path: Path) -> None:
    empty = refusal(save(tmp_path / "empty.npy", np.zeros((0, 4, 5), np.uint8)))
    assert empty.fault is ScanFault.ZERO_SIZE
    assert "0 x 4 x 5 voxels" in str(empty)
    thin = refusal(save(tmp_path / "thin.npy", np.zeros((1, 4, 5), np.uint8)))
    assert thin.fault is ScanFault.TOO_THIN
    assert "1 x 4 x 5 voxels, expected at least 2" in str(thin)
    large = refusal(save(tmp_path / "large.npy", np.zeros((2, 40, 50), np.uint8)), max_pixels=1999)
    assert large.fault is ScanFault.TOO_LARGE
    assert "2,000 pixels, at most 1,999" in str(large)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_shorter_or_longer_than_promised_is_told(tmp_path: Path, order: str) -> None:
    path = tmp_path / "rock.npy"
    whole = ordered(numbers((3, 4, 5), "u2"), order)
    content = save(path, whole).read_bytes()
    path.write_bytes(content[:-1])
    short = refusal(path)
    assert short.fault is ScanFault.TRUNCATED
    assert "promises 120 bytes of voxels, 119 were found" in str(short)
    path.write_bytes(content + b"x")
    long = refusal(path)
    assert long.fault is ScanFault.SIZE_MISMATCH
    assert "promises 120 bytes of voxels, 121 were found" in str(long)


def test_a_file_that_shrinks_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    path = save(tmp_path / "rock.npy", numbers((30, 40, 50), "u2"))
    with closing(numpy_file.open_planes(path, ReadOptions())) as source:
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ScanError) as told:
            source.plane(20)
    assert told.value.fault is ScanFault.TRUNCATED


def test_a_header_that_ends_too_early_is_truncated(tmp_path: Path) -> None:
    path = save(tmp_path / "rock.npy", numbers((3, 4, 5), "u2"))
    path.write_bytes(path.read_bytes()[:40])
    told = refusal(path)
    assert told.fault is ScanFault.TRUNCATED
    assert "ends within its header" in str(told)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<u2', 'fortran_order': False}",
        "{'descr': '<u2', 'fortran_order': 3, 'shape': (2, 3, 4)}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (2, 3, 4)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': ('2', 3, 4)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3, 4",
        "-" * 9000 + "1",
        "(" * 9000,
        "[1, 2]",
        "\0\0\0",
    ],
)
def test_a_damaged_header_is_told_in_one_short_line(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rock.npy"
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(48))
    told = refusal(path)
    assert told.fault is ScanFault.UNREADABLE
    assert "its header is damaged" in str(told)
    assert "\n" not in str(told)
    assert len(str(told)) < 300


def test_a_negative_size_is_no_size(tmp_path: Path) -> None:
    path = tmp_path / "rock.npy"
    text = b"{'descr': '<u2', 'fortran_order': False, 'shape': (-2, 3, -4)}\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(48))
    assert refusal(path).fault is ScanFault.ZERO_SIZE


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("index", [-1, 3])
def test_there_are_no_planes_beyond_the_last(tmp_path: Path, index: int, order: str) -> None:
    stored = ordered(numbers((3, 4, 5), "u2"), order)
    path = save(tmp_path / "rock.npy", stored)
    with (
        closing(numpy_file.open_planes(path, ReadOptions())) as source,
        pytest.raises(IndexError, match="of a scan with 3"),
    ):
        source.plane(index)
