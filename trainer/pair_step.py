"""From a batch to its loss: every image is encoded once, whatever the number of its pairs.

Shapes: N images, M pairs of them, S pixels a side, F features, P properties, W processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from encoder.dsnn import DSNN, BranchFeatures
from encoder.model_errors import EncoderError
from encoder.siamese import SiameseResNet
from trainer.losses import (
    LossTerms,
    PairLogits,
    PairTargets,
    pair_targets,
    pair_terms,
    regression_term,
    similar_properties,
    total_loss,
)

if TYPE_CHECKING:
    from encoder.embedding_model import EmbeddingModel
    from trainer.config import LossConfig

PAIRS_AT_A_TIME = 1 << 14
"""Pairs that are compared together: their differences take 64 MB. What is kept for the gradient
is of one such part only, so that memory does not grow with the number of pairs."""

TrainableModel = DSNN | SiameseResNet
"""Networks with classifiers of pairs."""


class BatchTargets(NamedTuple):
    """What is known of the N images of a whole batch, all processes' together.

    Attributes:
        labels: (N,), int64: what makes two images similar.
        porosity: (N,), float64, NaN where not measured.
        permeability_md: (N,), float64, NaN where not measured.
        scaled: (N, P), float64, what the regression head should put out, NaN where not measured.
        pairs: (2, M), int64: numbers of both images of each pair.
        balanced: Whether positive and negative pairs count equally.
    """

    labels: Tensor
    porosity: Tensor
    permeability_md: Tensor
    scaled: Tensor
    pairs: Tensor
    balanced: bool


def all_pairs(number: int, *, device: torch.device | None = None) -> Tensor:
    """Return every pair of N images once: (2, N (N - 1) / 2)."""
    return torch.triu_indices(number, number, offset=1, device=device)


def sides(number: int, *, device: torch.device | None = None) -> Tensor:
    """Return pairs of images that lie one side after the other: (2, M), i with M + i."""
    first = torch.arange(number, device=device)
    return torch.stack([first, first + number])


def trainable(model: EmbeddingModel[Any]) -> TrainableModel:
    """Check that a network can be trained on pairs.

    Raises:
        EncoderError: It has no classifiers of pairs.
    """
    if not isinstance(model, DSNN | SiameseResNet):
        raise EncoderError(
            f"{type(model).__name__} can't be trained: it has no classifier of pairs; "
            "use dsnn, dsnn-split or a siamese encoder"
        )
    return model


@dataclass(frozen=True, slots=True)
class Place:
    """Which of W processes this is.

    Attributes:
        rank: Its number.
        world: W.
    """

    rank: int = 0
    world: int = 1


class PairStep(nn.Module):
    """Algorithm 1 on a batch: backbones, pairs, loss; what is wrapped for parallel training.

    Of W processes each encodes its N / W images and shares the features with all others, compares
    every W-th pair, and regresses its own images. Summed up over processes the losses are those
    of one process with the whole batch; so are the gradients' means.
    """

    def __init__(
        self, model: TrainableModel, settings: LossConfig, *, place: Place | None = None
    ) -> None:
        """Prepare the step.

        Args:
            model: What is trained.
            settings: Weights of the loss.
            place: Which process this is; None for the only one.
        """
        super().__init__()
        self.model = model
        self.settings = settings
        self.place = place or Place()

    def forward(self, images: Tensor, targets: BatchTargets, *, autocast: torch.dtype) -> LossTerms:
        """Compute this process's part of the loss.

        Args:
            images: (N / W, 3, S, S), z-scaled: rows rank·N/W to (rank + 1)·N/W of the batch.
            targets: Of the whole batch.
            autocast: What the backbones compute in; pairs and heads compute in float32.

        Returns:
            Terms whose mean over processes is the whole batch's.
        """
        lower = autocast != torch.float32
        with torch.autocast(images.device.type, dtype=autocast, enabled=lower):
            own = _as_tuple(self.model.features(images))
        whole = tuple(self._gathered(branch) for branch in own)
        pairs = self._pair_terms(whole, targets) * self.place.world
        regression = self._regression_term(own, targets) * self.place.world
        return total_loss(pairs, regression, settings=self.settings)

    def _gathered(self, features: Tensor) -> Tensor:
        if self.place.world == 1:
            return features
        gathered: Tensor = _Gather.apply(features)
        return gathered

    def _pair_terms(self, features: tuple[Tensor, ...], targets: BatchTargets) -> Tensor:
        wanted = _pair_targets(targets, features[0].dtype)
        mine = slice(self.place.rank, None, self.place.world)
        pairs, wanted = targets.pairs[:, mine], wanted.select(mine)
        compare = partial(_compare, self.model)
        terms = features[0].new_zeros(3)
        if pairs.shape[1] > PAIRS_AT_A_TIME:  # differences are made again for the gradient
            compare = partial(checkpoint, compare, use_reentrant=False, preserve_rng_state=False)
        for start in range(0, pairs.shape[1], PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            terms = terms + compare(features, pairs=pairs[:, part], wanted=wanted.select(part))
        return terms

    def _regression_term(self, features: tuple[Tensor, ...], targets: BatchTargets) -> Tensor:
        outputs = self.model.regress(features[-1])
        number = len(outputs)
        own = targets.scaled[self.place.rank * number : (self.place.rank + 1) * number]
        measured = (~torch.isnan(targets.scaled)).sum()
        if not outputs.shape[1]:
            return outputs.new_zeros(())
        return regression_term(outputs, own, settings=self.settings, measured=measured)


class _Gather(torch.autograd.Function):
    """Every process's rows, with gradients: each one's is the sum of what all make of its rows.

    torch has the same, but warns of it, and names its successor otherwise from one version to the
    next.
    """

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:  # noqa: ANN401  torch's own
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401  torch's own
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]


def _pair_targets(targets: BatchTargets, dtype: torch.dtype) -> PairTargets:
    first, second = targets.pairs
    return pair_targets(
        targets.labels[first] == targets.labels[second],
        similar_properties(
            (targets.porosity[first], targets.porosity[second]),
            (targets.permeability_md[first], targets.permeability_md[second]),
        ),
        balanced=targets.balanced,
        dtype=dtype,
    )


def _compare(
    model: TrainableModel,
    features: tuple[Tensor, ...],
    *,
    pairs: Tensor,
    wanted: PairTargets,
) -> Tensor:
    a, b = (tuple(branch.index_select(0, rows) for branch in features) for rows in pairs)
    if isinstance(model, DSNN):
        said = model.compare(BranchFeatures(*a), BranchFeatures(*b))
        return pair_terms(PairLogits(said.z1, said.z, said.z2), wanted)
    return pair_terms(PairLogits(model.compare(a[0], b[0])), wanted)


def _as_tuple(features: Tensor | BranchFeatures) -> tuple[Tensor, ...]:
    return (features,) if isinstance(features, Tensor) else tuple(features)
