"""From the planes of an open scan to its slices.

The planes are passed over once to measure the scan's window and once to cut slices, one plane at a
time; only small scans are kept between the passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.errors import ScanError, ScanFault
from encoder.pictures import PictureOptions, draw_preview, draw_thumbnail
from encoder.planes import ReadOptions
from encoder.preprocess import Preprocessing, bound_slice, resize_slice
from encoder.regions import Region, RegionError
from encoder.slicing import Slice, SlicePlace, Slicing, TileBox
from encoder.windows import Window, WindowMeter, WindowRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoder.planes import PlaneSource, ScanInfo

KEPT_BYTES = 64 << 20
"""Planes of a scan that are kept from the first pass to the second, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """What is wanted of a scan.

    Attributes:
        read: What the reader needs to be told.
        slicing: Which slices the scan has.
        window: How the scan's grey window is found; always over all slices that it has.
        size: Resize whole slices to (size, size, 3).
        max_side: Else shrink slices so that no side exceeds this; None leaves them whole.
        indices: Return only the slices of these numbers; None for all.
        only_middle: Return only the middle one of these.
        region: Cut a part out of them: of each plane of a volume and of each slice that is asked
            for by number; of an image that isn't, as if the part were an image of its own.
        pictures: Draw a thumbnail and a preview of each slice as well.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    slicing: Slicing = field(default_factory=Slicing)
    window: WindowRule = "percentile"
    size: int | None = None
    max_side: int | None = None
    indices: frozenset[int] | None = None
    only_middle: bool = False
    region: Region | None = None
    pictures: PictureOptions | None = None

    @classmethod
    def for_encoding(
        cls,
        preprocessing: Preprocessing,
        read: ReadOptions | None = None,
        *,
        pictures: PictureOptions | None = None,
    ) -> DecodeOptions:
        """Return options that give the slices an encoder is fed."""
        return cls(
            read=read or ReadOptions(),
            slicing=preprocessing.slicing,
            window=preprocessing.window,
            size=preprocessing.size,
            pictures=pictures,
        )


def cut_slices(
    source: PlaneSource, options: DecodeOptions, *, name: str
) -> tuple[Window, tuple[Slice, ...]]:
    """Measure the window of an open scan and cut its slices.

    Args:
        source: The open scan.
        options: What is wanted; its ``read`` is of no matter any more.
        name: Name of the scan, for errors.

    Returns:
        The joint window of all slices that the scan has, and the slices that are wanted.

    Raises:
        ScanError: The scan is constant, not finite, of another type than its rule takes, or its
            planes aren't what its header said.
    """
    places = options.slicing.places(source.info)
    planes = _Planes(source, name)
    window = planes.window(sorted({place.plane or 0 for place in places}), options.window)
    try:
        wanted = _wanted(places, source.info, options=options)
    except RegionError as error:
        problem, _, remedy = str(error).rpartition("; ")
        raise ScanError(name, ScanFault.TOO_THIN, problem=problem, remedy=remedy) from error
    slices = tuple(_cut(planes, place, window=window, options=options) for place in wanted)
    return window, slices


def _wanted(
    places: Sequence[SlicePlace], info: ScanInfo, *, options: DecodeOptions
) -> Sequence[SlicePlace]:
    """Places of the slices, or their parts, that are asked for."""
    region, indices = options.region, options.indices
    whole = TileBox(x=0, y=0, width=info.width, height=info.height)
    if region is not None and indices is None and not info.is_volume:
        box = region.box(whole)
        part = replace(info, height=box.height, width=box.width)
        places = [_shifted(place, box) for place in options.slicing.places(part)]
        region = None
    if indices is not None:
        places = [place for place in places if place.index in indices]
    if options.only_middle and places:
        places = [places[len(places) // 2]]
    if region is None:
        return places
    return [replace(place, tile=region.box(place.tile or whole)) for place in places]


def _shifted(place: SlicePlace, box: TileBox) -> SlicePlace:
    """A place within a part of an image as a place of the image."""
    tile = place.tile
    if tile is None:
        return replace(place, tile=box)
    return replace(place, tile=replace(tile, x=box.x + tile.x, y=box.y + tile.y))


class _Planes:
    """The planes of a source: checked, and read as seldom as memory allows."""

    def __init__(self, source: PlaneSource, name: str) -> None:
        info = source.info
        self._source = source
        self._name = name
        self._shape = (info.height, info.width, 3)[: 2 if info.channels == 1 else 3]
        self._kept: dict[int, NDArray[Any]] = {}
        self._free_bytes = KEPT_BYTES
        self._last: tuple[int, NDArray[Any]] | None = None  # the tiles of an image share it

    def window(self, indices: Sequence[int], rule: WindowRule) -> Window:
        """Measure the joint window of some planes."""
        n_values = len(indices) * math.prod(self._shape)
        meter = WindowMeter(self._name, rule, n_values=n_values, width=self._shape[1])
        for index in indices:
            meter.add(self.read(index))
        return meter.window()

    def read(self, index: int) -> NDArray[Any]:
        """Return a plane in native byte order."""
        if index in self._kept:
            return self._kept[index]
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        self._last = None  # first release one plane, then read the next
        plane = np.asarray(self._source.plane(index))
        plane = plane.astype(plane.dtype.newbyteorder("="), copy=False)
        if plane.shape != self._shape:
            raise ScanError(
                self._name,
                ScanFault.UNREADABLE,
                problem=f"plane {index} has the shape {plane.shape}, expected {self._shape}",
                remedy="export the scan again with planes of one shape",
            )
        self._last = (index, plane)
        if plane.nbytes <= self._free_bytes:
            self._free_bytes -= plane.nbytes
            self._kept[index] = plane
        return plane


def _cut(planes: _Planes, place: SlicePlace, *, window: Window, options: DecodeOptions) -> Slice:
    """Cut one slice in the scan's window."""
    plane = planes.read(place.plane or 0)
    if place.tile is not None:
        box = place.tile
        plane = plane[box.y : box.y + box.height, box.x : box.x + box.width]
    pixels = window.apply(plane)
    thumbnail = preview = None
    if options.pictures is not None:
        thumbnail = draw_thumbnail(pixels, options.pictures)
        preview = draw_preview(pixels, options.pictures)
    if options.size is not None:
        pixels = resize_slice(pixels, options.size)
    elif options.max_side is not None:
        pixels = bound_slice(pixels, options.max_side)
    return Slice(
        index=place.index,
        axis=place.axis,
        plane=place.plane,
        position=place.position,
        tile=place.tile,
        pixels=pixels,
        thumbnail=thumbnail,
        preview=preview,
    )
