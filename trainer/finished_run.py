"""A finished run, as publishing takes it: what was learned, from what, with which settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from encoder.bundle import verify_bundle
from encoder.commands.inspection import count_text
from encoder.errors import LithoscopeError
from trainer.config import TrainConfig
from trainer.splits import PARTS, Split, SplitError, read_split, stored_samples
from trainer.training import BUNDLE_NAME, CONFIG_NAME, RESULT_NAME, SPLIT_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.bundle_manifest import BundleManifest
    from trainer.slice_set import SliceSet


class PublishError(LithoscopeError):
    """A run that can't be published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What a run left.

    Attributes:
        folder: The run's folder.
        config: Its settings.
        manifest: What its bundle says.
    """

    folder: Path
    config: TrainConfig
    manifest: BundleManifest

    @property
    def bundle(self) -> Path:
        """Folder of its bundle."""
        return self.folder / BUNDLE_NAME

    @property
    def split(self) -> Path:
        """File of its split."""
        return self.folder / SPLIT_NAME

    def split_fingerprint(self) -> str:
        """SHA-256 of the file of its split, in hexadecimal digits.

        Raises:
            PublishError: It can't be read.
        """
        return hashlib.sha256(_read(self.split)).hexdigest()


def read_run(folder: Path, *, data: Path | None = None) -> FinishedRun:
    """Read what a run left.

    Args:
        folder: The run's folder.
        data: Where its data is now; None for where it was.

    Raises:
        PublishError: It is no run, or not finished.
        BundleError: Its bundle is refused.
    """
    if not (folder / CONFIG_NAME).is_file():
        raise PublishError(
            f"{folder}: no run ({CONFIG_NAME} is missing); name the folder that "
            "`lithoscope train --out` was given"
        )
    if not (folder / RESULT_NAME).is_file() or not (folder / BUNDLE_NAME).is_dir():
        raise PublishError(
            f"{folder}: the run is not finished; go on with it: `lithoscope train --out {folder} "
            "--resume`, with the settings that it was begun with"
        )
    try:
        config = TrainConfig.model_validate_json(_read(folder / CONFIG_NAME))
    except ValidationError as error:
        first = error.errors()[0]
        raise PublishError(
            f"{folder / CONFIG_NAME}: no settings ({'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}); copy the run again"
        ) from error
    if data is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"path": data})})
    return FinishedRun(folder=folder, config=config, manifest=verify_bundle(folder / BUNDLE_NAME))


def split_of(run: FinishedRun, slices: SliceSet) -> Split:
    """Find the run's parts among the slices that are there now.

    Samples that came since are left out; those that were there must be as they were.

    Args:
        run: The run.
        slices: Slices of its data, with its settings.

    Returns:
        The split, of indices into ``slices``; its notes say what was left out.

    Raises:
        SplitError: The split is damaged, or slices that it is of are gone or others now.
    """
    split, came_since = split_among(run.split, slices)
    return replace(split, notes=(came_since,) if came_since else ())


def split_among(path: Path, slices: SliceSet) -> tuple[Split, str]:
    """Find the parts of a stored split among slices that may have become more.

    Args:
        path: The split.
        slices: Slices of its data, with its settings.

    Returns:
        The split, of indices into ``slices``; and how many samples came since and are left out, in
        words, empty where none did.

    Raises:
        SplitError: As `split_of`.
    """
    try:
        return read_split(path, slices), ""
    except SplitError:
        rows = np.flatnonzero(np.isin(slices.sample, stored_samples(path, slices)))
        if len(rows) in (0, len(slices)):
            raise
        found = read_split(path, _only(slices, rows))
        train, val, test = (rows[getattr(found, part)] for part in PARTS)
        left_out = len(slices.sample_names) - len(np.unique(slices.sample[rows]))
        note = f"{count_text(left_out, 'sample')} came since the run began: left out"
        return replace(found, train=train, val=val, test=test), note


def _only(slices: SliceSet, rows: NDArray[np.int64]) -> SliceSet:
    """Some slices as if there were no others; pixels are not looked at, and not copied."""
    told: dict[str, Any] = {
        name: getattr(slices, name)[rows]
        for name in ("number", "porosity", "permeability_md", "pixel_size_um")
    }
    for name in ("scan", "sample", "reservoir", "label"):
        used, renumbered = np.unique(getattr(slices, name)[rows], return_inverse=True)
        names = getattr(slices, f"{name}_names")
        told[name] = renumbered.astype(np.int64)
        told[f"{name}_names"] = tuple(names[number] for number in used)
        if name == "scan" and slices.scan_sha256:
            told["scan_sha256"] = tuple(slices.scan_sha256[number] for number in used)
    shape = (len(rows), slices.size, slices.size, 3)
    return replace(slices, pixels=np.broadcast_to(np.uint8(0), shape), content="", **told)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PublishError(
            f"{path}: can't be read ({error.strerror}); check it and its permissions"
        ) from error
