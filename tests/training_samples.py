"""Tiny slice sets and settings to train on in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.config import TrainConfig
from trainer.slice_set import SliceSet
from trainer.splits import Split

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES, EACH, SIZE = 6, 4, 32


def made_slices(seed: int = 0) -> SliceSet:
    """Six samples of two reservoirs, four slices each; every sample has its own texture."""
    generator = np.random.default_rng(seed)
    sample = np.repeat(np.arange(SAMPLES), EACH)
    rows = np.arange(SIZE)
    waves = np.sin(rows[None, :, None] * (0.3 + 0.25 * sample[:, None, None]))
    noise = generator.normal(0, 0.3, (len(sample), SIZE, SIZE))
    grey = np.clip(128 + 60 * (waves + noise), 0, 255).astype(np.uint8)
    porosity = np.asarray(0.1 + 0.03 * sample, dtype=np.float64)
    porosity[sample == 2] = np.nan
    return SliceSet(
        pixels=np.repeat(grey[..., None], 3, axis=3),
        scan=sample.copy(),
        number=np.tile(np.arange(EACH), SAMPLES),
        sample=sample,
        reservoir=sample % 2,
        label=sample.copy(),
        scan_names=tuple(f"R{n % 2}/S{n}/scan.tif" for n in range(SAMPLES)),
        sample_names=tuple(f"R{n % 2}/S{n}" for n in range(SAMPLES)),
        reservoir_names=("R0", "R1"),
        label_names=tuple(f"R{n % 2}/S{n}" for n in range(SAMPLES)),
        porosity=porosity,
        permeability_md=np.where(sample == 3, np.nan, 10.0 ** (sample / 2.0)),
        pixel_size_um=np.full(len(sample), 2.0),
    )


def made_split() -> Split:
    """Four samples to learn from, two to validate on."""
    train = np.flatnonzero(np.repeat(np.arange(SAMPLES), EACH) < 4)
    return Split(
        train=train, val=np.arange(train[-1] + 1, SAMPLES * EACH), test=np.empty(0, np.int64)
    )


def settings(folder: Path, **sections: dict[str, Any]) -> TrainConfig:
    """A run of 2 epochs of 2 batches of 8 images, in float32 at a constant learning rate.

    Its one checkpoint is written at the end: they are large, whatever the size of the images.
    """
    chosen: dict[str, dict[str, Any]] = {
        "data": {"path": folder, "cache": folder / "cache"},
        "model": {"encoder": "siamese-resnet18", "init": "seed:0", "size": SIZE},
        "pairs": {"samples_per_batch": 4, "slices_per_sample": 2},
        "optimiser": {"lr": 1e-3},
        "schedule": {"epochs": 2, "warmup": 0.5, "decay": "constant"},
        "run": {"precision": "fp32", "checkpoint_every": 100},
    }
    for name, changes in sections.items():
        chosen[name] = chosen.get(name, {}) | changes
    return TrainConfig.model_validate(chosen)
