"""User metadata or tags of a stored object, read like one row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.metadata.columns import Field
from encoder.metadata.header import read_header
from encoder.metadata.problems import MetadataError
from encoder.metadata.values import ColumnReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.metadata.records import Scalar

TECHNICAL_KEYS = frozenset({"shape", "dtype", "header_bytes"})
"""User metadata that describes a scan's bytes: no properties of the rock."""

TECHNICAL_PREFIX = "lithoscope"
"""Start of the names of user metadata that our own tools keep."""

_S3_PREFIX = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class UserValue:
    """A value of user metadata, with the key that held it."""

    value: Scalar
    key: str


def read_user_metadata(metadata: Mapping[str, str], *, source: str) -> dict[str, UserValue]:
    """Read user metadata; aliases, units and bounds are those of a table.

    Args:
        metadata: Texts by name, with or without S3's ``x-amz-meta-`` prefix. Names of
            `TECHNICAL_KEYS` or with `TECHNICAL_PREFIX` are left out.
        source: The object's key, for messages.

    Returns:
        Known values by name of the field or free property.

    Raises:
        MetadataError: Every problem of the metadata.
    """
    if not metadata:
        return {}
    plain = {_without_prefix(name): text for name, text in metadata.items()}
    texts = {name: text for name, text in plain.items() if not _is_technical(name)}
    where = f"user metadata of {source}"
    reader = ColumnReader(source=where)
    values = {}
    for column in read_header(tuple(texts), source=where):
        value = reader.values(column, [texts[column.header]], rows=[None])[0]
        if value is not None and column.field not in (Field.IMAGE, Field.OBJECT_KEY):
            values[column.name] = UserValue(value, column.header)
    if reader.problems:
        raise MetadataError(reader.problems)
    return values


def _without_prefix(name: str) -> str:
    name = name.strip()
    return name[len(_S3_PREFIX) :] if name.casefold().startswith(_S3_PREFIX) else name


def _is_technical(name: str) -> bool:
    plain = name.casefold().replace("-", "_")
    return plain in TECHNICAL_KEYS or plain.startswith(TECHNICAL_PREFIX)
