"""Checkpoints: what a run goes on from, and what a kill leaves beside them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from trainer.checkpoints import load_checkpoint
from trainer.training import train
from training_samples import made_slices, made_split, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path) -> Iterator[None]:
    """Checkpoints are large: they don't outlive their test."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    shutil.rmtree(tmp_path)


def test_what_a_kill_left_is_cleaned_away(tmp_path: Path) -> None:
    left = tmp_path / "run" / "checkpoints" / ".epoch-killed"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(bytes(100))
    config = settings(tmp_path, schedule={"epochs": 1})
    train(config, made_slices(), split=made_split(), run_folder=tmp_path / "run")
    assert [path.name for path in left.parent.iterdir()] == ["epoch-000001"]


def test_a_run_in_fp16_resumes_with_its_scaler(tmp_path: Path) -> None:
    run = {"precision": "fp16"}
    for epochs in (1, 2):
        config = settings(tmp_path, run=run, schedule={"epochs": epochs})
        result = train(
            config, made_slices(), split=made_split(), run_folder=tmp_path / "run", resume=True
        )
        assert result.epochs == epochs
    kept = load_checkpoint(tmp_path / "run")
    assert kept is not None
    assert kept.state.scaler["growth_interval"] == 2000
    assert type(kept.state.scaler["growth_interval"]) is int
