"""Batches of slices, read ahead of the step that needs them, flipped at random.

Shapes: N images of a whole batch, W processes, S pixels a side.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.sampling import PKSampler, RandomPairs
from trainer.training_errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from trainer.config import PairsConfig
    from trainer.pair_step import Place
    from trainer.slice_set import SliceSet

_AHEAD = 2
"""Batches that are read while the network is busy with another."""

_FLIPS = 0x0F11B5
"""Sets the generator of flips apart from the sampler's, which has the same seed and epoch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What one step of training sees.

    Attributes:
        indices: (N,), int64: slices of the whole batch, all processes' together.
        pixels: (N / W, S, S, 3), uint8: of this process's part, flipped.
    """

    indices: NDArray[np.int64]
    pixels: torch.Tensor


class BatchPlan:
    """Which slices make which batch, for every epoch: the same in every process.

    Attributes:
        sampler: What draws them.
    """

    def __init__(
        self, slices: SliceSet, chosen: NDArray[np.int64], *, pairs: PairsConfig, seed: int
    ) -> None:
        """Plan.

        Args:
            slices: The slices.
            chosen: Those to train on.
            pairs: How pairs are made.
            seed: Of all draws.

        Raises:
            SamplingError: No such batches can be made of these slices.
        """
        labels = slices.label[chosen]
        self.sampler: PKSampler | RandomPairs = (
            RandomPairs(labels, pairs.pairs_per_batch, seed=seed, same_share=pairs.same_share)
            if pairs.strategy == "random"
            else PKSampler(
                labels,
                pairs.samples_per_batch,
                slices_per_sample=pairs.slices_per_sample,
                seed=seed,
            )
        )
        self._chosen = chosen
        self.images_per_batch = pairs.images_per_batch

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.sampler)

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the slices of every batch: (N,) each; of drawn pairs, side A and then side B."""
        if isinstance(self.sampler, PKSampler):
            return [self._chosen[batch] for batch in self.sampler.epoch_batches(number)]
        return [self._chosen[np.concatenate(batch)] for batch in self.sampler.epoch_batches(number)]


class BatchReader:
    """Reads what a process needs of every batch, in threads, ahead of the training step."""

    def __init__(self, slices: SliceSet, plan: BatchPlan, *, place: Place, flips: bool) -> None:
        """Prepare.

        Args:
            slices: The slices.
            plan: Which of them make which batch.
            place: Which process this is.
            flips: Whether to flip slices at random, left-right and up-down.

        Raises:
            TrainingError: Batches can't be shared equally by so many processes, or are of fewer
                drawn pairs than there are processes.
        """
        drawn = plan.sampler.batch_size if isinstance(plan.sampler, RandomPairs) else place.world
        if drawn < place.world:  # a process without a pair has nothing to learn from
            raise TrainingError(
                f"pairs.pairs_per_batch {drawn}: {place.world} processes have to share them; draw "
                "at least as many pairs, or start fewer processes"
            )
        if plan.images_per_batch % place.world:
            raise TrainingError(
                f"batches of {plan.images_per_batch} images can't be shared equally by "
                f"{place.world} processes; change the section pairs of the settings"
            )
        share = plan.images_per_batch // place.world
        self._mine = slice(place.rank * share, (place.rank + 1) * share)
        self._slices = slices
        self._plan = plan
        self._flips = flips

    def epoch(self, number: int) -> Iterator[Batch]:
        """Iterate over the batches of an epoch: the same ones whenever it is asked for."""
        batches = iter(enumerate(self._plan.epoch(number)))
        with ThreadPoolExecutor(_AHEAD) as readers:
            waiting: deque[Future[Batch]] = deque()

            def read_on(count: int) -> None:
                for position, indices in islice(batches, count):
                    seed = (self._plan.sampler.seed, number, position, _FLIPS)
                    waiting.append(readers.submit(self._read, indices, seed))

            read_on(_AHEAD)
            while waiting:
                batch = waiting.popleft().result()
                read_on(1)
                yield batch

    def _read(self, indices: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        pixels = torch.from_numpy(self._slices.pixels[indices[self._mine]])
        if self._flips:
            # Drawn for the whole batch: the number of processes must not change the images.
            draws = np.random.default_rng(seed).random((2, len(indices))) < 0.5
            for axis, flipped in zip((1, 2), draws[:, self._mine], strict=True):
                chosen = torch.from_numpy(flipped)[:, None, None, None]
                pixels = torch.where(chosen, pixels.flip(axis), pixels)
        if torch.cuda.is_available():
            pixels = pixels.pin_memory()
        return Batch(indices=indices, pixels=pixels)
