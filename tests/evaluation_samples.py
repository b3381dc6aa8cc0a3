"""Encoders that need no training, and trials on slices made in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from encoder.metric import Metric
from encoder.preprocess import Preprocessing
from slice_samples import make_slices
from trainer.evaluation import Trial

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 32


class GreyEncoder:
    """Tells slices apart by grey levels of corners, as much as its noise lets it."""

    metric = Metric.L2
    dimension = 4
    bundle_id = None
    init = "made by hand"

    def __init__(self, name: str = "grey", *, noise: float = 0.0) -> None:
        self.name = name
        self.preprocessing = Preprocessing(size=SIZE)
        self._noise = noise

    def encode(self, batch: Tensor) -> Tensor:
        half = SIZE // 2
        grey = batch.float().mean(dim=3)
        corners = [grey[:, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
        vectors = torch.stack([corner.mean(dim=(1, 2)) for corner in corners], dim=1)
        generator = torch.Generator().manual_seed(int(vectors.sum()))
        return vectors + self._noise * torch.randn(vectors.shape, generator=generator)


def make_trial(*, reservoirs: int = 4, samples: int = 5, slices: int = 4) -> Trial:
    """Every slice asks, and may be found."""
    made = make_slices(reservoirs=reservoirs, samples=samples, slices=slices, size=SIZE)
    every = np.arange(len(made))
    return Trial(slices=made, queries=every, database=every)
