"""What is minimised: Shim et al. 2023, equations (2.3)-(2.5) and Algorithm 1, in pure functions.

Shapes: N images, M pairs of them, P properties.

For a pair of images A and B, with y = 1 if both are of one sample and y' = 1 if they have similar
properties:

    L = w1 · BCE(y, z1) + w · BCE(y y', z) + w2 · BCE(y', z2) + alpha · |r - p|

Logits z1, z, z2 are those of branch 1, of the gated sum of both, and of branch 2; r are the scaled
properties that branch 2 predicts of each image, p the measured ones. Where paper and code (RockIR)
disagree docs/design.md D3-D5 and D7 decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from trainer.config import LossConfig

SIMILAR_WITHIN = 0.1
"""Relative difference of a property below which two images are similar (D4)."""


class PairLogits(NamedTuple):
    """What a network says of M pairs.

    Attributes:
        siamese: (M,), z1: same sample or not.
        fused: (M,), z: both; None of a network with one branch.
        metadata: (M,), z2: similar properties or not; None likewise.
    """

    siamese: Tensor
    fused: Tensor | None = None
    metadata: Tensor | None = None


class WeightedTargets(NamedTuple):
    """What one classifier should say of M pairs.

    Attributes:
        targets: (M,), 0 or 1, in the type of logits.
        weights: (M,), from 0, of sum 1, or all 0 where nothing is known: a term is their sum with
            the losses of the pairs, so that pairs can be summed up in parts.
    """

    targets: Tensor
    weights: Tensor


class PairTargets(NamedTuple):
    """What all three classifiers should say of M pairs.

    Attributes:
        siamese: y.
        fused: y y', or y where y' is not known.
        metadata: y', of weight 0 where it is not known.
    """

    siamese: WeightedTargets
    fused: WeightedTargets
    metadata: WeightedTargets

    def select(self, part: slice) -> PairTargets:
        """Return those of some pairs."""
        return PairTargets(
            *(WeightedTargets(each.targets[part], each.weights[part]) for each in self)
        )


class LossTerms(NamedTuple):
    """The loss and what it is made of; the terms before they are weighed.

    Attributes:
        total: What is minimised.
        siamese: Mean cross-entropy on (y, z1).
        fused: Mean cross-entropy on (y y', z); 0 of a network with one branch.
        metadata: Mean cross-entropy on (y', z2); 0 likewise, and where no y' is known.
        regression: Mean error of scaled properties; 0 where none is measured or predicted.
    """

    total: Tensor
    siamese: Tensor
    fused: Tensor
    metadata: Tensor
    regression: Tensor


def similar_properties(
    porosity: tuple[Tensor, Tensor], permeability_md: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Compare the measured properties of M pairs (D4).

    Similar are pairs of which every property that was measured on both differs by less than 10 %:

    - porosity: |a - b| / ((a + b) / 2) < 0.1;
    - permeability: |log10 a - log10 b| < 0.1 · max(1, (|log10 a| + |log10 b|) / 2).

    Equal values are similar, 0 and 0 too. (RockIR reads the properties of A twice, which makes
    every pair similar.)

    Args:
        porosity: (M,) of A and of B, fractions, NaN where not measured.
        permeability_md: (M,) of A and of B, millidarcy, NaN where not measured; 0 and less count
            as not measured.

    Returns:
        y' (M,), bool, False where not known; and whether it is known (M,), bool.
    """
    a, b = porosity
    known_porosity = torch.isfinite(a) & torch.isfinite(b)
    near_porosity = ((a - b).abs() < SIMILAR_WITHIN * (a + b) / 2) | (a == b)
    c, d = (torch.where(k > 0, k, torch.nan).log10() for k in permeability_md)
    known_permeability = torch.isfinite(c) & torch.isfinite(d)
    size = ((c.abs() + d.abs()) / 2).clamp(min=1.0)
    near_permeability = (c - d).abs() < SIMILAR_WITHIN * size
    known = known_porosity | known_permeability
    agree = (near_porosity | ~known_porosity) & (near_permeability | ~known_permeability)
    return agree & known, known


def pair_targets(
    same: Tensor, similarity: tuple[Tensor, Tensor], *, balanced: bool, dtype: torch.dtype
) -> PairTargets:
    """Say what the classifiers should say (D3, D4).

    Args:
        same: (M,), bool: y.
        similarity: y' and whether it is known, as ``similar_properties`` tells.
        balanced: Whether positive and negative pairs count equally in each term, however few
            there are (D7, for all pairs of a batch); else each pair counts equally (paper). Where
            there are pairs of one kind only, these are the whole term.
        dtype: Of logits.

    Returns:
        Targets and weights; the weights of each term have the sum 1, or 0 where nothing is known.
    """
    similar, known = similarity
    everyone = torch.ones_like(same)

    def weighted(targets: Tensor, counted: Tensor) -> WeightedTargets:
        weights = _weights(targets, counted, balanced=balanced)
        return WeightedTargets(targets.to(dtype), weights.to(dtype))

    return PairTargets(
        siamese=weighted(same, everyone),
        fused=weighted(same & (similar | ~known), everyone),
        metadata=weighted(similar, known),
    )


def _weights(targets: Tensor, counted: Tensor, *, balanced: bool) -> Tensor:
    """Weigh pairs: (M,), float64, of sum 1 over those that count."""
    if not balanced:
        return counted.double() / counted.sum().clamp(min=1)
    weights = torch.zeros(targets.shape, dtype=torch.float64, device=targets.device)
    kinds = weights.new_zeros(())
    for kind in (targets & counted, ~targets & counted):
        number = kind.sum()
        weights = weights + kind.double() / number.clamp(min=1)
        kinds = kinds + (number > 0)
    return weights / kinds.clamp(min=1)


def pair_terms(logits: PairLogits, targets: PairTargets) -> Tensor:
    """Sum up the weighted cross-entropies of M pairs: three terms of equation (2.3).

    Args:
        logits: What the network says; None where it has no such classifier.
        targets: What it should say. Those of a part of a batch's pairs give that part of the sum.

    Returns:
        (3,): siamese, fused, metadata; 0 where there is no classifier.
    """
    zero = logits.siamese.new_zeros(())
    return torch.stack(
        [
            zero if said is None else _weighted_entropy(said, wanted)
            for said, wanted in zip(logits, targets, strict=True)
        ]
    )


def _weighted_entropy(logits: Tensor, wanted: WeightedTargets) -> Tensor:
    return functional.binary_cross_entropy_with_logits(
        logits, wanted.targets, weight=wanted.weights, reduction="sum"
    )


def regression_term(
    outputs: Tensor, targets: Tensor, *, settings: LossConfig, measured: int | Tensor | None = None
) -> Tensor:
    """Mean error of the scaled properties that were measured (equation (2.4); D5).

    ``l1``: |r - p| (paper). ``smooth_l1``: (r - p)² / (2 beta) where |r - p| < beta, else
    |r - p| - beta / 2. Each image has its own properties. (RockIR adds up the means of both sides
    of its pairs, so its factor of 10 is one of 20 here; and it regresses B on A's properties.)

    Args:
        outputs: (N, P), of the regression head.
        targets: (N, P), scaled; NaN where not measured, which counts as no error.
        settings: Which error.
        measured: Number to divide by; None for that of values measured. Parts of a batch divide
            by the number of the whole.

    Returns:
        (); 0, with gradients of 0, where nothing was measured.
    """
    known = ~torch.isnan(targets)
    wanted = torch.where(known, targets, 0.0).to(outputs.dtype)
    given = torch.where(known, outputs, 0.0)
    if settings.regression == "l1":
        errors = functional.l1_loss(given, wanted, reduction="sum")
    else:
        errors = functional.smooth_l1_loss(given, wanted, reduction="sum", beta=settings.beta)
    number = torch.as_tensor(known.sum() if measured is None else measured)
    return errors / number.clamp(min=1)  # stays on the device: nothing waits for it


def total_loss(pairs: Tensor, regression: Tensor, *, settings: LossConfig) -> LossTerms:
    """Weigh and add up the terms (equation (2.5)).

    Args:
        pairs: (3,), of ``pair_terms``.
        regression: (), of ``regression_term``.
        settings: Weights; alpha is that of the regression.
    """
    siamese, fused, metadata = pairs
    total = (
        settings.siamese * siamese
        + settings.fused * fused
        + settings.metadata * metadata
        + settings.alpha * regression
    )
    return LossTerms(total, siamese, fused, metadata, regression)
