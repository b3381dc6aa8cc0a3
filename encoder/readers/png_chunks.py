"""The chunks of a PNG file: its header, and whether what follows is whole.

Decoders stop at the last row, whether or not its checksum follows; we read on.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO, NamedTuple

from encoder.readers.faults import damaged, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLOUR_BIT = 2
_READ_BYTES = 1 << 20
_CRITICAL_BIT = 0x20


class PngHeader(NamedTuple):
    """What the IHDR chunk says.

    Attributes:
        width: W in pixels.
        height: H in pixels.
        bit_depth: Bits a sample: 1, 2, 4, 8 or 16.
        is_colour: Whether pixels are RGB (direct or by palette).
        is_animated: Whether further frames follow the first.
    """

    width: int
    height: int
    bit_depth: int
    is_colour: bool
    is_animated: bool


def check_png(file: IO[bytes], source: str) -> PngHeader:
    """Read a PNG file's header and check that every chunk is whole.

    Args:
        file: Open file; its position is left at the end.
        source: Name of the scan, for the error.

    Raises:
        ScanError: ``TRUNCATED``, or ``UNREADABLE`` where a checksum is wrong or the header is
            missing.
    """
    file.seek(len(SIGNATURE))
    header, is_animated = b"", False
    while True:
        start = file.read(8)
        if len(start) < 8:
            raise truncated(source, "its PNG data end before the IEND chunk")
        length, kind = struct.unpack(">I4s", start)
        data = _checked_chunk(file, length, kind=kind, source=source)
        if not header:
            if kind != b"IHDR" or length != 13:
                raise damaged(source, "its PNG data do not start with a header of 13 bytes")
            header = data
        is_animated = is_animated or kind == b"acTL"
        if kind == b"IEND":
            break
    width, height, bit_depth, colour_type = struct.unpack_from(">IIBB", header)
    return PngHeader(width, height, bit_depth, bool(colour_type & _COLOUR_BIT), is_animated)


def _checked_chunk(file: IO[bytes], length: int, *, kind: bytes, source: str) -> bytes:
    """Read a chunk and its checksum; return its first bytes."""
    checksum, first, left = zlib.crc32(kind), b"", length
    while left:
        data = file.read(min(left, _READ_BYTES))
        if not data:
            raise truncated(source, f"its PNG data end {left:,} bytes short within {kind!r}")
        checksum = zlib.crc32(data, checksum)
        first = first or data
        left -= len(data)
    stored = file.read(4)
    if len(stored) < 4:
        raise truncated(source, f"its PNG data end before the checksum of {kind!r}")
    is_critical = not kind[0] & _CRITICAL_BIT
    if is_critical and int.from_bytes(stored, "big") != checksum:
        raise damaged(source, f"its PNG chunk {kind!r} does not match its checksum")
    return first
