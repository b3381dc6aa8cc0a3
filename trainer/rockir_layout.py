"""Samples and reservoirs in RockIR's layout, where tables tell them of some files only.

A file without a row may show a sample that other files' rows tell, in another folder: were it taken
for a sample of its own, a split would find no leak between them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from encoder.metadata.places import stem_of, volume_of
from trainer.training_scan import FoundScans, RefusedScan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePath

    from trainer.training_scan import TrainingScan


class Told(NamedTuple):
    """What a scan's row tells of it.

    Attributes:
        reservoir: Its reservoir; None where no row tells it.
        sample: Its sample's name within the reservoir; None likewise.
    """

    reservoir: str | None
    sample: str | None


def sample_by_path(path: PurePath) -> str | None:
    """A sample as the layout tells it: by its folder, else by the volume in the file's name."""
    return path.parts[1] if len(path.parts) > 2 else volume_of(stem_of(path.name))


def settle_samples(found: FoundScans, told: Mapping[str, Told]) -> FoundScans:
    """Give scans without a row the sample and reservoir that other files of theirs are told to be.

    Args:
        found: Scans by the layout alone where no row tells.
        told: What rows tell of each scan, by its name.

    Returns:
        The scans; refused are those that may be of several samples.
    """
    known = _Known(defaultdict(set))
    known.add((scan, told[scan.name]) for scan in found.scans if None not in told[scan.name])
    # Rows that tell the reservoir alone: the layout tells the sample, unless other rows do.
    for scan in found.scans:
        reservoir, sample = told[scan.name]
        if reservoir is not None and sample is None and not known.fitting(scan, told[scan.name]):
            known.add([(scan, Told(reservoir, sample_by_path(PurePosixPath(scan.name))))])
    settled = replace(found, scans=[], refused=[*found.refused], notes=[*found.notes])
    n_filled = n_alone = 0
    for scan in found.scans:
        row = told[scan.name]
        fitting = [] if None not in row else known.fitting(scan, row)
        if len(fitting) > 1:
            names = " or ".join(f"{reservoir}/{sample}" for reservoir, sample in fitting)
            reason = f"no row tells whether it is of {names}; add one to the table"
            settled.refused.append(RefusedScan(str(scan.path or scan.name), reason))
        elif fitting:
            ((reservoir, sample),) = fitting
            settled.scans.append(replace(scan, sample=f"{reservoir}/{sample}", reservoir=reservoir))
            n_filled += row.reservoir is None
        else:
            settled.scans.append(scan)
            n_alone += row.reservoir is None
    if n_filled:
        settled.notes.append(
            f"{n_filled} scans have no row that tells their reservoir: rows of their samples do"
        )
    if n_alone:
        settled.notes.append(
            f"{n_alone} of {len(found.scans)} scans have no row that tells their reservoir: each "
            "sample of theirs counts as a reservoir of its own"
        )
    return settled


@dataclass(frozen=True, slots=True)
class _Known:
    """Samples with their reservoirs, by the names that their files tell them by."""

    by_name: defaultdict[str, set[tuple[str, str]]]

    def add(self, scans: Iterable[tuple[TrainingScan, Told]]) -> None:
        """Take what is told of scans, under the sample's name, its folder's and its volume's."""
        for scan, (reservoir, sample) in scans:
            if reservoir is None or sample is None:
                continue
            path = PurePosixPath(scan.name)
            for name in {sample, sample_by_path(path), volume_of(stem_of(path.name))} - {None}:
                self.by_name[str(name)].add((reservoir, sample))

    def fitting(self, scan: TrainingScan, row: Told) -> list[tuple[str, str]]:
        """Samples that a scan may be of, where its row tells too little."""
        name = row.sample or sample_by_path(PurePosixPath(scan.name)) or ""
        return sorted(
            (reservoir, sample)
            for reservoir, sample in self.by_name.get(name, ())
            if row.reservoir in (None, reservoir) and row.sample in (None, sample)
        )
