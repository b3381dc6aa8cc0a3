"""A rock library without downloads: labelled micro-CT volumes and thin sections, made by seed.

The tree is `<reservoir>/<sample>/<file>`. Beside it lie `metadata.csv` (what a laboratory tells:
a fifth of the samples is not measured), `kin.json` (which reservoirs are kin, so which analogs
are right) and `truth.json` (the measured values of all samples).
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.sandbox.child import die_with
from trainer.library_plan import LibraryError, LibraryPlan, LibrarySpec, SampleTask, plan_library
from trainer.rock_files import write_picture, write_volume
from trainer.rock_physics import RockProperties, measure_rock
from trainer.rock_scanner import scan_volume
from trainer.rock_structure import RockStructure, grow_rock
from trainer.thin_sections import MAGNIFICATION, photograph_thin_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

COLUMNS = (
    "Image",
    "Reservoir",
    "Sample",
    "Modality",
    "Porosity",
    "Permeability_mD",
    "Pixelsize_um",
)
"""Header of `metadata.csv`."""
_ROCK, _SCAN, _THIN = 0, 1, 2
_THIN_SIDE = 8
"""A thin section has so many pixels to a voxel of the volume's edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSample:
    """A sample that was made.

    Attributes:
        task: What was asked for.
        properties: Measured on its voxels.
    """

    task: SampleTask
    properties: RockProperties


def grow_sample(task: SampleTask) -> RockStructure:
    """Grow the rock of a sample: its segmentation, before any instrument.

    Returns:
        Arrays of shape (size, size, size).
    """
    return grow_rock(task.recipe, (task.size,) * 3, rng=task.rng(_ROCK))


def scan_sample(task: SampleTask, rock: RockStructure) -> NDArray[np.uint16]:
    """Take the micro-CT volume of a grown sample.

    Returns:
        Uint16 volume of shape (size, size, size).
    """
    return scan_volume(rock, task.recipe, rng=task.rng(_SCAN))


def make_sample(task: SampleTask, folder: Path) -> MadeSample:
    """Make one sample: grow it, measure it, take its pictures, write them.

    Args:
        task: What to make.
        folder: Root of the library.

    Raises:
        OSError: A file can't be written.
    """
    rock = grow_sample(task)
    voxel_um = task.recipe.voxel_um
    path = folder / task.volume_path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, scan_sample(task, rock), voxel_um=voxel_um)
    if task.thin_section:
        side = _THIN_SIDE * task.size
        picture = photograph_thin_section(task.recipe, side, rng=task.rng(_THIN))
        write_picture(folder / task.thin_section_path, picture, pixel_um=voxel_um / MAGNIFICATION)
    return MadeSample(task=task, properties=measure_rock(rock.pores, voxel_um))


def build_library(
    spec: LibrarySpec,
    out: Path,
    *,
    jobs: int = 1,
    on_sample: Callable[[MadeSample], None] | None = None,
) -> LibraryPlan:
    """Build a synthetic library; the same bytes for the same `spec`, whatever `jobs` is.

    The library appears in `out` complete or not at all.

    Args:
        spec: What to build.
        out: Folder that doesn't exist yet, or is empty.
        jobs: Number of processes.
        on_sample: Called after each sample, in order.

    Returns:
        What the library holds.

    Raises:
        LibraryError: `out` isn't free or can't be written, or a process died.
    """
    if jobs < 1:
        raise LibraryError(f"--jobs is {jobs}, allowed are 1 and more")
    plan = plan_library(spec)
    try:
        with _appearing_folder(out) as folder:
            made = []
            for sample in _make_samples(plan.tasks, folder, jobs=jobs):
                made.append(sample)
                if on_sample is not None:
                    on_sample(sample)
            _write_records(plan, made, folder=folder)
    except BrokenProcessPool as error:
        raise LibraryError(
            f"{out}: a process died, probably for want of memory; try a smaller --size or --jobs 1"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise LibraryError(
            f"{out}: can't be written ({reason}); free space or choose another folder"
        ) from error
    return plan


@contextmanager
def _appearing_folder(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out` whose contents move up if all goes well, and else disappear.

    Inside, because `out` may be the current folder, a link to a folder or a mounted volume.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise LibraryError(f"{out}: {what}; name a new folder or remove it first")
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".building-", dir=out))
    try:
        yield folder
        for path in sorted(folder.iterdir()):
            path.rename(out / path.name)
        is_new = False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            shutil.rmtree(out, ignore_errors=True)


def _make_samples(
    tasks: tuple[SampleTask, ...], folder: Path, *, jobs: int
) -> Iterator[MadeSample]:
    """Make all samples, in order, in this process or several."""
    workers = min(jobs, len(tasks))
    if workers == 1:
        for task in tasks:
            yield make_sample(task, folder)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_serve_parent, initargs=(os.getpid(),)
    )
    try:
        yield from pool.map(make_sample, tasks, [folder] * len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)


def _serve_parent(parent: int) -> None:
    """End with the parent, and leave Ctrl-C, which reaches all of a terminal, to it alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)


def _write_records(plan: LibraryPlan, made: list[MadeSample], *, folder: Path) -> None:
    """Write the metadata, the kin and the truth."""
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for sample in made:
            table.writerows(_metadata_rows(sample))
    groups: dict[int, list[str]] = {}
    for reservoir in plan.reservoirs:
        groups.setdefault(reservoir.group, []).append(reservoir.name)
    families = {reservoir.group: reservoir.recipe.family for reservoir in plan.reservoirs}
    kin = {
        "groups": [
            {"family": families[group], "reservoirs": names}
            for group, names in sorted(groups.items())
        ],
        "kin": plan.kin(),
    }
    _write_json(folder / "kin.json", kin)
    _write_json(folder / "truth.json", {"samples": [_truth(sample) for sample in made]})


def _metadata_rows(made: MadeSample) -> list[list[str]]:
    """Rows of `metadata.csv` for a sample's files."""
    task, properties = made.task, made.properties
    laboratory = ["", ""]
    if task.measured:
        laboratory = [_number(properties.porosity), _number(properties.permeability_md)]
    voxel_um = task.recipe.voxel_um
    names = [task.reservoir, task.sample]
    rows = [[task.volume_path, *names, "micro_ct", *laboratory, _number(voxel_um)]]
    if task.thin_section:
        pixel = _number(voxel_um / MAGNIFICATION)
        rows.append([task.thin_section_path, *names, "thin_section", *laboratory, pixel])
    return rows


def _truth(made: MadeSample) -> dict[str, object]:
    """Everything that is known of a sample, measured by the laboratory or not."""
    task, properties = made.task, made.properties
    return {
        "sample": task.sample,
        "reservoir": task.reservoir,
        "family": task.recipe.family,
        "measured": task.measured,
        "porosity": float(_number(properties.porosity)),
        "permeability_md": float(_number(properties.permeability_md)),
        "specific_surface_per_m": float(_number(properties.specific_surface_per_m)),
        "voxel_um": task.recipe.voxel_um,
    }


def _number(value: float) -> str:
    """Seven significant digits: the last bit of a power depends on the maths library."""
    return f"{value:.7g}"


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
