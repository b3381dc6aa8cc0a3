"""A small library of pictures, and finished runs on it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from encoder.bundle import load_bundle, save_bundle
from trainer.config import load_config
from trainer.library_data import load_slices
from trainer.splits import split_slices
from trainer.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings

SIZE = 32


def add_sample(library: Path, name: str, *, reservoir: int, seed: int) -> None:
    """Two pictures of one sample: grains, of which its reservoir's colour shows most."""
    folder = library / name
    folder.mkdir(parents=True)
    coarse = np.random.default_rng(seed).integers(0, 60, (8, 8, 3))
    coarse[..., reservoir] *= 4
    for view in range(2):
        pixels = np.roll(coarse, view, axis=0).astype(np.uint8)
        Image.fromarray(pixels).resize((SIZE, SIZE)).save(folder / f"{view}.png")


def make_library(library: Path) -> Path:
    """Pictures of 3 reservoirs with 6 samples each, two thirds of which are measured."""
    lines = ["Image,Porosity,Permeability_mD"]
    for number in range(18):
        reservoir, sample = divmod(number, 6)
        name = f"R{reservoir}/S{sample}"
        add_sample(library, name, reservoir=reservoir, seed=number)
        if sample % 3:
            values = f"0.{reservoir + 1}{sample},{10 ** (reservoir + sample / 9):.3f}"
            lines += [f"{name}/{view}.png,{values}" for view in range(2)]
    (library / "metadata.csv").write_text("\n".join(lines) + "\n")
    return library


def make_run(
    folder: Path,
    library: Path,
    settings: Settings,
    *,
    encoder: str = "siamese-resnet18",
    seed: int = 0,
    init: str | None = None,
) -> Path:
    """Train for one epoch: two steps."""
    told = {
        "data.path": str(library),
        "split.train": 0.5,
        "split.val": 0,
        "split.test": 0.5,
        "split.seed": seed,
        "split.near_duplicates": False,
        "model.encoder": encoder,
        "model.init": init or f"seed:{seed}",
        "model.size": SIZE,
        "pairs.samples_per_batch": 4,
        "pairs.slices_per_sample": 2,
        "schedule.epochs": 1,
        "run.precision": "fp32",
        "run.freeze_batchnorm": True,
    }
    config = load_config(None, [f"{name}={json.dumps(value)}" for name, value in told.items()])
    slices = load_slices(config, settings).slices
    train(config, slices, split=split_slices(slices, config.split), run_folder=folder)
    return folder


def blinded(run: Path, folder: Path) -> Path:
    """The same run, but that its network looks at nothing any more: all slices are alike to it."""
    folder.mkdir()
    for path in run.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    encoder = load_bundle(run / "bundle")
    model = encoder.model
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim == 4:
                values.zero_()
            elif "weight" in name and values.ndim == 1:
                values.fill_(1.0)
    save_bundle(folder / "bundle", replace(encoder, bundle_id=None))
    return folder
