"""One page of a TIFF file: its facts, and its pixels."""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import LogRecord, getLogger
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tifffile import COMPRESSION, TIFF, TiffFile, TiffPage

from encoder.readers.faults import damaged, telling_damage, truncated
from encoder.readers.orientation import UPRIGHT, is_sideways, upright
from encoder.readers.tiff_colour import Colour, Refusal, colour_of, sample_type, take_samples
from encoder.readers.tiff_segments import missing_data, unfinished_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.readers.tiff_chain import Chain

_LOG = getLogger(__name__)
_REDUCED_BIT = 1

_STRUCTURE = {
    256: "ImageWidth",
    257: "ImageLength",
    258: "BitsPerSample",
    259: "Compression",
    262: "PhotometricInterpretation",
    266: "FillOrder",
    273: "StripOffsets",
    274: "Orientation",
    277: "SamplesPerPixel",
    278: "RowsPerStrip",
    279: "StripByteCounts",
    284: "PlanarConfiguration",
    317: "Predictor",
    320: "ColorMap",
    322: "TileWidth",
    323: "TileLength",
    324: "TileOffsets",
    325: "TileByteCounts",
    338: "ExtraSamples",
    339: "SampleFormat",
    347: "JPEGTables",
}
"""Tags without which pixels can't be told; tifffile leaves out those that it can't read."""


class PlainData(NamedTuple):
    """Where samples lie that are stored as they are, one after the other.

    Attributes:
        offset: First byte.
        size: Bytes.
        dtype: Their type, with its byte order.
        room: How often as many bytes fit there before the tags of a page or the file's end.
    """

    offset: int
    size: int
    dtype: np.dtype[Any]
    room: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What is known of a page before it is decoded.

    Attributes:
        number: Place in the file, from 1.
        height: H in pixels, held upright.
        width: W in pixels, held upright.
        dtype: Type of the samples once taken.
        colour: What the samples are.
        samples: How many a pixel has, as stored.
        orientation: How the page is held (tag 274).
        stored_shape: Shape of the samples as stored.
        is_reduced: Whether it is a smaller copy of another page.
        descriptions: Its ImageDescription tags.
        first_byte: Where its first strip or tile lies.
        plain_data: Where its samples lie, if uncompressed and contiguous.
        refusal: Why it can't be taken.
        loss: What is missing of its data.
    """

    number: int
    height: int
    width: int
    dtype: np.dtype[Any]
    colour: Colour
    samples: int
    orientation: int
    stored_shape: tuple[int, ...]
    is_reduced: bool
    descriptions: tuple[str, ...]
    first_byte: int
    plain_data: PlainData | None
    refusal: Refusal | None
    loss: str | None

    @property
    def kind(self) -> tuple[object, ...]:
        """What pages of one volume have in common."""
        size = (self.height, self.width, self.colour.channels, self.orientation)
        return (*size, self.dtype.str, self.refusal)

    def __str__(self) -> str:
        colour = "RGB " if self.colour.channels == 3 else ""
        return f"{self.height} x {self.width} {colour}{self.dtype.name}"


class TiffPages:
    """The pages of an open TIFF file, read one at a time and not kept.

    Args:
        path: The file.
        chain: Its pages.
        source: Name of the scan, for errors.

    Raises:
        ScanError: ``UNREADABLE`` where tifffile makes nothing of it.
    """

    def __init__(self, path: Path, chain: Chain, *, source: str) -> None:
        self._chain = chain
        self._source = source
        self._tags_at = sorted(page.offset for page in chain.pages)
        with self._listening():
            self._tiff = TiffFile(path, _multifile=False)

    def __len__(self) -> int:
        return len(self._chain.pages)

    def facts(self, index: int, *, max_tile: int) -> PageFacts:
        """Read the facts of a page.

        Args:
            index: From 0.
            max_tile: Largest tile that is decoded, in pixels.

        Raises:
            ScanError: ``UNREADABLE`` where its tags are damaged.
        """
        with self._listening():
            page = self._page(index)
            facts = _facts_of(page, self._chain.size, max_tile=max_tile)
            if facts.plain_data is not None:
                facts = replace(facts, plain_data=self._within_room(facts.plain_data))
        unread = [code for code in self._chain.pages[index].codes if code not in page.tags]
        lost = [_STRUCTURE[code] for code in unread if code in _STRUCTURE]
        if lost:
            raise damaged(self._source, f"its page {index + 1} has an unreadable tag {lost[0]}")
        return facts

    def tags(self, index: int) -> dict[int, Any]:
        """Return a page's tag values by code."""
        with self._listening():
            return {tag.code: tag.value for tag in self._page(index).tags}

    def decode(
        self, index: int, facts: PageFacts, *, elsewhere: PlainData | None = None
    ) -> NDArray[Any]:
        """Decode a page.

        Args:
            index: From 0.
            facts: Its facts.
            elsewhere: Where to take the samples from, for an image that has no page of its own.

        Returns:
            (H, W) or (H, W, 3), held upright.

        Raises:
            ScanError: ``TRUNCATED`` or ``UNREADABLE``.
        """
        with self._listening():
            page = self._page(index)
            unfinished = unfinished_jpeg(page)
            if unfinished is not None:
                raise truncated(self._source, f"its page {index + 1} {unfinished}")
            if elsewhere is None:
                samples = page.asarray(maxworkers=1)
            else:
                count = math.prod(page.shape)
                file = self._tiff.filehandle
                flat = file.read_array(elsewhere.dtype, count, offset=elsewhere.offset)
                samples = flat.reshape(page.shape)
            plane = upright(take_samples(samples, page, colour=facts.colour), facts.orientation)
        if plane.shape[:2] != (facts.height, facts.width) or plane.dtype != facts.dtype:
            told = " x ".join(map(str, plane.shape))
            raise damaged(self._source, f"its page {index + 1} holds {told} {plane.dtype.name}")
        return plane

    def close(self) -> None:
        """Release the file."""
        self._tiff.close()

    def _within_room(self, data: PlainData) -> PlainData:
        following = bisect_right(self._tags_at, data.offset)
        end = self._tags_at[following] if following < len(self._tags_at) else self._chain.size
        return data._replace(room=(end - data.offset) // data.size)

    def _page(self, index: int) -> TiffPage:
        self._tiff.filehandle.seek(self._chain.pages[index].offset)
        return TiffPage(self._tiff, index)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Tell tifffile's complaints as faults, and its log to our own at debug level."""
        logger = getLogger("tifffile")
        logger.addFilter(_demote)
        try:
            with telling_damage(self._source, "TIFF data"):
                yield
        finally:
            logger.removeFilter(_demote)


def _demote(record: LogRecord) -> bool:
    _LOG.debug("tifffile: %s", record.getMessage())
    return False


def _facts_of(page: TiffPage, file_size: int, *, max_tile: int) -> PageFacts:
    for number in (*page.shape, page.imagewidth, page.imagelength, page.samplesperpixel):
        operator.index(number)  # a damaged tag may hold text or a list
    colour = colour_of(page)
    refusal = _refusal_of(page, max_tile)
    if isinstance(colour, Refusal):
        refusal, colour = refusal or colour, Colour("grey", 1)
    dtype = sample_type(page, colour)
    if isinstance(dtype, Refusal):
        refusal, dtype = refusal or dtype, np.dtype(np.uint8)
    is_empty = 0 in page.shape
    orientation = operator.index(page.tags.valueof(274, default=UPRIGHT))
    size = (page.imagelength, page.imagewidth)
    height, width = size[::-1] if is_sideways(orientation) else size
    return PageFacts(
        number=page.index + 1,
        height=height,
        width=width,
        dtype=dtype,
        colour=colour,
        samples=page.samplesperpixel,
        orientation=orientation,
        stored_shape=page.shape,
        is_reduced=bool(page.subfiletype & _REDUCED_BIT),
        descriptions=(str(page.description), str(page.description1)),
        first_byte=operator.index(page.dataoffsets[0]) if page.dataoffsets else 0,
        plain_data=_plain_data(page),
        refusal=refusal,
        loss=None if is_empty or refusal else missing_data(page, file_size),
    )


def _refusal_of(page: TiffPage, max_tile: int) -> Refusal | None:
    if page.imagedepth > 1:
        return Refusal("it stores a volume within one page", "save a page for each plane")
    if page.compression != COMPRESSION.NONE and page.compression not in TIFF.DECOMPRESSORS:
        name = getattr(page.compression, "name", page.compression)
        return Refusal(f"its compression {name} is not known", "save it with another")
    if page.is_tiled and page.tilewidth * page.tilelength > max_tile:
        size = f"{page.tilelength:,} x {page.tilewidth:,}"
        return Refusal(f"its tiles of {size} pixels are too large to decode", "use smaller tiles")
    return None


def _plain_data(page: TiffPage) -> PlainData | None:
    if not page.is_final or page.dtype is None or page.nbytes < 1:
        return None
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    return PlainData(page.dataoffsets[0], page.nbytes, dtype)
