"""Pixel sizes that TIFF files tell, and resolutions that only tell a printer what to do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from encoder.scans import open_scan

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import ScanInfo

IMAGE = np.arange(600, dtype=np.uint16).reshape(20, 30)
VOLUME = np.stack([IMAGE] * 4)


def told(path: Path, data: object = IMAGE, **options: Any) -> ScanInfo:  # noqa: ANN401 - tifffile's own
    tifffile.imwrite(path, np.asarray(data), **options)
    with closing(open_scan(path)) as source:
        return source.info


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rock.tif"


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [
        ("µm", 2.25, 2.25),
        ("um", 2.25, 2.25),
        ("mm", 0.0065, 6.5),
        ("nm", 800, 0.8),
        ("cm", 0.0004, 4.0),
        ("m", 3e-6, 3.0),
        (None, 2.25, 2.25),
    ],
)
def test_ome_sizes_have_units(path: Path, unit: str | None, size: float, expected: float) -> None:
    scale = {f"PhysicalSize{axis}": size for axis in "XY"}
    units = {} if unit is None else {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    info = told(path, ome=True, metadata={"axes": "YX", **scale, **units})
    assert info.pixel_size_um == pytest.approx(expected)
    assert info.notes == ()


def test_ome_goes_before_the_resolution_tags(path: Path) -> None:
    info = told(
        path,
        ome=True,
        metadata={"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0},
        resolution=(1000, 1000),
        resolutionunit="CENTIMETER",
    )
    assert info.pixel_size_um == 2.0


def test_of_uneven_ome_sizes_the_width_is_taken(path: Path) -> None:
    scale = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 3.0, "PhysicalSizeZ": 5.0}
    info = told(path, VOLUME, ome=True, metadata={"axes": "ZYX", **scale})
    assert info.pixel_size_um == 2.0
    assert info.notes == (
        "pixels are not square: 2 x 3 um, width taken",
        "planes are 5 um apart, pixels 2 um wide",
    )


@pytest.mark.parametrize(
    ("size", "unit", "note"),
    [
        (2.0, "pixel", "pixel size ignored: unit 'pixel' is not known"),
        (0.0, "µm", "pixel size ignored: 0 um is no size"),
        (float("nan"), "µm", "pixel size ignored: nan um is no size"),
        (1e300, "µm", "pixel size ignored: 1e+300 um is no size"),
        (1e-9, "µm", "pixel size ignored: 1e-09 um is no size"),
    ],
)
def test_an_ome_size_that_is_none(path: Path, size: float, unit: str, note: str) -> None:
    info = told(path, ome=True, metadata={"PhysicalSizeX": size, "PhysicalSizeXUnit": unit})
    assert info.pixel_size_um is None
    assert info.notes == (note,)


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("um", 0.5, 2.0),
        ("micron", 0.5, 2.0),
        ("\\u00B5m", 0.25, 4.0),
        ("µm", 0.25, 4.0),
        ("nm", 0.00125, 0.8),
        ("mm", 200, 5.0),
        ("cm", 2000, 5.0),
        ("inch", 5080, 5.0),
    ],
)
def test_imagej_calibration(path: Path, unit: str, per_unit: float, expected: float) -> None:
    description = f"ImageJ=1.53t\nunit={unit}\n".encode()
    info = told(path, description=description, metadata=None, resolution=(per_unit, per_unit))
    assert info.pixel_size_um == pytest.approx(expected, rel=1e-5)
    assert info.notes == ()


def test_imagej_distance_of_slices_is_told_where_it_differs(path: Path) -> None:
    def info(spacing: float) -> ScanInfo:
        metadata = {"axes": "ZYX", "unit": "um", "spacing": spacing}
        return told(path, VOLUME, imagej=True, metadata=metadata, resolution=(0.5, 0.5))

    assert info(2.0).notes == ()
    assert info(7.0).notes == ("planes are 7 um apart, pixels 2 um wide",)
    assert info(7.0).pixel_size_um == 2.0


@pytest.mark.parametrize("unit", ["pixel", "pixels"])
def test_imagej_without_calibration(path: Path, unit: str) -> None:
    description = f"ImageJ=1.53t\nunit={unit}\n"
    info = told(path, description=description, metadata=None, resolution=(2, 2))
    assert (info.pixel_size_um, info.notes) == (None, ())


def test_imagej_with_a_unit_of_its_own(path: Path) -> None:
    description = "ImageJ=1.53t\nunit=parsec\n"
    info = told(path, description=description, metadata=None, resolution=(2, 2))
    assert info.pixel_size_um is None
    assert info.notes == ("pixel size ignored: unit 'parsec' is not known",)


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected"),
    [
        (2000, "CENTIMETER", 5.0),
        (100, "CENTIMETER", 100.0),
        (10_160, "INCH", 2.5),
        (1200, "INCH", 21.1667),
    ],
)
def test_resolution_tags_that_measure(
    path: Path, per_unit: float, unit: str, expected: float
) -> None:
    info = told(path, resolution=(per_unit, per_unit), resolutionunit=unit)
    assert info.pixel_size_um == pytest.approx(expected, rel=1e-5)
    assert info.notes == ()


@pytest.mark.parametrize(
    ("per_unit", "unit"),
    [
        (72, "INCH"),
        (300, "INCH"),
        (600, "INCH"),
        (1, "INCH"),
        (118.11, "CENTIMETER"),
        (28.35, "CENTIMETER"),
        (1, "CENTIMETER"),
    ],
)
def test_resolution_tags_that_are_for_print(path: Path, per_unit: float, unit: str) -> None:
    info = told(path, resolution=(per_unit, per_unit), resolutionunit=unit)
    assert info.pixel_size_um is None
    (note,) = info.notes
    assert "is taken for print, not for a pixel size" in note


@pytest.mark.parametrize("options", [{}, {"resolution": (2000, 2000), "resolutionunit": "NONE"}])
def test_a_resolution_without_a_unit_tells_nothing(path: Path, options: dict[str, Any]) -> None:
    info = told(path, **options)
    assert (info.pixel_size_um, info.notes) == (None, ())


def test_of_uneven_resolutions_the_width_is_taken(path: Path) -> None:
    info = told(path, resolution=(2000, 1000), resolutionunit="CENTIMETER")
    assert info.pixel_size_um == 5.0
    assert info.notes == ("pixels are not square: 5 x 10 um, width taken",)


@pytest.mark.parametrize("value", [(0, 0), (1, 0), (0, 1)])
def test_a_resolution_that_is_no_number(path: Path, value: tuple[int, int]) -> None:
    extra = [(282, 5, 1, value, True), (283, 5, 1, value, True), (296, 3, 1, 3, True)]
    info = told(path, extratags=extra, metadata=None)
    assert (info.pixel_size_um, info.notes) == (None, ())
