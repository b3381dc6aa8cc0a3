"""Files that nobody can search with, one for each way in which a scan can be wrong."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]  # it has no types
import numpy as np
import tifffile
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GREY = np.random.default_rng(0).integers(0, 255, (32, 40), np.uint8)
VOLUME = np.random.default_rng(1).integers(0, 60_000, (5, 20, 30), np.uint16)


def write_bad_scans(folder: Path) -> list[Path]:
    """Write every one of them, each named by what is wrong with it."""
    for name, write in _WRITERS.items():
        write(folder / name)
    return [folder / name for name in _WRITERS]


def _cut(path: Path, write: Callable[[Path], object]) -> None:
    """Keep the first half of a file."""
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _npy_header(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Write a header that promises an array, and little of it."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": dtype, "fortran_order": False, "shape": shape}
        )
        file.write(bytes(64))


def _tiff_bomb(path: Path) -> None:
    """Write a header of ten thousand million pixels, and little else."""
    tags = (
        (256, 4, 100_000),
        (257, 4, 100_000),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 100_000),
        (279, 4, 64),
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 72) + bytes(64)
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + bytes(4))


def _not_finite(path: Path) -> None:
    values = VOLUME.astype(np.float32)
    values[2, 3, 4] = np.nan
    np.save(path, values)


def _gif(path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(GREY).save(content, "GIF")
    path.write_bytes(content.getvalue())


def _zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rock.txt", "granite")


def _two_volumes(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["dry"], file["wet"] = VOLUME, VOLUME


def _half(path: Path) -> None:
    path.write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 30 20 5\nElementType = MET_USHORT\n"
        "ElementDataFile = elsewhere.raw\n"
    )


_WRITERS: dict[str, Callable[[Path], object]] = {
    "empty.png": lambda path: path.write_bytes(b""),
    "cut.tif": lambda path: _cut(path, lambda it: tifffile.imwrite(it, VOLUME)),
    "cut.png": lambda path: _cut(path, lambda it: Image.fromarray(GREY).save(it)),
    "cut.npy": lambda path: _cut(path, lambda it: np.save(it, VOLUME)),
    "text.png": lambda path: path.write_text("Porosity of the core: 21 %\n"),
    "zip.tif": _zipped,
    "gif.png": _gif,
    "huge.tif": _tiff_bomb,
    "huge.npy": lambda path: _npy_header(path, (60_000, 60_000), "|u1"),
    "none.npy": lambda path: np.save(path, np.zeros((0, 8), np.uint8)),
    "thin.png": lambda path: Image.fromarray(GREY[:1]).save(path),
    "flat.png": lambda path: Image.new("L", (32, 32), 7).save(path),
    "nan.npy": _not_finite,
    "five_axes.npy": lambda path: np.save(path, VOLUME.reshape(1, 5, 5, 4, 30)),
    "channels.tif": lambda path: tifffile.imwrite(
        path, VOLUME.transpose(1, 2, 0), photometric="minisblack", planarconfig="contig"
    ),
    "complex.npy": lambda path: np.save(path, VOLUME[0].astype(np.complex64)),
    "objects.npy": lambda path: np.save(path, np.array([{"a": 1}] * 4).reshape(2, 2)),
    "half.mhd": _half,
    "unknown.raw": lambda path: path.write_bytes(VOLUME.tobytes()),
    "short_9x20x30_uint16.raw": lambda path: path.write_bytes(VOLUME.tobytes()),
    "two.h5": _two_volumes,
}
