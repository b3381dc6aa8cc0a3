from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest
import torch

from encoder.backbones import seeded
from encoder.dsnn import DSNN
from encoder.encoders import build_encoder
from encoder.model_errors import EncoderError
from encoder.siamese import SiameseResNet, SiameseSpec
from trainer import pair_step
from trainer.config import LossConfig
from trainer.pair_step import BatchTargets, PairStep, all_pairs, sides, trainable

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.losses import LossTerms

NAN = float("nan")
SETTINGS = LossConfig()


def network(name: str = "dsnn") -> DSNN | SiameseResNet:
    with seeded(1):
        if name == "dsnn":
            return DSNN().double()
        return SiameseResNet(SiameseSpec(backbone="resnet18")).double()


def images(number: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(number, 3, 32, 32, generator=generator, dtype=torch.float64)


def known(pairs: Tensor, *, balanced: bool = True) -> BatchTargets:
    return BatchTargets(
        labels=torch.tensor([0, 0, 1, 1, 2, 2]),
        porosity=torch.tensor([0.2, 0.2, 0.3, 0.3, NAN, NAN], dtype=torch.float64),
        permeability_md=torch.tensor([9.0, 9.0, NAN, NAN, NAN, NAN], dtype=torch.float64),
        scaled=torch.tensor(
            [[0.1, 0.5], [0.1, 0.5], [0.9, NAN], [0.9, NAN], [NAN, NAN], [NAN, NAN]],
            dtype=torch.float64,
        ),
        pairs=pairs,
        balanced=balanced,
    )


def gradients(model: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    torch.autograd.backward(loss)
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _features(model: DSNN | SiameseResNet) -> tuple[Tensor, ...]:
    found = model.features(images())
    return (found,) if isinstance(found, torch.Tensor) else tuple(found)


def run(model: DSNN | SiameseResNet, targets: BatchTargets) -> LossTerms:
    terms: LossTerms = PairStep(model, SETTINGS)(images(), targets, autocast=torch.float32)
    return terms


def test_all_pairs_are_every_pair_once() -> None:
    assert sorted(map(tuple, all_pairs(5).T.tolist())) == list(combinations(range(5), 2))
    assert sides(3).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_loss_is_that_of_the_network_pair_by_pair() -> None:
    """All pairs from features made once equal every pair encoded for itself (statistics frozen)."""
    model = network().eval()
    assert isinstance(model, DSNN)
    terms = run(model, known(all_pairs(6)))
    losses: dict[bool, list[float]] = {True: [], False: []}
    targets = known(all_pairs(6))
    for i, j in combinations(range(6), 2):
        a, b = (model.features(images()[k : k + 1]) for k in (i, j))
        logit = model.compare(a, b).z1.item()
        same = bool(targets.labels[i] == targets.labels[j])
        sign = -1.0 if same else 1.0
        losses[same].append(torch.log1p(torch.exp(torch.tensor(sign * logit).double())).item())
    expected = sum(sum(each) / len(each) for each in losses.values()) / 2
    assert terms.siamese.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["dsnn", "siamese"])
@pytest.mark.parametrize("part", [1, 4, 7])
def test_parts_of_pairs_change_neither_loss_nor_gradient(
    name: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(name)
    whole = run(model, known(all_pairs(6)))
    expected = gradients(model, whole.total)
    monkeypatch.setattr(pair_step, "PAIRS_AT_A_TIME", part)
    parted = run(model, known(all_pairs(6)))
    torch.testing.assert_close(parted, whole)
    torch.testing.assert_close(gradients(model, parted.total), expected)


def test_exchanging_both_sides_changes_nothing() -> None:
    model = network()
    forth = run(model, known(sides(3), balanced=False))
    expected = gradients(model, forth.total)
    back = run(model, known(sides(3).flip(0), balanced=False))
    torch.testing.assert_close(back, forth)
    torch.testing.assert_close(gradients(model, back.total), expected)


def test_every_image_is_encoded_once() -> None:
    model = network()
    assert isinstance(model, DSNN)
    seen = []
    for trunk in (model.trunk1, model.trunk2):
        trunk.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    run(model, known(all_pairs(6)))
    assert seen == [6, 6]


@pytest.mark.parametrize("name", ["dsnn", "siamese"])
def test_a_batch_of_nothing_measured_trains_what_it_can(name: str) -> None:
    model = network(name)
    targets = known(all_pairs(6))._replace(
        porosity=torch.full((6,), NAN, dtype=torch.float64),
        permeability_md=torch.full((6,), NAN, dtype=torch.float64),
        scaled=torch.full((6, 2 if name == "dsnn" else 0), NAN, dtype=torch.float64),
    )
    terms = run(model, targets)
    found = gradients(model, terms.total)
    assert terms.metadata.item() == terms.regression.item() == 0
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found.values())
    # A parameter without a gradient would make parallel training wait for it for ever.
    assert found.keys() == dict(model.named_parameters()).keys()
    if name == "dsnn":
        assert not found["classifier2.weight"].any()
        assert found["trunk2.conv1.weight"].any()  # by way of the fused term


def test_a_batch_without_positive_pairs_trains() -> None:
    model = network()
    terms = run(model, known(all_pairs(6))._replace(labels=torch.arange(6)))
    found = gradients(model, terms.total)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found.values())
    assert terms.siamese.item() > 0


def test_memory_does_not_grow_with_the_number_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the gradient, in numbers of the size of a batch's features."""
    monkeypatch.setattr(pair_step, "PAIRS_AT_A_TIME", 256)
    model = network().float()
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    for number in (32, 128):
        features = tuple(torch.randn(number, 512, requires_grad=True) for _ in range(2))
        targets = BatchTargets(
            labels=torch.arange(number) // 4,
            porosity=torch.full((number,), 0.2).double(),
            permeability_md=torch.full((number,), 9.0).double(),
            scaled=torch.zeros(number, 2).double(),
            pairs=all_pairs(number),
            balanced=True,
        )
        kept.clear()
        step = PairStep(model, SETTINGS)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            step._pair_terms(features, targets)  # noqa: SLF001  the part that has many pairs
        n_pairs = number * (number - 1) // 2
        assert sum(kept) < 40 * n_pairs + 100 * 512  # differences alone: 1024 for each pair


@pytest.mark.parametrize("name", ["dsnn", "siamese"])
def test_a_step_never_waits_for_the_device(name: str) -> None:
    """Tensors that have no values refuse whatever would wait for one."""
    model = network(name)
    features = tuple(each.to("meta") for each in _features(model))
    targets = known(all_pairs(6))
    moved = BatchTargets(
        labels=targets.labels.to("meta"),
        porosity=targets.porosity.to("meta"),
        permeability_md=targets.permeability_md.to("meta"),
        scaled=targets.scaled.to("meta"),
        pairs=targets.pairs.to("meta"),
        balanced=True,
    )
    step = PairStep(model.to("meta"), SETTINGS)
    for term in (step._pair_terms, step._regression_term):  # noqa: SLF001  torch has no autocast there
        assert term(features, moved).is_meta


def test_networks_without_classifiers_of_pairs_are_refused() -> None:
    with pytest.raises(EncoderError, match="VanillaResNet can't be trained"):
        trainable(build_encoder("resnet18-imagenet", "seed:0").model)
