"""Tables of the vector index: their columns, and how vectors in them are compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from infra.filters import FilterFields

if TYPE_CHECKING:
    from encoder.metric import Metric

KEY = "id"
"""Name of every table's key column, a text."""

VECTOR = "embedding"
"""Name of every table's vector column."""

KEY_BYTES = 64
"""Longest key."""

TEXT_BYTES = 65_535
"""Longest text in UTF-8: the most that Milvus allows."""

JSON_BYTES = 65_536
"""Longest JSON value: the most that Milvus allows."""

MAX_LIMIT = 16_384
"""Most rows that Milvus returns at once."""

NEAREST_TO_ANY = "nearest_to_any"
"""Parameter by which our server of Milvus Lite is asked to merge the answers to several queries."""


class ColumnKind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"
    """A float64, or not measured."""
    INTEGER = "integer"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """A column beside the key and the vector."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """What a table holds.

    Attributes:
        columns: Columns beside the key and the vector.
        dimension: Numbers of a vector.
        metric: How vectors are compared.
    """

    columns: tuple[Column, ...]
    dimension: int
    metric: Metric

    def names(self, kind: ColumnKind) -> tuple[str, ...]:
        """Names of the columns of one kind, in order."""
        return tuple(column.name for column in self.columns if column.kind is kind)

    @property
    def filter_fields(self) -> FilterFields:
        """Columns that may be filtered."""
        return FilterFields(
            texts=frozenset({KEY, *self.names(ColumnKind.TEXT)}),
            numbers=frozenset(self.names(ColumnKind.NUMBER)),
        )
