"""New metadata for the rows of a scan: what may change, and what must not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.indexing.errors import VectorIndexError
from infra.indexing.records import ScanRecord, SliceRow, check_owner, slice_to_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey:
    """A scan that gets new metadata.

    Attributes:
        record: Its record with its new names and metadata hash.
        change: Gives a row with its new metadata.
    """

    record: ScanRecord
    change: Callable[[SliceRow], SliceRow]


def rekeyed_rows(
    rekey: Rekey,
    slices: Sequence[tuple[SliceRow, NDArray[np.float32]]],
    *,
    stored: ScanRecord | None,
    numbers: Sequence[str],
) -> list[dict[str, Any]]:
    """Change the rows of a scan.

    Args:
        rekey: What changes.
        slices: Its rows and vectors as they are.
        stored: Its record as it is, or None.
        numbers: Number columns of the collection.

    Raises:
        VectorIndexError: The scan is not indexed in this generation, rows of it are missing, or
            ``change`` moved a row to another slice, or made one that must not enter.
    """
    record = rekey.record
    if stored is None or stored.generation != record.generation:
        raise VectorIndexError(
            f"{record.object_key}: not indexed as {record.generation}; commit it instead"
        )
    rows = []
    for row, vector in slices:
        changed = rekey.change(row)
        check_owner(changed, record)
        if changed.slice_index != row.slice_index:
            raise VectorIndexError(
                f"{record.object_key}: slice {row.slice_index} became {changed.slice_index}; "
                "change metadata only"
            )
        rows.append(slice_to_row(changed, vector, numbers=numbers))
    if not len(rows) == stored.n_slices == record.n_slices:
        raise VectorIndexError(
            f"{record.object_key}: {len(rows)} rows, expected {stored.n_slices}; commit it anew"
        )
    return rows
