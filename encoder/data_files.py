"""Files without a header of their own, and the headers beside them that say which they describe.

Light to import: a walk through a folder asks it about every headerless file.
"""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from pathlib import Path

HEADERLESS_SUFFIXES = frozenset({".raw", ".bin", ".vol"})
"""Suffixes, in small letters, that headerless volumes have."""

HEADER_SUFFIXES = (".mhd", ".nhdr")
"""Suffixes, in small letters, of headers whose voxels lie in a file beside them."""

_MAX_HEADER_BYTES = 1 << 20
_MAX_NUMBERED = 1 << 14
_DATA_FILE = re.compile(
    rb"^[ \t]*(?:elementdatafile[ \t]*=|data ?file:(?!=))[ \t]*([^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
_NUMBERED = re.compile(rb"(\S*?)%(0?)(\d{0,2})d(\S*) +(\d{1,9}) +(\d{1,9}) +(\d{1,9})\b.*")


def is_described_beside(path: Path) -> bool:
    """Say whether a header in the same folder names a file as the place of its voxels.

    Names are compared whole. What the headers of a folder say is remembered for a second at most
    (less if files come or go), so that a walk doesn't read them all for each of its files.

    Args:
        path: Path of the file.
    """
    try:
        changed = path.parent.stat().st_mtime_ns
    except OSError:
        return False
    named = _named_in(str(path.parent.absolute()), (changed, int(time.monotonic())))
    return os.fsencode(path.name) in named


@lru_cache(maxsize=8)
def _named_in(folder: str, as_of: tuple[int, int]) -> frozenset[bytes]:  # noqa: ARG001  a key
    """Return the names of all data files that the headers of a folder name."""
    try:
        headers = [path for path in Path(folder).iterdir() if _is_header(path)]
    except OSError:  # the walk that asks tells it
        return frozenset()
    return frozenset(name for header in headers for name in _named_by(header))


def _is_header(path: Path) -> bool:
    return path.suffix.lower() in HEADER_SUFFIXES and path.is_file()


def _named_by(header: Path) -> list[bytes]:
    """Return the data files that a header names: one, a list in its last lines, or numbered ones.

    Source: MetaIO's ``ElementDataFile`` and NRRD's ``data file``, which share these three forms.
    """
    try:
        with header.open("rb") as file:
            text = file.read(_MAX_HEADER_BYTES)
    except OSError:  # it is told when its own turn comes
        return []
    found = _DATA_FILE.search(text)
    if found is None:
        return []
    told = found[1].strip()
    if re.match(rb"LIST\b", told):
        names = text[found.end() :].splitlines()
    elif numbered := _NUMBERED.fullmatch(told):
        names = _numbered(numbered)
    else:
        names = [told]
    return [name.strip().removeprefix(b"./") for name in names]


def _numbered(found: re.Match[bytes]) -> list[bytes]:
    """Return the names that a pattern such as ``plane%03d.raw 1 90 1`` stands for."""
    before, fill, width, after = found[1], found[2] or b" ", int(found[3] or 0), found[4]
    first, last, step = map(int, found.groups()[4:])
    numbers = range(first, last + 1, max(step, 1))[:_MAX_NUMBERED]
    return [before + str(number).encode().rjust(width, fill) + after for number in numbers]
