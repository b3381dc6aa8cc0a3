"""Two processes that train together come to what one alone does with the same batches."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.multiprocessing.spawn import spawn

from trainer.training import train
from trainer.training_errors import TrainingError
from training_samples import made_slices, made_split, settings

if TYPE_CHECKING:
    from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
FROZEN = {"precision": "fp32", "freeze_batchnorm": True}


def _train_as_one_of_two(rank: int, config: TrainConfig, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    try:
        result = train(config, made_slices(), split=made_split(), run_folder=folder / "two")
        (folder / f"result-{rank}").write_text(str(result))
    finally:
        dist.destroy_process_group()


def columns(folder: Path, name: str) -> list[float]:
    with (folder / "steps.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("encoder", "pairs"),
    [
        ("dsnn", {"strategy": "in-batch"}),
        ("siamese-resnet18", {"strategy": "random", "pairs_per_batch": 4}),
    ],
)
def test_two_processes_train_as_one_with_the_same_batches(
    encoder: str, pairs: dict[str, Any], tmp_path: Path
) -> None:
    config = settings(tmp_path, model={"encoder": encoder}, pairs=pairs, run=FROZEN)
    one = train(config, made_slices(), split=made_split(), run_folder=tmp_path / "one")
    spawn(_train_as_one_of_two, (config, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]  # torch's own
    for name in ("total", "siamese", "fused", "metadata", "regression", "gradient_norm"):
        expected = columns(tmp_path / "one", name)
        assert columns(tmp_path / "two", name) == pytest.approx(expected, rel=2e-4, abs=1e-6), name
    told = {(tmp_path / f"result-{rank}").read_text() for rank in (0, 1)}
    assert len(told) == 1
    # Adam's first steps divide a gradient by itself: those that are nothing but rounding may go
    # either way by the learning rate. The first step's losses tell the gradients' sum is right.
    found, expected_weights = (
        load_file(tmp_path / name / "bundle" / "weights.safetensors") for name in ("two", "one")
    )
    differences = torch.cat(
        [(found[name] - expected_weights[name]).flatten().abs() for name in found]
    )
    assert differences.mean() < 0.02 * config.optimiser.lr
    assert one.steps == len(columns(tmp_path / "two", "total"))


def _train_unequally(rank: int, config: TrainConfig, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    try:
        with pytest.raises(TrainingError, match="can't be shared equally by 2 processes"):
            train(config, made_slices(), split=made_split(), run_folder=folder / "two")
    finally:
        dist.destroy_process_group()


def test_batches_that_can_not_be_shared_are_refused(tmp_path: Path) -> None:
    pairs = {"samples_per_batch": 3, "slices_per_sample": 3}
    config = settings(tmp_path, pairs=pairs)
    spawn(_train_unequally, (config, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]  # torch's own


def test_the_module_is_what_torchrun_starts(tmp_path: Path) -> None:
    """A fault of the settings is one line and exit code 2, as from the front door."""
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "trainer", "train", "--out", str(tmp_path / "run"), "run.seed=-1"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("trainer: settings of the run: run.seed: found -1")
    assert len(done.stderr.splitlines()) == 1
