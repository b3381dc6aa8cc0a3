"""How a stored object is read: what its user metadata says of its bytes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from encoder.data_files import HEADERLESS_SUFFIXES
from encoder.errors import ScanError, ScanFault
from encoder.object_keys import ObjectKey, ObjectKeyError
from encoder.planes import RawLayout, ReadOptions
from encoder.scans import SCAN_SUFFIXES
from infra.generations import content_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.object_store import ObjectStat

_TELLING_SUFFIXES = tuple(SCAN_SUFFIXES - HEADERLESS_SUFFIXES)
_LAYOUT = ("shape", "dtype", "header_bytes")
_REMEDY = (
    "store it again with user metadata such as shape 'planes,rows,columns', dtype '<u2' and "
    "header-bytes '0'"
)


def read_options(object_key: str, user_metadata: Mapping[str, str]) -> ReadOptions:
    """Read the layout of a headerless volume from its user metadata.

    Args:
        object_key: The scan; one whose suffix tells its format has no layout but its own.
        user_metadata: ``shape`` (planes, rows, columns joined by commas), ``dtype`` (NumPy's name
            with byte order) and ``header-bytes``; the last may be left out.

    Raises:
        ScanError: One without the other, or a value that is none.
    """
    told = _layout_texts(object_key, user_metadata)
    if not told:
        return ReadOptions()
    shape = re.fullmatch(r"(\d{1,9}),(\d{1,9}),(\d{1,9})", told.get("shape", "").replace(" ", ""))
    header = re.fullmatch(r"\d{1,18}", told.get("header_bytes", "0"))
    if shape is None or header is None or not told.get("dtype"):
        found = ", ".join(f"{name} {text[:40]!r}" for name, text in told.items())
        raise ScanError(
            object_key,
            ScanFault.UNKNOWN_SHAPE,
            problem=f"its user metadata tells no layout ({found})",
            remedy=_REMEDY,
        )
    planes, rows, columns = map(int, shape.groups())
    return ReadOptions(
        raw=RawLayout(
            shape=(planes, rows, columns), dtype=told["dtype"], header_bytes=int(header[0])
        )
    )


def may_be_headerless(object_key: str) -> bool:
    """Whether an object may be laid out as its user metadata says: its suffix tells no format."""
    return not object_key.casefold().endswith(_TELLING_SUFFIXES)


def layout_of(stat: ObjectStat) -> str:
    """What user metadata tells of an object's bytes; empty for nothing.

    The same bytes laid out in another way are another scan, and have the same etag.
    """
    told = _layout_texts(stat.key, stat.user_metadata)
    return json.dumps(told, sort_keys=True) if told else ""


def stored_content(stat: ObjectStat) -> str:
    """Name what an object holds: `infra.generations.content_of`."""
    return content_of(stat.etag, layout_of(stat))


def file_name(object_key: str) -> str:
    """Name for a local copy of an object: readers look at endings, and at sizes in names."""
    part = object_key.rpartition("/")[2]
    try:
        name = ObjectKey.parse(object_key).path[-1]
    except ObjectKeyError:
        return part
    return part if "/" in name or "\0" in name else name


def _layout_texts(object_key: str, user_metadata: Mapping[str, str]) -> dict[str, str]:
    if not may_be_headerless(object_key):
        return {}
    texts = {name.casefold().replace("-", "_"): text for name, text in user_metadata.items()}
    return {name: texts[name].strip() for name in _LAYOUT if name in texts}
