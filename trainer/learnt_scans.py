"""Which scans a published model learned from: told in its card, so that later gates know.

Names are kept as 8 hexadecimal digits of their SHA-256 each: by chance, one of a million pairs of
scans in 4,000 is taken for the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from encoder.object_keys import SCANS_PREFIX
from trainer.config import TrainConfig
from trainer.provenance import data_fingerprint
from trainer.splits import SplitError, split_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from trainer.slice_set import SliceSet
    from trainer.splits import Split

LEARNT_SCANS = "learnt_scans"
"""Name of this in a bundle's provenance."""

_DIGITS = 8
_SCANS_MAX = 50_000
"""More are not told: a card holds a mebibyte."""


def learnt_scans(slices: SliceSet, split: Split) -> str:
    """Name the scans that a run learned from, or chose its weights by.

    Args:
        slices: The run's slices.
        split: Its parts.

    Returns:
        8 digits for each scan, ascending; empty where there are more than a card holds.
    """
    rows = np.concatenate([split.train, split.val])
    marks = {_mark(slices.scan_names[number]) for number in np.unique(slices.scan[rows])}
    return "".join(sorted(marks)) if len(marks) <= _SCANS_MAX else ""


def seen_rows(
    provenance: Mapping[str, str], slices: SliceSet, *, rows: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Find slices that a model learned from, by what its card says.

    Args:
        provenance: What the model's card says of how it came about.
        slices: The slices.
        rows: Those that are asked about.

    Returns:
        Those of ``rows`` that it learned from; None where its card does not tell.
    """
    if "data" not in provenance:
        return rows[:0]  # no data: it was not trained here
    if told := provenance.get(LEARNT_SCANS):
        marks = {told[start : start + _DIGITS] for start in range(0, len(told), _DIGITS)}
        return _of_scans(slices, marks, rows=rows)
    return _by_its_split(provenance, slices, rows=rows)


def _by_its_split(
    provenance: Mapping[str, str], slices: SliceSet, *, rows: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Draw its split again, which needs the same data."""
    if provenance["data"] != data_fingerprint(slices):
        return None
    try:
        config = TrainConfig.model_validate_json(provenance.get("config", ""))
        split = split_slices(slices, config.split)
    except (ValidationError, SplitError):
        return None
    return np.asarray(np.intersect1d(rows, np.concatenate([split.train, split.val])))


def _of_scans(
    slices: SliceSet, marks: Iterable[str], *, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    known = set(marks)
    seen = np.array([_mark(name) in known for name in slices.scan_names], dtype=bool)
    return np.asarray(rows[seen[slices.scan[rows]]])


def _mark(name: str) -> str:
    """Name a scan alike in a library and in a bucket."""
    plain = name.removeprefix(f"{SCANS_PREFIX}/")
    return hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
