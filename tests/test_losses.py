"""The loss against a derivation in plain Python, pair by pair."""

from __future__ import annotations

import math
from itertools import combinations, product

import pytest
import torch
from torch import Tensor

from trainer.config import LossConfig
from trainer.losses import (
    PairLogits,
    PairTargets,
    pair_targets,
    pair_terms,
    regression_term,
    similar_properties,
    total_loss,
)

NAN = math.nan
IMAGES = [
    # label, porosity, permeability: measured, close to the first, half measured, not at all
    (0, 0.20, 100.0),
    (0, 0.20, 100.0),
    (1, 0.205, 150.0),
    (1, 0.30, NAN),
    (2, NAN, 0.5),
    (2, NAN, NAN),
    (3, 0.0, 0.7),
    (3, 0.0, NAN),
    (4, NAN, -3.0),
]
PAIRS = list(combinations(range(len(IMAGES)), 2))


def column(number: int, side: int) -> Tensor:
    return torch.tensor([IMAGES[pair[side]][number] for pair in PAIRS], dtype=torch.float64)


def targets_of_images(*, balanced: bool) -> PairTargets:
    return pair_targets(
        torch.tensor([IMAGES[a][0] == IMAGES[b][0] for a, b in PAIRS]),
        similar_properties((column(1, 0), column(1, 1)), (column(2, 0), column(2, 1))),
        balanced=balanced,
        dtype=torch.float64,
    )


def similar_by_hand(a: tuple[float, float], b: tuple[float, float]) -> bool | None:
    """D4 in words; None where nothing is measured on both."""
    verdicts = []
    if not math.isnan(a[0]) and not math.isnan(b[0]):
        mean = (a[0] + b[0]) / 2
        verdicts.append(mean == 0 or abs(a[0] - b[0]) / mean < 0.1)
    if a[1] > 0 and b[1] > 0:
        left, right = math.log10(a[1]), math.log10(b[1])
        size = max(1.0, (abs(left) + abs(right)) / 2)
        verdicts.append(abs(left - right) < 0.1 * size)
    return all(verdicts) if verdicts else None


def entropy_by_hand(target: int, logit: float) -> float:
    likely = 1 / (1 + math.exp(-logit))
    return -math.log(likely if target else 1 - likely)


def mean_by_hand(said: list[tuple[int, float]], *, balanced: bool) -> float:
    if not said:
        return 0.0
    losses = [(target, entropy_by_hand(target, logit)) for target, logit in said]
    if not balanced:
        return sum(loss for _, loss in losses) / len(losses)
    means = []
    for kind in (0, 1):
        of_kind = [loss for target, loss in losses if target == kind]
        if of_kind:
            means.append(sum(of_kind) / len(of_kind))
    return sum(means) / len(means)


def terms_by_hand(
    z1: list[float], z: list[float], z2: list[float], *, balanced: bool
) -> list[float]:
    siamese, fused, metadata = [], [], []
    for number, (a, b) in enumerate(PAIRS):
        y = int(IMAGES[a][0] == IMAGES[b][0])
        similar = similar_by_hand(IMAGES[a][1:], IMAGES[b][1:])
        siamese.append((y, z1[number]))
        fused.append((y if similar is None else y * int(similar), z[number]))
        if similar is not None:
            metadata.append((int(similar), z2[number]))
    return [mean_by_hand(said, balanced=balanced) for said in (siamese, fused, metadata)]


def logits() -> PairLogits:
    generator = torch.Generator().manual_seed(1)
    return PairLogits(
        *(torch.randn(len(PAIRS), generator=generator, dtype=torch.float64) * 3 for _ in range(3))
    )


@pytest.mark.parametrize("balanced", [True, False])
def test_pair_terms_equal_a_derivation_by_hand(balanced: bool) -> None:
    said = logits()
    assert said.fused is not None
    assert said.metadata is not None
    found = pair_terms(said, targets_of_images(balanced=balanced))
    expected = terms_by_hand(
        said.siamese.tolist(), said.fused.tolist(), said.metadata.tolist(), balanced=balanced
    )
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_terms_of_parts_add_up_to_the_whole() -> None:
    said, wanted = logits(), targets_of_images(balanced=True)
    whole = pair_terms(said, wanted)
    for part in (slice(0, 5), slice(5, 6), slice(6, None)):
        some = PairLogits(*(each[part] for each in said if each is not None))
        whole = whole - pair_terms(some, wanted.select(part))
    assert whole.abs().max().item() < 1e-12


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0.20, NAN), (0.219, NAN), True),
        ((0.20, NAN), (0.222, NAN), False),  # 0.022 / 0.211 is above a tenth
        ((0.0, NAN), (0.0, NAN), True),
        ((0.0, NAN), (1e-9, NAN), False),
        ((NAN, 1000.0), (NAN, 1800.0), True),  # 0.255 of 3.13 decades
        ((NAN, 1000.0), (NAN, 2200.0), False),
        ((NAN, 1.0), (NAN, 1.25), True),  # 0.097 decades: below 1 the unit is a decade
        ((NAN, 1.0), (NAN, 1.3), False),
        ((NAN, 0.001), (NAN, 0.0019), True),
        ((0.2, 100.0), (0.2, 1.0), False),  # both count
        ((0.2, 100.0), (0.2, NAN), True),
        ((0.2, NAN), (NAN, 100.0), None),
        ((NAN, 0.0), (NAN, 0.0), None),  # no permeability is none that was measured
        ((NAN, NAN), (NAN, NAN), None),
    ],
)
def test_similarity_of_properties(
    a: tuple[float, float], b: tuple[float, float], expected: bool | None
) -> None:
    for first, second in ((a, b), (b, a)):
        pair = [
            (torch.tensor([x], dtype=torch.float64), torch.tensor([y], dtype=torch.float64))
            for x, y in zip(first, second, strict=True)
        ]
        similar, known = similar_properties(pair[0], pair[1])
        assert (similar.item() if known.item() else None) is expected
        assert similar_by_hand(first, second) is expected
        assert not (similar & ~known).any()


def test_images_have_their_own_properties() -> None:
    """RockIR compares A's with A's, so that every pair is similar."""
    similar, known = similar_properties((column(1, 0), column(1, 1)), (column(2, 0), column(2, 1)))
    assert bool((known & ~similar).any())


def test_unknown_similarity_leaves_the_fused_term_to_the_label() -> None:
    same = torch.tensor([True, True, False, False])
    known = torch.tensor([True, False, True, False])
    found = pair_targets(
        same, (torch.zeros(4, dtype=torch.bool), known), balanced=False, dtype=torch.float32
    )
    assert found.fused.targets.tolist() == [0, 1, 0, 0]
    assert found.fused.weights.tolist() == [0.25] * 4
    assert found.metadata.weights.tolist() == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_one_kind_only_are_the_whole_term(same: bool, balanced: bool) -> None:
    number = 4
    nothing = torch.zeros(number, dtype=torch.bool)
    wanted = pair_targets(
        torch.full((number,), same), (nothing, nothing), balanced=balanced, dtype=torch.float64
    )
    said = PairLogits(
        *(torch.zeros(number, dtype=torch.float64, requires_grad=True) for _ in range(3))
    )
    found = pair_terms(said, wanted)
    torch.autograd.backward(found.sum())
    assert found.tolist() == pytest.approx([math.log(2), math.log(2), 0.0])
    for each in said:
        assert each is not None
        assert each.grad is not None
        assert bool(torch.isfinite(each.grad).all())
    assert said.metadata is not None
    assert not said.metadata.grad.any()  # type: ignore[union-attr]  # checked above


def test_no_pair_at_all_is_no_loss() -> None:
    none = torch.zeros(0, dtype=torch.bool)
    said = PairLogits(*(torch.zeros(0, requires_grad=True) for _ in range(3)))
    for balanced in (True, False):
        found = pair_terms(
            said, pair_targets(none, (none, none), balanced=balanced, dtype=torch.float32)
        )
        torch.autograd.backward(found.sum())
        assert found.tolist() == [0, 0, 0]


def test_a_network_of_one_branch_has_one_term() -> None:
    said, wanted = logits(), targets_of_images(balanced=True)
    alone = pair_terms(PairLogits(said.siamese), wanted)
    assert alone[0] == pair_terms(said, wanted)[0]
    assert alone[1:].tolist() == [0, 0]


def error_by_hand(difference: float, settings: LossConfig) -> float:
    size = abs(difference)
    if settings.regression == "l1":
        return size
    beta = settings.beta
    return size**2 / (2 * beta) if size < beta else size - beta / 2


@pytest.mark.parametrize(
    "settings",
    [LossConfig(), LossConfig(regression="smooth_l1", beta=0.3)],
    ids=["l1", "smooth"],
)
def test_regression_equals_a_derivation_by_hand(settings: LossConfig) -> None:
    outputs = [[0.1, 0.9], [0.5, 0.2], [-0.4, 0.0], [1.2, 0.3]]
    wanted = [[0.2, NAN], [NAN, NAN], [0.5, 0.05], [1.2, 1.3]]
    errors = [
        error_by_hand(r - p, settings)
        for image in zip(outputs, wanted, strict=True)
        for r, p in zip(*image, strict=True)
        if not math.isnan(p)
    ]
    found = regression_term(torch.tensor(outputs), torch.tensor(wanted), settings=settings)
    assert float(found) == pytest.approx(sum(errors) / len(errors), rel=1e-6)
    part = regression_term(
        torch.tensor(outputs[:3]), torch.tensor(wanted[:3]), settings=settings, measured=5
    )
    rest = regression_term(
        torch.tensor(outputs[3:]), torch.tensor(wanted[3:]), settings=settings, measured=5
    )
    assert float(part + rest) == pytest.approx(float(found), rel=1e-6)


def test_nothing_measured_gives_neither_error_nor_gradient() -> None:
    outputs = torch.randn(3, 2, requires_grad=True)
    found = regression_term(outputs, torch.full((3, 2), NAN), settings=LossConfig())
    torch.autograd.backward(found)
    assert found.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_infinite_properties_are_not_taken_for_unmeasured_ones() -> None:
    found = regression_term(torch.zeros(1, 1), torch.full((1, 1), math.inf), settings=LossConfig())
    assert math.isinf(float(found))


def test_total_weighs_every_term() -> None:
    settings = LossConfig(alpha=7, siamese=2, fused=3, metadata=5)
    terms = total_loss(torch.tensor([1.0, 10.0, 100.0]), torch.tensor(1000.0), settings=settings)
    assert [float(term) for term in terms] == [7532, 1, 10, 100, 1000]


@pytest.mark.parametrize(("kind", "balanced"), list(product(["l1", "smooth_l1"], [True, False])))
def test_gradients_in_double_precision(kind: str, balanced: bool) -> None:
    settings = LossConfig.model_validate({"regression": kind, "beta": 0.3})
    wanted = targets_of_images(balanced=balanced)
    scaled = torch.tensor([[0.3, NAN], [0.1, 0.7]], dtype=torch.float64)

    def loss(z1: Tensor, z: Tensor, z2: Tensor, outputs: Tensor) -> Tensor:
        pairs = pair_terms(PairLogits(z1, z, z2), wanted)
        return total_loss(
            pairs, regression_term(outputs, scaled, settings=settings), settings=settings
        ).total

    generator = torch.Generator().manual_seed(2)
    inputs = [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((len(PAIRS),), (len(PAIRS),), (len(PAIRS),), (2, 2))
    ]
    assert torch.autograd.gradcheck(loss, inputs)
