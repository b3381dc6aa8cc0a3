"""What writers put into a TIFF file's ImageDescription: OME-XML, ImageJ's lines, tifffile's JSON.

Sources: OME-TIFF specification (https://docs.openmicroscopy.org/ome-model/latest/ome-tiff);
ImageJ, ``ij/io/FileSaver.getDescriptionString``; tifffile, "shaped" series.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple
from xml.etree import ElementTree as ET


class OmeRun(NamedTuple):
    """Pages that hold consecutive planes of an OME image.

    Attributes:
        first_plane: Z of the first.
        first_page: Its page, from 0.
        length: How many; None for all pages of the file.
    """

    first_plane: int
    first_page: int
    length: int | None


class OmeImage(NamedTuple):
    """One image of an OME-TIFF file.

    Attributes:
        n_planes: Size along Z.
        n_channels: Size along C; the three of RGB count.
        n_times: Size along T.
        runs: Where its planes are.
        files: Identifiers of the files that hold them, where told.
        scale: Attributes ``PhysicalSizeX``, ``PhysicalSizeXUnit`` and so on.
    """

    n_planes: int
    n_channels: int
    n_times: int
    runs: tuple[OmeRun, ...]
    files: frozenset[str]
    scale: dict[str, str]


class ImageJStack(NamedTuple):
    """What ImageJ says of a stack.

    Attributes:
        n_planes: Images, or slices where it tells them apart from frames and channels.
        n_channels: Channels.
        n_times: Frames.
        unit: Unit of length, or None.
        spacing: Distance of slices in that unit, or None.
    """

    n_planes: int
    n_channels: int
    n_times: int
    unit: str | None
    spacing: float | None


class ShapedSeries(NamedTuple):
    """The array that tifffile stored from this page on.

    Attributes:
        shape: As it was in memory.
        axes: A letter for each axis, or empty.
    """

    shape: tuple[int, ...]
    axes: str


def read_ome(description: str) -> list[OmeImage]:
    """Read OME-XML; return no image where there is none, it is damaged or lies in another file."""
    if not description.rstrip().endswith("OME>"):
        return []
    try:
        root = ET.fromstring(description)  # noqa: S314 - expat >= 2.4.1 bounds entity expansion
        return [_ome_image(pixels) for pixels in root.iter() if _name(pixels) == "Pixels"]
    except (ET.ParseError, KeyError, ValueError):
        return []


def read_imagej(description: str) -> ImageJStack | None:
    """Read the lines that ImageJ writes; return None where there are none."""
    if not description.startswith(("ImageJ=", "SCIFIO=")):
        return None
    lines = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    try:
        images, slices, channels, frames = (
            max(1, int(lines.get(name, "1"))) for name in ("images", "slices", "channels", "frames")
        )
        spacing = float(lines["spacing"]) if "spacing" in lines else None
    except ValueError:
        return None
    unit = lines.get("unit", "").strip().replace("\\u00B5", "\N{MICRO SIGN}")
    alone = slices * channels * frames == 1
    return ImageJStack(images if alone else slices, channels, frames, unit or None, spacing)


def read_shaped(descriptions: tuple[str, ...]) -> ShapedSeries | None:
    """Read the JSON that tifffile writes; return None where there is none."""
    for description in descriptions:
        if not description.startswith('{"shape":'):
            continue
        try:
            told = json.loads(description)
            shape = tuple(int(length) for length in told["shape"])
        except (ValueError, TypeError):
            continue
        axes = told.get("axes")
        fits = isinstance(axes, str) and len(axes) == len(shape)
        if shape and math.prod(shape) > 0:
            return ShapedSeries(shape, axes if fits else "")
    return None


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _ome_image(pixels: ET.Element) -> OmeImage:
    size = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "ZCT"}
    if min(size.values()) < 1:
        raise ValueError(size)
    data = [element for element in pixels if _name(element) == "TiffData"]
    if not data:
        raise ValueError("pixels that are not in this file")
    runs = tuple(_ome_run(element.attrib) for element in data)
    identifiers = [child.text or "" for element in data for child in element]
    return OmeImage(
        size["Z"], size["C"], size["T"], runs, frozenset(identifiers), dict(pixels.attrib)
    )


def _ome_run(attributes: dict[str, str]) -> OmeRun:
    """Read a TiffData element; its defaults are the specification's."""
    count = attributes.get("PlaneCount", attributes.get("NumPlanes"))
    if count is None and "IFD" in attributes:
        count = "1"
    return OmeRun(
        int(attributes.get("FirstZ", "0")),
        int(attributes.get("IFD", "0")),
        None if count is None else int(count),
    )
