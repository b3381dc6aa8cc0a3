"""Volumes and pictures of the synthetic library on disk, byte for byte the same every time.

Nothing is compressed (deflate's output depends on the library and the processor), and headers
carry no date and no random identifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VOLUME_SUFFIXES = (".tif", ".mha", ".nrrd", ".ome.tif", ".npy")
"""Formats that a volume can be written in."""
_CENTIMETRE_UM = 10_000.0
_MILLIMETRE_UM = 1000.0
_UUID = "00000000-0000-5000-8000-000000000000"
"""OME wants an identifier; tifffile's own would hold the clock."""


def write_volume(path: Path, volume: NDArray[np.uint16], *, voxel_um: float) -> None:
    """Write a volume in the format that its name tells.

    Args:
        path: Ends in one of `VOLUME_SUFFIXES`; its folder exists.
        volume: (P, H, W).
        voxel_um: Edge of a voxel in micrometres; `.npy` can't hold it.

    Raises:
        OSError: The file can't be written.
    """
    little = volume.astype("<u2", copy=False)
    if path.name.endswith(".ome.tif"):
        _write_ome(path, little, voxel_um=voxel_um)
    elif path.suffix == ".tif":
        _write_tiff(path, little, voxel_um=voxel_um)
    elif path.suffix == ".mha":
        _write_metaimage(path, little, voxel_um=voxel_um)
    elif path.suffix == ".nrrd":
        _write_nrrd(path, little, voxel_um=voxel_um)
    else:
        np.save(path, little, allow_pickle=False)


def write_picture(path: Path, picture: NDArray[np.uint16], *, pixel_um: float) -> None:
    """Write a colour picture as 16-bit RGB TIFF.

    Args:
        path: File to write; its folder exists.
        picture: (H, W, 3).
        pixel_um: Edge of a pixel in micrometres.

    Raises:
        OSError: The file can't be written.
    """
    density = _CENTIMETRE_UM / pixel_um
    tifffile.imwrite(
        path,
        picture,
        byteorder="<",
        photometric="rgb",
        resolution=(density, density),
        resolutionunit="CENTIMETER",
        metadata=None,
    )


def _write_tiff(path: Path, volume: NDArray[np.uint16], *, voxel_um: float) -> None:
    density = _CENTIMETRE_UM / voxel_um
    tifffile.imwrite(
        path,
        volume,
        byteorder="<",
        photometric="minisblack",
        resolution=(density, density),
        resolutionunit="CENTIMETER",
        metadata={"axes": "ZYX"},
    )


def _write_ome(path: Path, volume: NDArray[np.uint16], *, voxel_um: float) -> None:
    sizes = {f"PhysicalSize{axis}": voxel_um for axis in "XYZ"}
    units = {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in "XYZ"}
    tifffile.imwrite(
        path,
        volume,
        byteorder="<",
        ome=True,
        photometric="minisblack",
        metadata={"axes": "ZYX", "UUID": _UUID, **sizes, **units},
    )


def _write_metaimage(path: Path, volume: NDArray[np.uint16], *, voxel_um: float) -> None:
    planes, height, width = volume.shape
    spacing = f"{voxel_um / _MILLIMETRE_UM:.9g}"
    header = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        f"ElementSpacing = {spacing} {spacing} {spacing}",
        f"DimSize = {width} {height} {planes}",
        "ElementType = MET_USHORT",
        "ElementDataFile = LOCAL",
    ]
    _write_after(path, volume, header="\n".join(header) + "\n")


def _write_nrrd(path: Path, volume: NDArray[np.uint16], *, voxel_um: float) -> None:
    planes, height, width = volume.shape
    header = [
        "NRRD0004",
        "type: uint16",
        "dimension: 3",
        f"sizes: {width} {height} {planes}",
        f"spacings: {voxel_um:.9g} {voxel_um:.9g} {voxel_um:.9g}",
        'units: "um" "um" "um"',
        "endian: little",
        "encoding: raw",
    ]
    _write_after(path, volume, header="\n".join(header) + "\n\n")


def _write_after(path: Path, volume: NDArray[np.uint16], *, header: str) -> None:
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(np.ascontiguousarray(volume).data)
