"""How a stored object is read: what its user metadata says of its bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from encoder.errors import ScanError, ScanFault
from encoder.object_keys import ObjectKey, ObjectKeyError
from encoder.planes import RawLayout, ReadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAYOUT = ("shape", "dtype", "header_bytes")
_REMEDY = (
    "store it again with user metadata such as shape 'planes,rows,columns', dtype '<u2' and "
    "header-bytes '0'"
)


def read_options(object_key: str, user_metadata: Mapping[str, str]) -> ReadOptions:
    """Read the layout of a headerless volume from its user metadata.

    Args:
        object_key: The scan.
        user_metadata: ``shape`` (planes, rows, columns joined by commas), ``dtype`` (NumPy's name
            with byte order) and ``header-bytes``; the last may be left out.

    Raises:
        ScanError: One without the other, or a value that is none.
    """
    texts = {name.casefold().replace("-", "_"): text for name, text in user_metadata.items()}
    told = {name: texts[name].strip() for name in _LAYOUT if name in texts}
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


def file_name(object_key: str) -> str:
    """Name for a local copy of an object: readers look at endings, and at sizes in names."""
    part = object_key.rpartition("/")[2]
    try:
        name = ObjectKey.parse(object_key).path[-1]
    except ObjectKeyError:
        return part
    return part if "/" in name or "\0" in name else name
