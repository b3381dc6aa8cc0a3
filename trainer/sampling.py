"""Which slices come together in a batch (docs/design.md D7), reproducible and resumable.

Shapes: N slices, M pairs, P samples of K slices each.

An epoch is planned whole from the seed and its number alone, so a run that was stopped in its
midst goes on with the very next batch. Of several processes each takes an equal part of the same
global batch; put together in the order of ranks, the parts are the batch of a single process.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

import numpy as np

from encoder.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

BatchT = TypeVar("BatchT")


class SamplingError(LithoscopeError):
    """Batches that can't be made of these slices."""


class SamplerState(TypedDict):
    """Where a sampler stands.

    Attributes:
        seed: Its seed.
        epoch: Epoch that it is in.
        position: Batches of the epoch that were handed out.
        batch_size: Slices, or pairs, of a global batch.
        slices: N.
    """

    seed: int
    epoch: int
    position: int
    batch_size: int
    slices: int


class _Sampler(ABC, Generic[BatchT]):
    """Epochs of batches, with a place to go on from."""

    def __init__(
        self, labels: Indices, batch_size: int, *, seed: int, shard: tuple[int, int]
    ) -> None:
        rank, world = shard
        if not 0 <= rank < world:
            raise SamplingError(f"rank {rank} of {world} processes: expected 0 to {world - 1}")
        if batch_size % world:
            raise SamplingError(
                f"a batch of {batch_size} can't be shared by {world} processes equally; "
                f"choose a multiple of {world}"
            )
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.position = 0
        share = batch_size // world
        self._mine = slice(rank * share, (rank + 1) * share)
        order = np.argsort(self.labels, kind="stable")
        _, starts = np.unique(self.labels[order], return_index=True)
        self._members = np.split(order, starts[1:]) if len(order) else []

    def _check_shared(self) -> None:
        """Refuse labels of which none has two slices: there would be no pair of one label.

        Raises:
            SamplingError: They are such.
        """
        if max(map(len, self._members), default=0) < 2:
            raise SamplingError(
                f"no two slices share a label ({len(self._members)} labels of one slice each): "
                "pairs of one label can't be made; cut scans into several slices (data.planes, "
                "data.tiles) or train by class (data.label)"
            )

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    @abstractmethod
    def epoch_batches(self, epoch: int) -> list[BatchT]:
        """Plan an epoch: this process's part of each batch, whatever was handed out so far."""

    def __iter__(self) -> Iterator[BatchT]:
        """Hand out the rest of the epoch; at its end the next one begins."""
        for batch in self.epoch_batches(self.epoch)[self.position :]:
            self.position += 1
            yield batch
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> SamplerState:
        """Tell where it stands. A batch counts as soon as it was handed out."""
        return SamplerState(
            seed=self.seed,
            epoch=self.epoch,
            position=self.position,
            batch_size=self.batch_size,
            slices=len(self.labels),
        )

    def load_state_dict(self, state: SamplerState) -> None:
        """Go on from where another one stood.

        Raises:
            SamplingError: That one made other batches.
        """
        ours = self.state_dict()
        for name in ("seed", "batch_size", "slices"):
            if state[name] != ours[name]:
                raise SamplingError(
                    f"sampler: the state has {name} {state[name]}, this run {ours[name]}; "
                    "resume with the data and settings that it was begun with"
                )
        if not (state["epoch"] >= 0 and 0 <= state["position"] <= len(self)):
            raise SamplingError(f"sampler: no such place: {state}; resume from another checkpoint")
        self.epoch, self.position = state["epoch"], state["position"]

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, epoch))


class RandomPairs(_Sampler[tuple["Indices", "Indices"]]):
    """Random pairs, as in the paper: a share of them of one label.

    In an epoch every slice is once on side A, in random order (the last N mod M wait for another
    epoch). Side B is another slice of the same label, or any slice of another one.
    """

    def __init__(
        self,
        labels: Indices,
        pairs_per_batch: int,
        *,
        seed: int,
        same_share: float = 0.5,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Prepare the pairs.

        Args:
            labels: (N,), label of each slice.
            pairs_per_batch: M, of all processes together; at most N.
            seed: Of all draws.
            same_share: Share of each batch, 0 to 1, that is pairs of one label.
            rank: Number of this process.
            world: Number of processes.

        Raises:
            SamplingError: No such pairs can be made of these labels.
        """
        super().__init__(labels, pairs_per_batch, seed=seed, shard=(rank, world))
        if not 1 <= pairs_per_batch <= len(self.labels):
            raise SamplingError(
                f"{pairs_per_batch} pairs of {len(self.labels)} slices: expected from 1 pair to "
                "as many as there are slices; set pairs.pairs_per_batch"
            )
        if not 0.0 <= same_share <= 1.0:
            raise SamplingError(f"same_share must be from 0 to 1, not {same_share}")
        self.same_share = same_share
        if same_share < 1 and len(self._members) < 2:
            raise SamplingError("all slices have one label: pairs of two labels can't be made")
        sizes = np.array([len(members) for members in self._members])
        if same_share > 0:
            self._check_shared()
        # Members of each label lie side by side in _order; a slice's rank among them is _place.
        self._order = np.concatenate(self._members)
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(len(self._order))
        self._start = np.repeat(np.cumsum(sizes) - sizes, sizes)[self._place]
        self._size = np.repeat(sizes, sizes)[self._place]

    def __len__(self) -> int:
        """Batches of an epoch: N // M."""
        return len(self.labels) // self.batch_size

    def epoch_batches(self, epoch: int) -> list[tuple[Indices, Indices]]:
        """Plan an epoch: (M/world,) slices of side A and as many of side B, batch by batch."""
        generator = self._generator(epoch)
        anchors = generator.permutation(len(self.labels))
        batches = []
        for number in range(len(self)):
            first = anchors[number * self.batch_size : (number + 1) * self.batch_size]
            second = self._partners(first, generator)
            batches.append((first[self._mine], second[self._mine]))
        return batches

    def _partners(self, first: Indices, generator: np.random.Generator) -> Indices:
        """Draw side B; slices that are alone in their label get a partner of another label."""
        start, size, place = self._start[first], self._size[first], self._place[first]
        can_be_same = np.flatnonzero(size > 1)
        wanted = round(self.same_share * len(first))
        same = np.zeros(len(first), dtype=bool)
        same[generator.permutation(can_be_same)[:wanted]] = True
        # Another one of the same label: a step of 1 to size - 1 around the label's members.
        step = generator.integers(1, np.maximum(size, 2))
        alike = start + (place - start + step) % size
        # One of another label: a step beyond the label's members, around all slices.
        others = np.maximum(len(self.labels) - size, 1)
        unlike = (start + size + generator.integers(0, others)) % len(self.labels)
        partners: Indices = self._order[np.where(same, alike, unlike)]
        return partners


class PKSampler(_Sampler["Indices"]):
    """P labels of K slices each, for all pairs within a batch.

    Every label comes equally often (to one), whatever its number of slices; its slices come in
    random order, each once before any comes again, save for the rest of a division by K. A label
    with fewer than K slices repeats some within its K. An epoch has as many batches as it takes
    to see N slices.
    """

    def __init__(
        self,
        labels: Indices,
        samples_per_batch: int,
        *,
        slices_per_sample: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Prepare the batches.

        Args:
            labels: (N,), label of each slice.
            samples_per_batch: P, of all processes together: different labels in a batch.
            slices_per_sample: K.
            seed: Of all draws.
            rank: Number of this process.
            world: Number of processes.

        Raises:
            SamplingError: No such batches can be made of these labels.
        """
        batch_size = samples_per_batch * slices_per_sample
        super().__init__(labels, batch_size, seed=seed, shard=(rank, world))
        if not 1 <= samples_per_batch <= len(self._members) or slices_per_sample < 1:
            raise SamplingError(
                f"{samples_per_batch} x {slices_per_sample} slices a batch of "
                f"{len(self._members)} labels: expected at least one slice, and no more labels "
                "than there are; set pairs.samples_per_batch and pairs.slices_per_sample"
            )
        self._check_shared()
        self.samples_per_batch = samples_per_batch
        self.slices_per_sample = slices_per_sample

    def __len__(self) -> int:
        """Batches of an epoch: N / (P K), rounded up."""
        return math.ceil(len(self.labels) / self.batch_size)

    def epoch_batches(self, epoch: int) -> list[Indices]:
        """Plan an epoch: (P K / world,) slices batch by batch, those of a label side by side."""
        generator = self._generator(epoch)
        queues: list[list[Indices]] = [[] for _ in self._members]
        batches = []
        for chosen in self._labels_of_batches(generator):
            groups = []
            for label in chosen:
                if not queues[label]:
                    queues[label] = self._groups(self._members[label], generator)
                groups.append(queues[label].pop())
            batches.append(np.concatenate(groups)[self._mine])
        return batches

    def _labels_of_batches(self, generator: np.random.Generator) -> list[Indices]:
        """P different labels for each batch: rounds through all labels, cut into batches."""
        waiting = np.empty(0, dtype=np.int64)
        batches = []
        for _ in range(len(self)):
            if len(waiting) < self.samples_per_batch:
                fresh = generator.permutation(len(self._members))
                # What waits goes first; the fresh round's copies of it go to the end.
                late = np.isin(fresh, waiting)
                waiting = np.concatenate([waiting, fresh[~late], fresh[late]])
            batches.append(waiting[: self.samples_per_batch])
            waiting = waiting[self.samples_per_batch :]
        return batches

    def _groups(self, members: Indices, generator: np.random.Generator) -> list[Indices]:
        """Cut a label's slices into groups of K, in random order."""
        count = self.slices_per_sample
        if len(members) < count:
            more = generator.choice(members, count - len(members))
            return [np.concatenate([generator.permutation(members), more])]
        shuffled = generator.permutation(members)
        return [
            shuffled[start : start + count] for start in range(0, len(members) - count + 1, count)
        ]
