"""What benchmarks share: trainings and vectors, kept by settings and data, none made twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encoder.encoders import build_encoder
from encoder.registry import find_entry
from infra.weights import find_weights
from trainer.config import TrainConfig
from trainer.descriptions import read_description, renamed, write_description
from trainer.training import RESULT_NAME, train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from encoder.neural_encoder import NeuralEncoder
    from trainer.descriptions import Description
    from trainer.slice_set import SliceSet
    from trainer.splits import Split


@dataclass(frozen=True, slots=True)
class Kept:
    """A benchmark's folder, for one set of slices."""

    work: Path
    slices: SliceSet

    def training(self, config: TrainConfig, split: Split, *, called: str, apart: str = "") -> Path:
        """Folder of a finished training, made or gone on with where it isn't finished.

        Args:
            config: Settings; those with the same ones share a folder.
            split: What to learn from.
            called: What to print.
            apart: What else sets this training apart, such as its fold.
        """
        told = config.model_dump_json(exclude={"data"}) + self.slices.fingerprint() + apart
        key = hashlib.sha256(told.encode()).hexdigest()[:10]
        folder = self.work / "runs" / f"{config.model.encoder}-{config.pairs.strategy}-{key}"
        if not (folder / RESULT_NAME).exists():
            print(f"training {called}, seed {config.run.seed}: {folder}", flush=True)
            result = train(config, self.slices, split=split, run_folder=folder, resume=True)
            print(f"  {result.seconds:.0f} s, best validation mAP@10 {result.best_map}", flush=True)
        return folder

    def description(
        self, name: str, make: Callable[[], Description], *, file: str, words: Sequence[str]
    ) -> Description:
        """Vectors, read where they were made before.

        Args:
            name: What tables call them.
            make: Makes them.
            file: How their file begins.
            words: Everything that they depend on, beside the slices.
        """
        key = hashlib.sha256("\n".join([*words, self.slices.fingerprint()]).encode())
        path = self.work / "vectors" / f"{file}-{key.hexdigest()[:10]}.npz"
        if path.exists():
            return renamed(read_description(path), name)
        described = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_description(path, described)
        return described


def changed(config: TrainConfig, changes: dict[str, dict[str, Any]]) -> TrainConfig:
    """Return settings with some changed, all checked again."""
    values = config.model_dump()
    for section, names in changes.items():
        values[section] |= names
    return TrainConfig.model_validate(values)


def untrained(config: TrainConfig) -> NeuralEncoder:
    """Return the network that a training with these settings begins from."""
    name, init = config.model.encoder, config.model.init
    weights = find_weights(find_entry(name).backbone, init)
    return build_encoder(name, init, weights_path=weights, preprocessing=config.preprocessing())


def slug(name: str) -> str:
    """A name for files."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
