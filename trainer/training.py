"""``train``: fits an encoder to a library and leaves a bundle, resumable at any moment.

A run's folder holds ``config.json``, ``split.json``, ``steps.csv``, ``validations.csv``,
``tensorboard/``, ``checkpoints/`` and, at the end, ``bundle/`` and ``result.json``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from encoder.bundle import save_bundle
from trainer.checkpoints import load_checkpoint, save_checkpoint
from trainer.learnt_scans import learnt_entries
from trainer.loop import Loop, Task
from trainer.preparation import prepare_encoder
from trainer.processes import first_one_first, joined, local_device, told_by_first
from trainer.provenance import data_fingerprint, provenance
from trainer.run_log import RunLog, StepReport, Validation
from trainer.schedule import best_validation, out_of_patience
from trainer.splits import write_split
from trainer.training_errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.checkpoints import Checkpoint, RunState
    from trainer.config import TrainConfig
    from trainer.pair_step import Place
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

Watch = Callable[[StepReport | Validation], None]
"""Told of every step and validation."""

BUNDLE_NAME = "bundle"
RESULT_NAME = "result.json"
CONFIG_NAME = "config.json"
SPLIT_NAME = "split.json"

_MAY_CHANGE = {
    "data": {"path", "cache"},
    "schedule": {"epochs", "patience"},
    "run": {"workers", "checkpoint_every"},
}
"""Settings that may differ when a run is resumed; epochs only at a constant learning rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a run came to.

    Attributes:
        bundle: The encoder with its best weights.
        epochs: Epochs that were made.
        steps: Steps that were made.
        final_loss: Mean loss of the last epoch.
        best_epoch: Epoch whose weights were kept.
        best_map: Its standard mAP@10 on the validation slices; None where it can't be measured.
        stopped_early: Whether the validation mAP had stopped growing.
        seconds: Time that training took, interruptions left out.
    """

    bundle: Path
    epochs: int
    steps: int
    final_loss: float
    best_epoch: int
    best_map: float | None
    stopped_early: bool
    seconds: float


def train(
    config: TrainConfig,
    slices: SliceSet,
    *,
    split: Split,
    run_folder: Path,
    resume: bool = False,
    watch: Watch | None = None,
) -> TrainResult:
    """Fit an encoder (docs/training.md). Started by torchrun, all processes call it alike.

    Args:
        config: Settings.
        slices: All slices.
        split: Which of them to learn from and which to validate on.
        run_folder: Where everything goes; it must not hold a run, unless that is resumed.
        resume: Whether to go on from the last checkpoint; a run without one begins, and of one
            that is finished the result is returned.
        watch: Is told of every step and validation, in the first process.

    Raises:
        TrainingError: The settings don't fit, a number is not finite, or the run can't be resumed.
        LithoscopeError: The encoder, its weights or the batches can't be made.
    """
    with joined() as place:
        former = _former_run(config, slices, run_folder=run_folder, resume=resume)
        with first_one_first(place):
            encoder = prepare_encoder(config, slices, chosen=split.train)
        task = Task(
            config=config,
            slices=slices,
            split=split,
            encoder=encoder,
            device=local_device(),
            place=place,
        )
        loop = Loop(task, precision=former.state.precision if former else None)
        if former is not None:
            loop.resume(former)
        if not place.rank:
            _write_settings(task, run_folder)
        with _telling(run_folder, loop, place=place, watch=watch) as tell:
            _run(loop, task, run_folder=run_folder, tell=tell)
        result = None if place.rank else _finish(loop, task, run_folder=run_folder)
        told = told_by_first(result, place)
    assert told is not None  # noqa: S101  the first process has it
    return told


def check_new_run(run_folder: Path, *, resume: bool) -> None:
    """Check that a folder can take a run.

    Args:
        run_folder: The folder; it need not exist.
        resume: Whether a run in it is gone on with.

    Raises:
        TrainingError: It holds a run that is not resumed, or is no folder.
    """
    if run_folder.exists() and not run_folder.is_dir():
        raise TrainingError(f"{run_folder}: is a file; name a folder for the run")
    if not resume and (run_folder / CONFIG_NAME).exists():
        raise TrainingError(
            f"{run_folder}: holds a run already; resume it (--resume), or name another folder"
        )


def _run(
    loop: Loop,
    task: Task,
    *,
    run_folder: Path,
    tell: Watch,
) -> None:
    """Train epoch by epoch, validating and keeping checkpoints, until it is enough."""
    config = task.config
    while loop.epoch < config.schedule.epochs and not out_of_patience(config, loop.validations):
        for report in loop.run_epoch():
            tell(report)
        last = loop.epoch == config.schedule.epochs
        due = last or loop.epoch % config.schedule.validate_every == 0
        if due and len(task.split.val):
            tell(loop.validate())
        ended = last or out_of_patience(config, loop.validations)
        if not task.place.rank and (ended or loop.epoch % config.run.checkpoint_every == 0):
            save_checkpoint(run_folder, loop.checkpoint())


def _former_run(
    config: TrainConfig, slices: SliceSet, *, run_folder: Path, resume: bool
) -> Checkpoint | None:
    """Read what a run goes on from, if it does."""
    check_new_run(run_folder, resume=resume)
    if not resume:
        return None
    former = load_checkpoint(run_folder)
    if former is not None:
        _check_same_run(config, former.state, run_folder=run_folder)
        if former.state.data != data_fingerprint(slices):
            raise TrainingError(
                f"{run_folder}: the run was begun with other slices; resume it with the same data"
            )
    return former


def _check_same_run(config: TrainConfig, state: RunState, *, run_folder: Path) -> None:
    ours, theirs = config.model_dump(mode="json"), json.loads(state.config)
    epochs = {config.schedule.epochs, theirs["schedule"]["epochs"]}
    changed = [
        f"{section}.{name}"
        for section, settings in ours.items()
        for name, value in settings.items()
        if value != theirs[section].get(name) and name not in _MAY_CHANGE.get(section, set())
    ]
    if len(epochs) > 1 and config.schedule.decay != "constant":
        changed.append("schedule.epochs (which the cosine depends on)")
    if changed:
        raise TrainingError(
            f"{run_folder}: the run was begun with other settings: {', '.join(changed)}; resume it "
            f"with its own (see {CONFIG_NAME}), or begin another in a folder of its own"
        )


def _write_settings(task: Task, run_folder: Path) -> None:
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        text = _as_found_from_anywhere(task.config).model_dump_json(indent=2) + "\n"
        (run_folder / CONFIG_NAME).write_text(text, encoding="utf-8")
        write_split(run_folder / SPLIT_NAME, task.split, slices=task.slices)
    except OSError as error:
        raise TrainingError(
            f"{run_folder}: can't be written ({error.strerror}); name a folder on a disk with room"
        ) from error


def _as_found_from_anywhere(config: TrainConfig) -> TrainConfig:
    """Settings whose folders don't depend on the working folder: others read them later."""
    data = config.data
    found = {
        "path": data.path and data.path.resolve(),
        "cache": data.cache and data.cache.resolve(),
    }
    return config.model_copy(update={"data": data.model_copy(update=found)})


@contextlib.contextmanager
def _telling(run_folder: Path, loop: Loop, *, place: Place, watch: Watch | None) -> Iterator[Watch]:
    """Open the run's log: in the first process; the others tell nobody."""
    if place.rank:
        yield lambda _: None
        return
    with RunLog(run_folder, after_step=loop.step) as log:

        def tell(row: StepReport | Validation) -> None:
            log.write(row)
            if watch is not None:
                watch(row)

        yield tell


def _finish(loop: Loop, task: Task, *, run_folder: Path) -> TrainResult:
    """Keep the best weights as a bundle."""
    best = best_validation(loop.validations)
    result = TrainResult(
        bundle=run_folder / BUNDLE_NAME,
        epochs=loop.epoch,
        steps=loop.step,
        final_loss=loop.final_loss,
        best_epoch=best.epoch if best else loop.epoch,
        best_map=best.map_at_10 if best else None,
        stopped_early=loop.epoch < task.config.schedule.epochs,
        seconds=loop.seconds,
    )
    metrics = {"final_loss": result.final_loss, "epochs": float(result.best_epoch)}
    if result.best_map is not None:
        metrics["validation_map_at_10"] = result.best_map
    task.encoder.model.load_state_dict(loop.best_weights())
    encoder = replace(
        task.encoder,
        bundle_id=None,
        provenance=provenance(task.config, task.slices)
        | learnt_entries(task.slices, task.split, before=task.encoder.provenance),
        metrics=metrics,
    )
    fresh = run_folder / f".{BUNDLE_NAME}.new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
    save_bundle(fresh, encoder)
    (run_folder / RESULT_NAME).unlink(missing_ok=True)
    if result.bundle.exists():  # of this run before it was made longer
        shutil.rmtree(result.bundle)
    fresh.rename(result.bundle)
    text = json.dumps({**asdict(result), "bundle": str(result.bundle)}, indent=2)
    (run_folder / RESULT_NAME).write_text(text + "\n", encoding="utf-8")
    return result
