"""Whether a TIFF page's strips or tiles are all there: tifffile fills those missing with zeros."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tifffile import COMPRESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tifffile import TiffPage

_JPEG = {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG}
_JPEG_END = b"\xff\xd9"
_TAIL_BYTES = 64


def missing_data(page: TiffPage, file_size: int) -> str | None:
    """Say what is missing of a page's data, or return None.

    Args:
        page: Parsed page.
        file_size: Bytes of the file.
    """
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    found = min(len(offsets), len(counts))
    if found < expected:
        return f"has {found} of its {expected} strips or tiles"
    if page.compression == COMPRESSION.NONE and page.is_contiguous:
        stored = sum(counts[:expected])
        if stored < page.nbytes:
            return f"stores {stored:,} bytes where {page.nbytes:,} are needed"
        return _beyond_end([offsets[0]], [page.nbytes], file_size=file_size)
    return _beyond_end(offsets[:expected], counts[:expected], file_size=file_size)


def unfinished_jpeg(page: TiffPage) -> str | None:
    """Say which of a page's JPEG streams has no end, or return None.

    libjpeg paints grey what is missing and only warns.
    """
    if page.compression not in _JPEG or page.jpegheader is not None:
        return None
    file = page.parent.filehandle
    segments = zip(page.dataoffsets, page.databytecounts, strict=False)
    for number, (offset, count) in enumerate(segments, start=1):
        tail = min(count, _TAIL_BYTES)
        file.seek(offset + count - tail)
        if _JPEG_END not in file.read(tail):
            return f"has a JPEG strip or tile, number {number}, without an end"
    return None


def _beyond_end(offsets: Sequence[int], counts: Sequence[int], *, file_size: int) -> str | None:
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True), start=1):
        if offset <= 0 or count <= 0:
            return f"lacks the data of its strip or tile {number}"
        if offset + count > file_size:
            return f"ends at byte {offset + count:,}, the file at {file_size:,}"
    return None
