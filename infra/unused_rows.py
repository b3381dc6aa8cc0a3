"""Rows of a bucket's tables that are about no scan: misspelt, or of scans that are gone."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from infra.coverage_words import DIFFERENCES, counted

if TYPE_CHECKING:
    from infra.bucket_metadata import BucketMetadata
    from infra.coverage import Coverage

ROWS_TOLD = 3
"""Rows that a note names."""

_UNRESOLVED = (*(name for name in DIFFERENCES if name != "orphaned"), "quarantined")


def note_on_unused_rows(metadata: BucketMetadata, coverage: Coverage) -> str | None:
    """Say which rows name no scan of the bucket, in a line; None where every row names one.

    Args:
        metadata: The tables that the comparison was made with: it has looked up nearly all scans.
        coverage: The comparison.
    """
    index = metadata.index
    if metadata.faults or not index.unused_rows():
        return None  # of tables that are wrong, that is told
    for key in chain.from_iterable(getattr(coverage, name) for name in _UNRESOLVED):
        metadata.hash_by_tables(key)
    if not (unused := index.unused_rows()):
        return None
    told = "; ".join(f"{each.source} row {each.row}: {each.found}" for each in unused[:ROWS_TOLD])
    more = f"; and {len(unused) - ROWS_TOLD:,} more" if len(unused) > ROWS_TOLD else ""
    verb = "is" if len(unused) == 1 else "are"
    rows = counted(len(unused), "row")
    return f"{rows} of the bucket's tables {verb} about no scan: {told}{more}; correct or remove"
