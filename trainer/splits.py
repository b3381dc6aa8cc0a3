"""Training, validation and test slices: deterministic, without leaks, written beside the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from encoder.errors import LithoscopeError, OutputError
from trainer.groups import draw_parts, joined_groups, largest_joined
from trainer.near_duplicates import find_near_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.slice_set import SliceSet

SplitBy = Literal["sample", "reservoir", "image", "folder"]

PARTS = ("train", "val", "test")
"""Names of the parts, in the order of their numbers."""

_FOLDERS = {"train": 0, "val": 1, "db_test": 2, "test": 2}
"""Part that a library's topmost folder stands for (RockIR's layout)."""


class SplitError(LithoscopeError):
    """A split that can't be made, or must not be used."""


class SplitConfig(BaseModel):
    """How slices are divided.

    Attributes:
        by: What stays together: all slices of a ``sample``, of a ``reservoir``, or nothing
            (``image``: each slice for itself). ``folder``: as the folders ``train``, ``val`` and
            ``db_test`` (or ``test``) of the library say.
        train: Share of training slices, about.
        val: Share of validation slices.
        test: Share of test slices.
        seed: Of the draw.
        near_duplicates: Whether images that are nearly the same are kept on one side; with
            ``folder`` they are only counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: SplitBy = Field(default="sample", description="sample, reservoir, image or folder")
    train: float = Field(default=0.7, gt=0, le=1, description="a share above 0")
    val: float = Field(default=0.1, ge=0, lt=1, description="a share from 0 to below 1")
    test: float = Field(default=0.2, ge=0, lt=1, description="a share from 0 to below 1")
    seed: NonNegativeInt = Field(default=0, description="a whole number from 0")
    near_duplicates: bool = Field(default=True, description="true or false")

    @model_validator(mode="after")
    def _shares(self) -> SplitConfig:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError(
                f"train {self.train}, val {self.val} and test {self.test} must add up to 1"
            )
        return self


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Indices of a slice set's slices, each in one part at most, ascending.

    Attributes:
        train: (n,), int64: what networks learn from.
        val: (n,), int64: what early stopping looks at; may be empty.
        test: (n,), int64: what results are quoted on; may be empty.
        by: What was kept together.
        notes: What is worth telling, such as the count of near-duplicates.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    by: SplitBy = "sample"
    notes: tuple[str, ...] = ()


def split_slices(slices: SliceSet, config: SplitConfig) -> Split:
    """Divide slices: whole groups, drawn so that every reservoir has its share of each part.

    Args:
        slices: The slices.
        config: How. With ``image`` shares hold within every label instead, with ``reservoir`` on
            the whole only, with ``folder`` not at all.

    Raises:
        SplitError: A part would be empty though it has a share, or parts share samples.
    """
    if config.by == "folder":
        part_of, notes = _parts_by_folder(slices)
        if config.near_duplicates:
            notes += _seen_before(slices, part_of)
    else:
        part_of, notes = _drawn_parts(slices, config)
    train, val, test = (np.flatnonzero(part_of == part) for part in range(len(PARTS)))
    split = Split(train=train, val=val, test=test, by=config.by, notes=notes)
    _check_filled(split, config)
    check_leaks(split, slices)
    return split


def check_leaks(split: Split, slices: SliceSet) -> None:
    """Refuse a split whose parts share slices, or samples unless it is by image.

    Training and validation folders may share samples: nothing is quoted on either.

    Raises:
        SplitError: They do; every shared sample is told with the parts that have it.
    """
    parts = {name: getattr(split, name) for name in PARTS}
    pairs = [("train", "val"), ("train", "test"), ("val", "test")]
    problems = []
    for first, second in pairs:
        if len(np.intersect1d(parts[first], parts[second])):
            problems.append(f"{first} and {second} share slices")
        elif split.by != "image" and (split.by, first, second) != ("folder", "train", "val"):
            shared = np.intersect1d(slices.sample[parts[first]], slices.sample[parts[second]])
            if len(shared):
                names = ", ".join(slices.sample_names[number] for number in shared)
                problems.append(f"{first} and {second} share {len(shared)} samples: {names}")
    if problems:
        raise SplitError(
            f"split by {split.by}: {'; '.join(problems)}; results on them would tell nothing: "
            "keep each sample in one part, or split by image if that is meant"
        )


def write_split(path: Path, split: Split, *, slices: SliceSet) -> None:
    """Write a split as JSON, whole or not at all: a line of names for people, then the indices.

    Args:
        path: File to write.
        split: The split.
        slices: The slices that its indices are of.

    Raises:
        OutputError: It can't be written.
    """
    parts = {name: getattr(split, name) for name in PARTS}
    content = {
        "by": split.by,
        "notes": split.notes,
        "slices": slices.fingerprint(),
        "samples": {
            name: [
                _readable(slices.sample_names[number]) for number in np.unique(slices.sample[part])
            ]
            for name, part in parts.items()
        },
        **{name: part.tolist() for name, part in parts.items()},
    }
    hidden = path.with_name(f".{path.name}.part")
    try:
        hidden.write_text(json.dumps(content), encoding="utf-8")
        hidden.replace(path)
    except OSError as error:
        hidden.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: can't be written ({error.strerror}); choose another folder or make room"
        ) from error


def _readable(name: str) -> str:
    """A name whose bytes are no UTF-8 with those bytes as escapes: JSON can't hold them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_split(path: Path, slices: SliceSet) -> Split:
    """Read a split back.

    Args:
        path: What `write_split` wrote.
        slices: The slices that it is to be used with.

    Raises:
        SplitError: It can't be read, is of other slices, or its parts share samples.
    """
    content = _stored(path)
    if content.slices != slices.fingerprint():
        raise SplitError(
            f"{path}: is of other slices than these; use the data and settings it was made with"
        )
    train, val, test = (np.asarray(getattr(content, name), dtype=np.int64) for name in PARTS)
    split = Split(train=train, val=val, test=test, by=content.by, notes=content.notes)
    for name in PARTS:
        part = getattr(split, name)
        if len(part) and (part.max() >= len(slices) or (np.diff(part) <= 0).any()):
            raise SplitError(f"{path}: no split ({name} is damaged); begin a new run")
    check_leaks(split, slices)
    return split


def stored_samples(path: Path, slices: SliceSet, *, parts: Iterable[str] = PARTS) -> list[int]:
    """Find the samples of a stored split by their names, though it be of other slices.

    Args:
        path: What `write_split` wrote.
        slices: Where to look for them.
        parts: The parts of the split whose samples are asked for.

    Returns:
        Their numbers in ``slices``, ascending; those that are not there are left out.

    Raises:
        SplitError: It can't be read.
    """
    samples = _stored(path).samples
    names = {name for part in parts for name in samples.get(part, ())}
    return [n for n, name in enumerate(slices.sample_names) if _readable(name) in names]


def _stored(path: Path) -> _StoredSplit:
    try:
        return _StoredSplit.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SplitError(
            f"{path}: can't be read ({error.strerror}); name a run's split file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise SplitError(
            f"{path}: no split ({'.'.join(map(str, first['loc']))}: {first['msg']}); "
            "begin a new run"
        ) from error


class _StoredSplit(BaseModel):
    """A split as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: SplitBy
    notes: tuple[str, ...]
    slices: str
    samples: dict[str, list[str]]
    train: list[NonNegativeInt]
    val: list[NonNegativeInt]
    test: list[NonNegativeInt]


def _drawn_parts(
    slices: SliceSet, config: SplitConfig
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    each = np.arange(len(slices))
    nothing = np.zeros(len(slices), dtype=np.int64)
    group, stratum = {
        "sample": (slices.sample, slices.reservoir),
        "reservoir": (slices.reservoir, nothing),
        "image": (each, slices.label),
    }[config.by]
    notes: tuple[str, ...] = ()
    if config.near_duplicates:
        found = find_near_duplicates(slices.pixels, group)
        joined = joined_groups(group, found.cluster)
        what = "images" if config.by == "image" else f"images of different {config.by}s"
        told = f"{found.n_images} {what} are near-duplicates, in {found.n_clusters} clusters"
        if found.n_clusters:
            told += f" that join up to {largest_joined(group, joined)} {config.by}s"
        notes = (f"{told}: each kept on one side",)
        group = joined
    shares = (config.train, config.val, config.test)
    return draw_parts(group, stratum, shares=shares, seed=config.seed), notes


def _parts_by_folder(slices: SliceSet) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    parts = [_FOLDERS.get(name.partition("/")[0], -1) for name in slices.scan_names]
    part_of = np.asarray(parts, dtype=np.int64)[slices.scan]
    left_out = int((part_of < 0).sum())
    note = f"{left_out} slices are in no folder of {', '.join(_FOLDERS)}: left out"
    return part_of, (note,) if left_out else ()


def _seen_before(slices: SliceSet, part_of: NDArray[np.int64]) -> tuple[str, ...]:
    """Tell how many test images are near-duplicates of others: folders are left as they are."""
    is_test, is_learnt = part_of == PARTS.index("test"), np.isin(part_of, (0, 1))
    found = find_near_duplicates(slices.pixels, np.where(is_learnt, 0, 1 + is_test))
    seen = int(np.isin(found.cluster[is_test], found.cluster[is_learnt]).sum())
    note = (
        f"{seen} of {int(is_test.sum())} test images are near-duplicates of training or validation "
        "images: results on them flatter"
    )
    return (note,) if seen else ()


def _check_filled(split: Split, config: SplitConfig) -> None:
    """Refuse empty parts that were to have slices; folders must hold training slices."""
    empty = [
        name
        for name in PARTS
        if not len(getattr(split, name))
        and (name == "train" if config.by == "folder" else getattr(config, name) > 0)
    ]
    if not empty:
        return
    if config.by == "folder":
        raise SplitError("split by folder: no slice is in a folder named train; choose another")
    notes = "".join(f" ({note})" for note in split.notes)
    raise SplitError(
        f"split by {config.by}: {', '.join(empty)} would be empty; there are too few "
        f"{config.by}s for these shares{notes}: set split.{empty[0]}=0, or split by something "
        "smaller"
    )
