"""RockIR's checkpoints as a DSNN: four files of an epoch, read without running what is in them.

RockIR (the code of Shim et al. 2023) saves four state dicts every ten epochs: ``epoch-N.pt`` and
``rock_epoch-N.pt`` are the backbones of branches 1 and 2, each an ``nn.Sequential`` of
torchvision's ResNet-18 without its last two layers, ``siam_epoch-N.pt`` the gate and the pair
classifiers, ``reg_epoch-N.pt`` the regression head. Names bear ``module.`` where several GPUs
trained, and none where its script for one GPU did.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from encoder.dsnn import DSNN, DSNNSpec
from encoder.model_errors import WeightsError
from encoder.neural_encoder import NeuralEncoder
from encoder.preprocess import Preprocessing
from encoder.property_targets import ROCKIR_TARGETS
from encoder.state_files import fit_state, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from encoder.windows import WindowRule

IMPORTED_FROM = "source"
"""Entry of a bundle's provenance that names where its weights were trained, if not here."""

CHECKPOINT_BYTES_MAX = 256 << 20
"""Largest file that is read: a backbone takes 45 MB."""

_CARRIED = (
    "Vectors are RockIR's: the mean of both normalised branches; porosity and permeability too, "
    "the latter where a scan's pixel size is known"
)
_LEFT = (
    "Gate and pair classifiers were trained on feature maps pooled after their difference was "
    "taken, the gate with one more ReLU before its softmax: with ours, which pool first, they are "
    "a start for training, and neither vectors nor predictions use them"
)
NOTES = (_CARRIED, _LEFT)
"""What carries over and what does not (docs/encoders.md)."""

_PREFIX = "module."
_BACKBONE = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
"""Places in the ``nn.Sequential``; 2 and 3 are ReLU and max-pooling, without tensors."""

_PARTS: dict[str, dict[str, str]] = {
    "epoch": {theirs: f"trunk1.{ours}" for theirs, ours in _BACKBONE.items()},
    "rock_epoch": {theirs: f"trunk2.{ours}" for theirs, ours in _BACKBONE.items()},
    "siam_epoch": {
        "fc_out.0": "classifier",
        "fc_out_image.0": "classifier1",
        "fc_out_rock.0": "classifier2",
        "fc_fusion.0": "gate.0",
        "fc_fusion2.0": "gate.2",
        "fc_fusion3.0": "gate.4",
    },
    "reg_epoch": {
        "fc.0": "regression_trunk.0",
        "out_por.0": "regression_outputs.0",
        "out_perm.0": "regression_outputs.1",
    },
}
"""How each file's name begins, and which of its modules are which of ours."""

_NAME = re.compile(rf"({'|'.join(_PARTS)})-0*(\d{{1,9}})\.pt", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RockIRCheckpoint:
    """The four files of an epoch.

    Attributes:
        epoch: Which.
        files: Path of each, by how its name begins: ``epoch``, ``rock_epoch``, ``siam_epoch`` and
            ``reg_epoch``.
    """

    epoch: int
    files: Mapping[str, Path]


def find_checkpoint(folder: Path, epoch: int | None = None) -> RockIRCheckpoint:
    """Find the four files of an epoch.

    Args:
        folder: Folder that RockIR saved into.
        epoch: Which; None for the newest that is complete.

    Raises:
        WeightsError: The folder can't be listed, or files are missing: they are named.
    """
    try:
        names = {
            (int(match[2]), match[1]): path
            for path in sorted(folder.iterdir())
            if (match := _NAME.fullmatch(path.name))
        }
    except OSError as error:
        raise WeightsError(
            f"{folder}: can't be listed ({error.strerror}); name the folder of RockIR's checkpoints"
        ) from error
    there = sorted({number for number, _ in names})
    if not there and epoch is None:
        raise WeightsError(
            f"{folder}: no checkpoint of RockIR; expected {_file_names('N')} in one folder"
        )
    complete = [number for number in there if all((number, part) in names for part in _PARTS)]
    chosen = epoch if epoch is not None else (complete or there)[-1]
    missing = [f"{part}-{chosen}.pt" for part in _PARTS if (chosen, part) not in names]
    if missing:
        others = f"; complete: epoch {', '.join(map(str, complete))}" if complete else ""
        raise WeightsError(
            f"{folder}: epoch {chosen} lacks {', '.join(missing)}; put all four files of an epoch "
            f"into the folder{others}"
        )
    return RockIRCheckpoint(epoch=chosen, files={part: names[chosen, part] for part in _PARTS})


def import_rockir(checkpoint: RockIRCheckpoint, *, window: WindowRule = "none") -> NeuralEncoder:
    """Read an epoch into a DSNN, with RockIR's own preprocessing and property scalers.

    Args:
        checkpoint: Its files.
        window: How a scan's grey window is found; RockIR takes 8-bit pixels as they are (``none``).

    Returns:
        Encoder ``dsnn``, on the CPU, in evaluation mode.

    Raises:
        WeightsError: A file is too large, damaged, no state dict, or of another network.
    """
    with torch.device("meta"):  # shapes only: nothing is drawn
        model = DSNN(DSNNSpec(targets=ROCKIR_TARGETS))
    expected = model.state_dict()
    state: dict[str, Tensor] = {}
    told = {IMPORTED_FROM: f"RockIR, epoch {checkpoint.epoch}", "notes": ". ".join(NOTES)}
    for part, path in checkpoint.files.items():
        _check_size(path)
        state |= _read_part(path, expected, modules=_PARTS[part])
        told[f"sha256 of {path.name}"] = _sha256(path)
    model.load_state_dict(state, assign=True)
    half = (0.5, 0.5, 0.5)
    return NeuralEncoder(
        name="dsnn",
        model=model,
        preprocessing=Preprocessing(size=224, mean=half, std=half, window=window),
        init=f"RockIR, epoch {checkpoint.epoch}",
        provenance=told,
    )


def _read_part(
    path: Path, expected: Mapping[str, Tensor], *, modules: Mapping[str, str]
) -> dict[str, Tensor]:
    """Read one file: its tensors under our names."""
    renamed = {
        f"{theirs}{name.removeprefix(ours)}": name
        for theirs, ours in modules.items()
        for name in expected
        if name.startswith(f"{ours}.")
    }
    found = _without_prefix(path, read_state(path))
    try:
        fitted = fit_state({theirs: expected[ours] for theirs, ours in renamed.items()}, found)
    except WeightsError as error:
        raise WeightsError(
            f"{path}: not what RockIR saves under this name ({error}); fetch it again"
        ) from error
    return {renamed[theirs]: tensor for theirs, tensor in fitted.items()}


def _without_prefix(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    bare = [name for name in state if not name.startswith(_PREFIX)]
    if not bare:
        return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    if len(bare) < len(state):
        raise WeightsError(
            f"{path}: {bare[0]} lacks the prefix {_PREFIX!r} that other names bear; "
            "save one model's state dict alone"
        )
    return dict(state)


def _check_size(path: Path) -> None:
    """Refuse what would not fit into memory, packed or not, before any of it is read."""
    try:
        size = path.stat().st_size
        if path.is_file() and size <= CHECKPOINT_BYTES_MAX and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path}: can't be read ({error}); fetch it again") from error
    if size > CHECKPOINT_BYTES_MAX:
        raise WeightsError(
            f"{path}: holds {size >> 20} MiB, RockIR's files at most "
            f"{CHECKPOINT_BYTES_MAX >> 20}; fetch it again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_names(number: str) -> str:
    return ", ".join(f"{part}-{number}.pt" for part in _PARTS)
