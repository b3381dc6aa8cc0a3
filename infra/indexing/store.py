"""The port below the vector index: tables of rows with a key, a vector and columns.

A row is a mapping by column: the key and texts `str` (the empty text for a name not known),
numbers `float` or None (not measured), integers `int`, JSON any JSON object, the vector a
float32 array.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from infra.filters import Filter
    from infra.indexing.schema import TableSchema

Row = Mapping[str, Any]
"""A row by column, the vector under `VECTOR` if it was asked for."""

Found = tuple[float, dict[str, Any]]
"""A row that was found, with its distance."""


class RowStore(Protocol):
    """Tables of rows. What was written is seen by every call after it, from any process.

    Every method may raise `VectorIndexError`, or `IndexUnavailableError` where it can be tried
    again.
    """

    @property
    def merges(self) -> bool:
        """Whether a search for several vectors costs hardly more than one for a single vector.

        Else what is nearest to each of them has to be sent.
        """

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off every other writer, of any process, until it is left; its holder may nest it.

        Gives whether it does: False for a server, which can't.
        """

    def create(self, table: str, schema: TableSchema) -> None:
        """Make a table, unless it is there."""

    def schema(self, table: str) -> TableSchema | None:
        """What a table holds; None if there is no such table."""

    def tables(self) -> list[str]:
        """Names of the tables, sorted."""

    def drop(self, table: str) -> None:
        """Remove a table and its rows, if it is there."""

    def set_alias(self, alias: str, table: str) -> None:
        """Make an alias name a table, at once."""

    def alias_target(self, alias: str) -> str | None:
        """Table that an alias names, or None."""

    def drop_alias(self, alias: str) -> None:
        """Let an alias name nothing, if it names a table."""

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows; of several with one key, the last is kept."""

    def flush(self, table: str) -> None:
        """Return when what was written would survive a loss of power."""

    def delete(self, table: str, keys: Sequence[str]) -> None:
        """Remove the rows with these keys; keys that are not there are passed over."""

    def select(
        self, table: str, where: Filter | None, *, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Every row that passes a filter, in no order: these columns, and the key."""

    def count(self, table: str, where: Filter | None) -> int:
        """Number of rows that pass a filter."""

    def search(
        self,
        table: str,
        vectors: NDArray[np.float32],
        *,
        where: Filter | None,
        columns: Sequence[str],
        limit: int,
    ) -> list[Found]:
        """The rows nearest to any of several queries that pass a filter, nearest first.

        Args:
            table: Table.
            vectors: (Q, D) queries.
            where: Filter, or None.
            columns: Columns to return beside the key.
            limit: Most rows, 1 to `MAX_LIMIT`.

        Returns:
            Each row once, with its distance to the nearest query (Euclidean, not squared, or the
            inner product itself); fewer than ``limit`` only if there are no more.
        """

    def close(self) -> None:
        """Let go of what the store holds open."""
