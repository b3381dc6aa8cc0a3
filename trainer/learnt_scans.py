"""Which scans a model learned from: told in its card, so that later gates know.

A scan is known by its content (8 hexadecimal digits of the SHA-256 that it has as a stored object),
so that a folder and a bucket with the same library are known to be the same; by its name only where
one side does not tell the content. By chance, one of a million pairs of scans in 4,000 is taken for
the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
from pydantic import ValidationError

from encoder.object_keys import SCANS_PREFIX
from encoder.rockir import IMPORTED_FROM
from trainer.config import TrainConfig
from trainer.provenance import data_fingerprint
from trainer.splits import SplitError, split_slices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray

    from trainer.slice_set import SliceSet
    from trainer.splits import Split

LEARNT_SCANS = "learnt_scans"
"""Entry of a bundle's provenance: marks of the scans that its run learned from, or chose its
weights by."""

LEARNT_BEFORE = "learnt_before"
"""Entry: marks of those that the bundle which it began from learned from, and that one's start."""

LEARNT_UNTOLD = "learnt_untold"
"""Entry: what it began from, where that does not tell what it learned from; else empty."""

_DIGITS = 8
_NOTHING = "-" * _DIGITS
_SCANS_MAX = 50_000
"""More are not told: a card holds a mebibyte."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """Scans as pairs of marks: of the name, and of the content (or `_NOTHING`)."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, slices: SliceSet, rows: NDArray[np.int64]) -> Self:
        numbers = np.unique(slices.scan[rows]).tolist()
        contents = _contents(slices)
        return cls(
            frozenset((_names(slices.scan_names[n])[0], contents[n] or _NOTHING) for n in numbers)
        )

    @classmethod
    def read(cls, told: str) -> Self:
        """Read a card's entry; those of former releases have marks of names only."""
        if ":" not in told:
            starts = range(0, len(told), _DIGITS)
            return cls(frozenset((told[at : at + _DIGITS], _NOTHING) for at in starts))
        pairs = (pair.partition(":") for pair in told.split())
        return cls(frozenset((name, content) for name, _, content in pairs))

    def text(self) -> str:
        return " ".join(sorted(f"{name}:{content}" for name, content in self.pairs))

    def among(self, slices: SliceSet) -> NDArray[np.bool_]:
        """Which scans of a slice set are among them."""
        contents = {content for _, content in self.pairs}
        named = {name for name, _ in self.pairs}
        named_only = {name for name, content in self.pairs if content == _NOTHING}
        found = [
            content in contents or not (named_only if content else named).isdisjoint(_names(name))
            for name, content in zip(slices.scan_names, _contents(slices), strict=True)
        ]
        return np.array(found, dtype=bool)


def learnt_entries(
    slices: SliceSet, split: Split, *, before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Tell what a run learned from, or chose its weights by.

    Args:
        slices: The run's slices.
        split: Its parts.
        before: What `start_entries` tells of what it began from; None for nothing that learned.

    Returns:
        Entries for the provenance of its bundle. Marks are left out where they are more than a card
        holds.
    """
    before = before or {}
    own = _Marks.of(slices, np.concatenate([split.train, split.val]))
    former, untold = _Marks.read(before.get(LEARNT_BEFORE, "")), before.get(LEARNT_UNTOLD, "")
    if former.pairs and len(own.pairs) + len(former.pairs) > _SCANS_MAX:
        former, untold = _Marks(), untold or f"a model that learned from {len(former.pairs)} scans"
    return {
        LEARNT_SCANS: own.text() if len(own.pairs) <= _SCANS_MAX else "",
        LEARNT_BEFORE: former.text(),
        LEARNT_UNTOLD: untold,
    }


def start_entries(provenance: Mapping[str, str], slices: SliceSet, *, name: str) -> dict[str, str]:
    """Tell of a bundle what a run that begins from it must know.

    Args:
        provenance: What the bundle's card says of how it came about.
        slices: The run's slices.
        name: The bundle.

    Returns:
        Entries that say what it learned from, itself and what it began from.
    """
    own = _own_marks(provenance, slices)
    untold = untold_start(provenance) or ("" if own is not None else name)
    former = _Marks.read(provenance.get(LEARNT_BEFORE, ""))
    marks = _Marks(former.pairs | (own or _Marks()).pairs)
    return {LEARNT_BEFORE: marks.text(), LEARNT_UNTOLD: untold}


def untold_start(provenance: Mapping[str, str]) -> str:
    """Name what a model began from, where nothing tells what that learned from; else empty."""
    if "data" not in provenance or LEARNT_UNTOLD in provenance:
        return provenance.get(LEARNT_UNTOLD, provenance.get(IMPORTED_FROM, ""))
    try:  # a bundle of a former release
        init = TrainConfig.model_validate_json(provenance.get("config", "")).model.init
    except ValidationError:
        return ""
    return init if is_stored(init) else ""


def is_stored(init: str) -> bool:
    """Whether weights begin as a bundle or a file has them, which may be gone since."""
    return init != "imagenet" and not init.startswith("seed:")


def seen_rows(
    provenance: Mapping[str, str],
    slices: SliceSet,
    *,
    rows: NDArray[np.int64],
    split: str | None = None,
) -> NDArray[np.int64] | None:
    """Find slices that a model learned from, itself or what it began from, by what its card says.

    Args:
        provenance: What the model's card says of how it came about.
        slices: The slices.
        rows: Those that are asked about.
        split: Fingerprint of the split whose test part they are, if they are one: a model of the
            same split did not learn from them, though it did from other slices of their scans.

    Returns:
        Those of ``rows`` that it learned from; None where its card does not tell.
    """
    before = seen_before(provenance, slices, rows=rows)
    if split is not None and provenance.get("split") == split:
        return before
    own = _own_rows(provenance, slices, rows=rows)
    return None if own is None else np.union1d(own, before)


def seen_before(
    provenance: Mapping[str, str], slices: SliceSet, *, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find slices that a model's start learned from; arguments as those of `seen_rows`."""
    marks = _Marks.read(provenance.get(LEARNT_BEFORE, ""))
    return _of_scans(slices, marks, rows=rows)


def _own_rows(
    provenance: Mapping[str, str], slices: SliceSet, *, rows: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    if "data" not in provenance:  # it was not trained here; elsewhere, if it was imported
        return None if IMPORTED_FROM in provenance else rows[:0]
    if told := provenance.get(LEARNT_SCANS):
        return _of_scans(slices, _Marks.read(told), rows=rows)
    return _by_its_split(provenance, slices, rows=rows)


def _own_marks(provenance: Mapping[str, str], slices: SliceSet) -> _Marks | None:
    if told := provenance.get(LEARNT_SCANS):
        return _Marks.read(told)
    rows = _own_rows(provenance, slices, rows=np.arange(len(slices), dtype=np.int64))
    return None if rows is None else _Marks.of(slices, rows)


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


def _of_scans(slices: SliceSet, marks: _Marks, *, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if not marks.pairs:
        return rows[:0]
    return np.asarray(rows[marks.among(slices)[slices.scan[rows]]])


def _contents(slices: SliceSet) -> list[str]:
    """A mark of each scan's content; empty where it is not known."""
    if not slices.scan_sha256:
        return [""] * len(slices.scan_names)
    return [told[:_DIGITS] for told in slices.scan_sha256]


def _names(name: str) -> list[str]:
    """Marks of a name: alike in a library and in a bucket, and as former releases made them."""
    plain = name.removeprefix(f"{SCANS_PREFIX}/")
    spelt = plain if plain == name else unquote(plain, errors="surrogateescape")
    return [
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        for text in dict.fromkeys((spelt, plain))
    ]
