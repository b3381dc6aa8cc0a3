"""What ``lithoscope train`` does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import typer

from encoder.errors import ScanFault, printable
from encoder.progress import progress_bar
from encoder.registry import find_entry
from infra.settings import load_settings
from trainer.batches import BatchPlan
from trainer.config import load_config
from trainer.library_data import load_slices
from trainer.processes import joined
from trainer.run_log import StepReport
from trainer.splits import read_split, split_slices
from trainer.training import SPLIT_NAME, check_new_run, train
from trainer.training_errors import NotFiniteError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

    from trainer.config import TrainConfig
    from trainer.library_data import LoadedSlices
    from trainer.run_log import Validation
    from trainer.splits import Split
    from trainer.training import TrainResult, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What was asked for.

    Attributes:
        config: Settings file, if any.
        overrides: ``section.name=value``, each.
        out: Folder of the run.
        resume: Whether to go on with the run that is there.
    """

    config: Path | None
    overrides: tuple[str, ...]
    out: Path
    resume: bool


def run_train(request: TrainRequest) -> None:
    """Train as asked, and say how it went; of several processes, the first one speaks.

    Raises:
        NotFiniteError: The data holds numbers that are none, or training came upon one.
        LithoscopeError: The settings, the data or the run are at fault.
    """
    config = load_config(request.config, request.overrides)
    # Before hours of decoding, and before any process writes into the run's folder.
    check_new_run(request.out, resume=request.resume)
    find_entry(config.model.encoder)
    with joined() as place:
        loaded = load_slices(config, load_settings())
        _check_finite(loaded)
        split = _split(request, config, loaded=loaded)
        if not place.rank:
            _tell_data(loaded, split)
        with progress_bar() as progress:
            result = train(
                config,
                loaded.slices,
                split=split,
                run_folder=request.out,
                resume=request.resume,
                watch=None if place.rank else _watch(progress, config, loaded=loaded, split=split),
            )
        if not place.rank:
            _tell_result(result)


def _check_finite(loaded: LoadedSlices) -> None:
    """Stop for NaN in the data: whoever trains on it believes that it was measured."""
    broken = [scan for scan in loaded.refused if scan.fault is ScanFault.NOT_FINITE]
    if broken:
        others = f" (and {len(broken) - 1} scans more)" if len(broken) > 1 else ""
        raise NotFiniteError(f"before step 1: {broken[0]}{others}, or take it out of the data")


def _split(request: TrainRequest, config: TrainConfig, *, loaded: LoadedSlices) -> Split:
    written = request.out / SPLIT_NAME
    if request.resume and written.exists():
        return read_split(written, loaded.slices)
    return split_slices(loaded.slices, config.split)


def _tell_data(loaded: LoadedSlices, split: Split) -> None:
    for refused in loaded.refused:
        typer.echo(f"refused: {printable(str(refused))}", err=True)
    for note in (*loaded.notes, *split.notes):
        typer.echo(printable(note))
    counts = (len(split.train), len(split.val), len(split.test))
    typer.echo(loaded.summary)
    typer.echo(
        f"split by {split.by}: {counts[0]} to learn from, {counts[1]} to validate on, "
        f"{counts[2]} to test on"
    )


def _watch(progress: Progress, config: TrainConfig, *, loaded: LoadedSlices, split: Split) -> Watch:
    """Show where training stands."""
    plan = BatchPlan(loaded.slices, split.train, pairs=config.pairs, seed=config.run.seed)
    epochs = config.schedule.epochs
    bar = progress.add_task("Training", total=epochs * len(plan))
    best = math.nan

    def watch(row: StepReport | Validation) -> None:
        nonlocal best
        if isinstance(row, StepReport):
            told = f"Epoch {row.epoch}/{epochs}, loss {row.total:.3f}"
            if not math.isnan(best):
                told += f", best mAP@10 {best:.3f}"
            progress.update(bar, completed=row.step, description=told)
            return
        best = float(np.fmax(best, row.map_at_10))
        progress.console.print(f"epoch {row.epoch}: validation mAP@10 {row.map_at_10:.4f}")

    return watch


def _tell_result(result: TrainResult) -> None:
    if result.best_map is None:
        kept = "the last weights are kept: no validation slice has anything relevant to find"
    else:
        kept = f"epoch {result.best_epoch} is kept, validation mAP@10 {result.best_map:.4f}"
    stopped = " (stopped early)" if result.stopped_early else ""
    typer.echo(
        f"{result.epochs} epochs{stopped}, {result.steps} steps, {result.seconds:.0f} s, "
        f"last loss {result.final_loss:.4f}; {kept}"
    )
    typer.echo(str(result.bundle))
