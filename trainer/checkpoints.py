"""Checkpoints: all that a run needs to go on as if it had never stopped, and nothing pickled.

``checkpoints/epoch-<n>/`` holds ``model.safetensors``, ``optimiser.safetensors``, the best weights
so far (``best.safetensors``) and ``state.json``. It appears whole or not at all, and only then is
the former one removed: a full disk or a kill leaves what was there.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainer.run_log import Validation
from trainer.training_errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainer.sampling import SamplerState

FOLDER_NAME = "checkpoints"
_MODEL, _OPTIMISER, _BEST, _STATE = (
    "model.safetensors",
    "optimiser.safetensors",
    "best.safetensors",
    "state.json",
)
_NAME = re.compile(r"epoch-(\d+)")

OptimiserState = dict[int, dict[str, "Tensor"]]
"""Per number of a parameter, tensors by name."""


class RunState(BaseModel):
    """Where a run stands, tensors left out.

    Attributes:
        epoch: Epochs that are done.
        step: Steps that are done.
        final_loss: Mean loss of the last epoch.
        seconds: Time that the run took so far.
        precision: What backbones compute in, as was decided when the run began.
        scaler: State of the gradient scaler (fp16), whose counts must stay whole; empty otherwise.
        sampler: What draws the batches.
        validations: All so far.
        config: Settings of the run, as JSON.
        data: Fingerprint of the slices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    epoch: int
    step: int
    final_loss: float
    seconds: float
    precision: str
    scaler: dict[str, int | float]
    sampler: dict[str, int]
    validations: tuple[Validation, ...]
    config: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A run at the end of an epoch.

    Attributes:
        state: Where it stands.
        model: Weights of the network.
        optimiser: Moments of every parameter.
        best: Weights of the best epoch so far.
    """

    state: RunState
    model: Mapping[str, Tensor]
    optimiser: OptimiserState
    best: Mapping[str, Tensor]


def save_checkpoint(run_folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and remove former ones.

    Args:
        run_folder: The run's folder.
        checkpoint: What to write.

    Returns:
        Its folder.

    Raises:
        CheckpointError: It can't be written; former ones are as they were.
    """
    parent = run_folder / FOLDER_NAME
    folder = parent / f"epoch-{checkpoint.state.epoch:06d}"
    partial: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(".epoch-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=".epoch-", dir=parent))
        _write_tensors(partial / _MODEL, checkpoint.model)
        _write_tensors(partial / _OPTIMISER, _flattened(checkpoint.optimiser))
        _write_tensors(partial / _BEST, checkpoint.best)
        _write_text(partial / _STATE, checkpoint.state.model_dump_json(indent=2))
        if folder.exists():
            shutil.rmtree(folder)
        _flush(partial)
        partial.rename(folder)
        _flush(parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{folder}: can't be written ({reason}); former checkpoints are as they were: "
            "make room and resume the run"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    for former in _folders(run_folder)[:-1]:
        shutil.rmtree(former, ignore_errors=True)
    return folder


def load_checkpoint(run_folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint of a run.

    Args:
        run_folder: The run's folder.

    Returns:
        The checkpoint, tensors on the CPU; None where there is none.

    Raises:
        CheckpointError: It is damaged.
    """
    folders = _folders(run_folder)
    if not folders:
        return None
    folder = folders[-1]
    try:
        return Checkpoint(
            state=RunState.model_validate_json((folder / _STATE).read_bytes()),
            model=load_file(folder / _MODEL),
            optimiser=_nested(load_file(folder / _OPTIMISER)),
            best=load_file(folder / _BEST),
        )
    except (OSError, SafetensorError, ValidationError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(
            f"{folder}: damaged ({reason}); remove it and begin the run anew"
        ) from error


def optimiser_state(optimiser: torch.optim.Optimizer) -> OptimiserState:
    """Read an optimiser's moments."""
    state: OptimiserState = optimiser.state_dict()["state"]
    return state


def restore_optimiser(optimiser: torch.optim.Optimizer, state: OptimiserState) -> None:
    """Put moments back, each into the memory layout of its parameter.

    Args:
        optimiser: Of the same parameters.
        state: What ``optimiser_state`` gave, possibly by way of a checkpoint.
    """
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    laid_out = {
        number: {
            name: torch.empty_like(parameters[number]).copy_(tensor) if tensor.ndim else tensor
            for name, tensor in tensors.items()
        }
        for number, tensors in state.items()
    }
    optimiser.load_state_dict({**optimiser.state_dict(), "state": laid_out})


def sampler_state(state: RunState) -> SamplerState:
    """Return the sampler's state, typed as it takes it."""
    return cast("SamplerState", dict(state.sampler))


def _folders(run_folder: Path) -> list[Path]:
    parent = run_folder / FOLDER_NAME
    if not parent.is_dir():
        return []
    return sorted(
        (path for path in parent.iterdir() if _NAME.fullmatch(path.name)),
        key=lambda path: int(path.name.removeprefix("epoch-")),
    )


def _flattened(state: OptimiserState) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": tensor
        for number, tensors in state.items()
        for name, tensor in tensors.items()
    }


def _nested(tensors: Mapping[str, Tensor]) -> OptimiserState:
    state: OptimiserState = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    return state


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path)
    _flush(path)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _flush(path)


def _flush(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
