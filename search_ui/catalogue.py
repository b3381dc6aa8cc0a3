"""What is indexed at all: whether every stored row is committed, and which names there are."""

from __future__ import annotations

import difflib
import threading
from typing import TYPE_CHECKING

from encoder.errors import printable
from infra.filters import In
from infra.indexing.schema import ColumnKind
from search_ui.requests import SearchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.indexing.records import ScanRecord
    from infra.vector_index import Collection
    from search_ui.requests import Filters

_TOLD = 12
"""Names that a message lists."""


class Catalogue:
    """A collection's scans, looked at as seldom as it takes. Any thread may ask."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._lock = threading.Lock()
        self._counted: tuple[int, int] | None = None
        self._committed = 0

    def is_clean(self, stored: int) -> bool:
        """Whether every stored row is committed: then counts of rows are counts of slices.

        Args:
            stored: Rows that are stored.
        """
        with self._lock:
            counted = stored, self.collection.count_scans()
            if counted != self._counted:
                self._committed = self.collection.committed_slices()
                self._counted = counted
            return self._committed == stored

    def check(self, filters: Filters) -> None:
        """Refuse names that nothing indexed has: a misspelt exclusion would exclude nothing.

        Raises:
            SearchError: A name, scan or property that there is not; the text tells near ones.
        """
        self._check_names("reservoir", (*filters.only_reservoirs, *filters.exclude_reservoirs))
        self._check_names("sample", (*filters.only_samples, *filters.exclude_samples))
        self._check_names("object_key", (*filters.only_objects, *filters.exclude_objects))
        columns = self.collection.schema.names(ColumnKind.NUMBER)
        for asked in filters.ranges:
            if asked.name not in columns:
                raise SearchError(
                    f"property {printable(asked.name)!r}: not a column of the index; use one of "
                    f"{', '.join(columns)} (LITHOSCOPE_PROPERTIES declares more)"
                )

    def unknown_object(self, object_key: str) -> SearchError:
        """Tell that a scan is not indexed, and which keys are near."""
        return _unknown("object", object_key, there=(each.object_key for each in self._records()))

    def _check_names(self, column: str, names: Iterable[str]) -> None:
        for name in dict.fromkeys(names):
            # The empty text stands for names that are not known: nobody asks for those by name.
            if not name or not self.collection.count_stored(In(column, (name,))):
                there = (getattr(record, column) for record in self._records())
                raise _unknown(column.removesuffix("_key"), name, there=there)

    def _records(self) -> Iterable[ScanRecord]:
        return self.collection.records()


def _unknown(kind: str, name: str, *, there: Iterable[str | None]) -> SearchError:
    known = sorted({each for each in there if each})
    folded = {each.casefold(): each for each in reversed(known)}
    near = [
        folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    ]
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    elif known:
        more = f" and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
        hint = f"there are: {', '.join(known[:_TOLD])}{more}"
    else:
        hint = f"no {kind} is known of anything that is indexed"
    return SearchError(printable(f"{kind} {name!r}: not indexed; {hint}"))
