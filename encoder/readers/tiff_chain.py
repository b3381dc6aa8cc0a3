"""The chain of pages of a TIFF file, walked to its very end before anything is decoded.

tifffile logs a broken chain and goes on with the pages before the break, and a circular one of
more than a hundred pages keeps it busy for ever: here both are faults.
Source: TIFF Revision 6.0, section 2; BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from typing import IO, NamedTuple

from encoder.readers.faults import damaged, truncated

_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_MOST_TAGS = 4096


class Page(NamedTuple):
    """Where a page's list of tags lies, and which tags it has.

    Attributes:
        offset: Byte at which its list starts.
        codes: Codes of its tags.
    """

    offset: int
    codes: tuple[int, ...]


class Chain(NamedTuple):
    """A TIFF file's pages.

    Attributes:
        is_big: Whether the file is a BigTIFF.
        size: Bytes of the file.
        pages: In order; at least one.
    """

    is_big: bool
    size: int
    pages: tuple[Page, ...]


class _Layout(NamedTuple):
    """Widths of the numbers that a chain is made of, as ``struct`` names them."""

    order: str
    counter: str
    entry_bytes: int
    pointer: str


def starts_as_tiff(head: bytes) -> bool:
    """Say whether a file starts as a TIFF or BigTIFF file does."""
    order = _BYTE_ORDERS.get(head[:2])
    return (
        order is not None
        and len(head) >= 4
        and struct.unpack(f"{order}H", head[2:4])[0]
        in (
            42,
            43,
        )
    )


def walk_chain(file: IO[bytes], source: str) -> Chain:
    """Find every page of a TIFF file.

    Args:
        file: Open file that ``starts_as_tiff``.
        source: Name of the scan, for the error.

    Raises:
        ScanError: ``TRUNCATED`` where the chain leaves the file, ``UNREADABLE`` where it makes no
            sense.
    """
    size = file.seek(0, 2)
    file.seek(0)
    layout, offset = _read_start(file.read(16), source)
    pages: dict[int, Page] = {}
    while offset:
        number = len(pages) + 1
        if offset in pages:
            raise damaged(source, f"its chain of TIFF pages runs in a circle after page {number}")
        if offset >= size:
            raise truncated(
                source,
                f"its TIFF page {number} should be at byte {offset:,}, it ends at {size:,}",
            )
        page, offset = _read_page(file, layout, offset=offset, source=source, number=number)
        pages[page.offset] = page
    if not pages:
        raise truncated(source, "its chain of TIFF pages was never written")
    return Chain(layout.entry_bytes == 20, size, tuple(pages.values()))


def _read_start(start: bytes, source: str) -> tuple[_Layout, int]:
    """Read the file's header; return its layout and the first page's place."""
    order = _BYTE_ORDERS[start[:2]]
    is_big = struct.unpack(f"{order}H", start[2:4])[0] == 43
    if len(start) < (16 if is_big else 8):
        raise truncated(source, f"its TIFF header ends after {len(start)} bytes")
    if not is_big:
        return _Layout(order, "H", 12, "I"), struct.unpack(f"{order}I", start[4:8])[0]
    pointer_bytes, zero, offset = struct.unpack(f"{order}HHQ", start[4:16])
    if (pointer_bytes, zero) != (8, 0):
        raise damaged(source, f"its BigTIFF pointers have {pointer_bytes} bytes, expected 8")
    return _Layout(order, "Q", 20, "Q"), offset


def _read_page(
    file: IO[bytes], layout: _Layout, *, offset: int, source: str, number: int
) -> tuple[Page, int]:
    """Read the tag codes of the page at ``offset``, and where the next one lies."""
    count_bytes, pointer_bytes = struct.calcsize(layout.counter), struct.calcsize(layout.pointer)
    file.seek(offset)
    counted = file.read(count_bytes)
    if len(counted) < count_bytes:
        raise truncated(source, f"it ends within the tags of its TIFF page {number}")
    (count,) = struct.unpack(layout.order + layout.counter, counted)
    if not 0 < count <= _MOST_TAGS:
        raise damaged(source, f"its TIFF page {number} claims {count:,} tags")
    listed = file.read(count * layout.entry_bytes + pointer_bytes)
    if len(listed) < count * layout.entry_bytes + pointer_bytes:
        raise truncated(source, f"it ends within the tags of its TIFF page {number}")
    code_of_entry = struct.Struct(f"{layout.order}H{layout.entry_bytes - 2}x")
    codes = tuple(code for (code,) in code_of_entry.iter_unpack(listed[:-pointer_bytes]))
    (following,) = struct.unpack(layout.order + layout.pointer, listed[-pointer_bytes:])
    return Page(offset, codes), following
