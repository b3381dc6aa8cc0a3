"""Two processes that train together come to what one alone does with the same batches."""

from __future__ import annotations

import csv
import os
import shutil
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
    from collections.abc import Iterator

    from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
FROZEN = {"freeze_batchnorm": True}
SLOW = {"lr": 1e-5}
"""Adam's first steps divide a gradient by itself: those that are nothing but rounding go either way
by the learning rate. A small one keeps that out of the losses that follow."""


PAIRS: dict[str, dict[str, Any]] = {
    "dsnn": {"strategy": "in-batch"},
    "siamese-resnet18": {"strategy": "random", "pairs_per_batch": 4},
}
UNEQUAL = {"samples_per_batch": 3, "slices_per_sample": 3}


def config_of(encoder: str, folder: Path) -> TrainConfig:
    return settings(
        folder, model={"encoder": encoder}, pairs=PAIRS[encoder], run=FROZEN, optimiser=SLOW
    )


def _be_one_of_two(rank: int, folder: Path) -> None:
    """Train each network, then try what can't be shared: processes take long to start."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    slices, split = made_slices(), made_split()
    try:
        for encoder in PAIRS:
            result = train(
                config_of(encoder, folder), slices, split=split, run_folder=folder / encoder
            )
            (folder / f"{encoder}-{rank}").write_text(str(result))
        with pytest.raises(TrainingError) as refused:
            train(settings(folder, pairs=UNEQUAL), slices, split=split, run_folder=folder / "none")
        (folder / f"refused-{rank}").write_text(str(refused.value))
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What two processes that train together leave."""
    folder = tmp_path_factory.mktemp("together")
    spawn(_be_one_of_two, (folder,), nprocs=2)  # type: ignore[no-untyped-call]  # torch's own
    yield folder
    shutil.rmtree(folder)


def columns(folder: Path, name: str) -> list[float]:
    with (folder / "steps.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("encoder", list(PAIRS))
def test_two_processes_train_as_one_with_the_same_batches(
    encoder: str, together: Path, tmp_path: Path
) -> None:
    config = config_of(encoder, together)
    one = train(config, made_slices(), split=made_split(), run_folder=tmp_path / "one")
    two = together / encoder
    for name in ("total", "siamese", "fused", "metadata", "regression", "gradient_norm"):
        expected = columns(tmp_path / "one", name)
        assert columns(two, name) == pytest.approx(expected, rel=2e-4, abs=1e-6), name
    told = {(together / f"{encoder}-{rank}").read_text() for rank in (0, 1)}
    assert len(told) == 1
    # Weights whose gradient is rounding may go either way (see SLOW), few as they are.
    found, expected_weights = (
        load_file(run / "bundle" / "weights.safetensors") for run in (two, tmp_path / "one")
    )
    differences = torch.cat(
        [(found[name] - expected_weights[name]).flatten().abs() for name in found]
    )
    assert differences.mean() < 0.02 * config.optimiser.lr
    assert one.steps == len(columns(two, "total"))


def test_batches_that_can_not_be_shared_are_refused(together: Path) -> None:
    for rank in (0, 1):
        told = (together / f"refused-{rank}").read_text()
        assert "can't be shared equally by 2 processes" in told


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
