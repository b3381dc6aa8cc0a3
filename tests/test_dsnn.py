from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]  # ships no types
from pydantic import ValidationError

from encoder.backbones import seeded
from encoder.dsnn import DSNN, BranchFeatures, DSNNSpec, Fusion
from encoder.metric import Metric
from encoder.model_errors import EncoderError
from encoder.property_targets import DEFAULT_TARGETS, ROCKIR_TARGETS, PropertyTarget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FITTED = (
    PropertyTarget(name="porosity", scale="linear", low=0.05, high=0.35),
    PropertyTarget(name="permeability_md", scale="log10", low=-1.0, high=4.0),
)


def build(
    fusion: Fusion = "mean-normalised", targets: tuple[PropertyTarget, ...] = DEFAULT_TARGETS
) -> DSNN:
    with seeded(7):
        return DSNN(DSNNSpec(fusion=fusion, targets=targets)).eval()


@pytest.fixture(scope="module")
def network() -> DSNN:
    return build()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Five z-scaled images of 64 pixels a side; the last two are flat, black and white."""
    values = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    values[3], values[4] = -2.0, 2.5
    return values


@pytest.fixture(scope="module")
def features(network: DSNN, images: Tensor) -> BranchFeatures:
    with torch.inference_mode():
        return network.features(images)


def row(features: BranchFeatures, *numbers: int) -> BranchFeatures:
    return BranchFeatures(features.f1[list(numbers)], features.f2[list(numbers)])


def arrays(network: DSNN) -> dict[str, NDArray[np.float64]]:
    return {name: value.double().numpy() for name, value in network.state_dict().items()}


def compare_by_hand(
    network: DSNN, a: BranchFeatures, b: BranchFeatures
) -> list[tuple[float, float, float, float, float]]:
    """Algorithm 1 with D1 and D2, pair by pair, in plain numpy: z, z1, z2, s1, s2."""
    state = arrays(network)

    def linear(name: str, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return state[f"{name}.weight"] @ vector + state[f"{name}.bias"]

    results = []
    for f1, f2, g1, g2 in zip(*(t.double().numpy() for t in (*a, *b)), strict=True):
        w1, w2 = np.abs(f1 - g1), np.abs(f2 - g2)
        hidden = np.maximum(linear("gate.0", np.concatenate([w1, w2])), 0)
        hidden = np.maximum(linear("gate.2", hidden), 0)
        scores = np.exp(linear("gate.4", hidden))
        s1, s2 = scores / scores.sum()
        fused = (s1 * w1 + s2 * w2) / 2
        logits = (
            linear("classifier", fused)[0],
            linear("classifier1", w1)[0],
            linear("classifier2", w2)[0],
        )
        results.append((*logits, s1, s2))
    return results


def test_features_are_those_of_two_torchvision_resnets(
    network: DSNN, images: Tensor, features: BranchFeatures
) -> None:
    for branch, found in zip(("trunk1", "trunk2"), features, strict=True):
        with seeded(0):
            reference = torchvision.models.resnet18(weights=None)
        reference.fc = torch.nn.Identity()
        state = {
            key.removeprefix(f"{branch}."): value
            for key, value in network.state_dict().items()
            if key.startswith(f"{branch}.")
        }
        reference.load_state_dict(state)
        with torch.inference_mode():
            expected = reference.eval()(images)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_branches_start_apart(features: BranchFeatures) -> None:
    assert not torch.allclose(features.f1, features.f2, rtol=0.1)


def test_pair_outputs_equal_a_derivation_by_hand(network: DSNN, features: BranchFeatures) -> None:
    a, b = row(features, 0, 1, 2, 4), row(features, 1, 2, 2, 3)
    with torch.inference_mode():
        found = network.compare(a, b)
    assert [tuple(part.shape) for part in found] == [(4,), (4,), (4,), (4, 2)]
    for number, expected in enumerate(compare_by_hand(network, a, b)):
        flat = [*(part[number].item() for part in found[:3]), *found.gate[number].tolist()]
        assert flat == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_pair_outputs_are_symmetric(network: DSNN, features: BranchFeatures) -> None:
    a, b = row(features, 0, 1, 4), row(features, 2, 3, 0)
    with torch.inference_mode():
        for one, other in zip(network.compare(a, b), network.compare(b, a), strict=True):
            assert torch.equal(one, other)


def test_gate_is_a_partition_of_one(network: DSNN, features: BranchFeatures) -> None:
    huge = BranchFeatures(features.f1 * 1e6, features.f2 * 1e6)
    for case in (features, huge):
        with torch.inference_mode():
            gate = network.compare(case, row(case, 1, 2, 3, 4, 0)).gate
        assert bool((gate >= 0).all())
        torch.testing.assert_close(gate.sum(dim=1), torch.ones(5))


def test_a_pair_of_one_image_is_told_by_the_biases(network: DSNN, features: BranchFeatures) -> None:
    with torch.inference_mode():
        found = network.compare(features, features)
    for logits, head in (
        (found.z, network.classifier),
        (found.z1, network.classifier1),
        (found.z2, network.classifier2),
    ):
        torch.testing.assert_close(logits, head.bias.detach().expand(5))


def test_all_pairs_come_from_features_encoded_once(
    network: DSNN, images: Tensor, features: BranchFeatures
) -> None:
    first, second = torch.triu_indices(5, 5, offset=1)
    with torch.inference_mode():
        together = network.compare(row(features, *first.tolist()), row(features, *second.tolist()))
        for number, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            alone = network.compare(
                network.features(images[i : i + 1]), network.features(images[j : j + 1])
            )
            torch.testing.assert_close(together.z[number], alone.z[0], rtol=1e-4, atol=1e-5)


def test_pairs_of_unequal_number_are_refused(network: DSNN, features: BranchFeatures) -> None:
    with pytest.raises(EncoderError, match=r"expected \(2, 512\) twice, found \(3, 512\)"):
        network.compare(row(features, 0, 1), row(features, 0, 1, 2))


def test_encoding_is_deterministic_and_independent_of_the_batch(
    network: DSNN, images: Tensor
) -> None:
    with torch.inference_mode():
        together = network.encode(images)
        assert torch.equal(together, network.encode(images))
        alone = torch.cat([network.encode(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_flat_images_give_finite_float32(network: DSNN, images: Tensor) -> None:
    with torch.inference_mode():
        vectors = network.encode(images)
    assert vectors.dtype == torch.float32
    assert bool(torch.isfinite(vectors).all())
    assert float(vectors.norm(dim=1).max()) <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("output", "reached"),
    [("z", {"trunk1", "trunk2"}), ("z1", {"trunk1"}), ("z2", {"trunk2"}), ("y", {"trunk2"})],
)
def test_gradients_reach_the_backbones_that_an_output_is_made_from(
    output: str, reached: set[str]
) -> None:
    network = build().train()
    features = network(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    if output == "y":
        torch.autograd.backward(network.regress(features.f2).sum())
    else:
        pairs = network.compare(row(features, 0, 1), row(features, 2, 3))
        torch.autograd.backward(getattr(pairs, output).sum())
    for branch in ("trunk1", "trunk2"):
        grads = [parameter.grad for parameter in getattr(network, branch).parameters()]
        if branch in reached:
            assert all(grad is not None and bool(grad.abs().max() > 0) for grad in grads)
        else:
            assert all(grad is None for grad in grads)


def test_double_precision_stays_double() -> None:
    network = build().double()
    features = network.features(torch.zeros(2, 3, 32, 32, dtype=torch.float64))
    assert features.f1.dtype == network.regress(features.f2).dtype == torch.float64


@pytest.mark.parametrize(
    ("fusion", "dimension", "metric"),
    [
        ("mean-normalised", 512, Metric.L2),
        ("mean-raw", 512, Metric.L2),
        ("split", 1024, Metric.INNER_PRODUCT),
    ],
)
def test_fusions_equal_their_formulas(
    fusion: Fusion, dimension: int, metric: Metric, features: BranchFeatures
) -> None:
    network = build(fusion)
    f1, f2 = (branch.double().numpy() for branch in features)
    u1, u2 = (f / np.sqrt((f * f).sum(axis=1, keepdims=True)) for f in (f1, f2))
    expected = {
        "mean-normalised": (u1 + u2) / 2,
        "mean-raw": (f1 + f2) / 2,
        "split": np.concatenate([u1, u2], axis=1),
    }[fusion]
    with torch.inference_mode():
        found = network.embed(features)
    assert (network.dimension, network.metric) == (dimension, metric)
    assert found.shape == (5, dimension)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_weighted_scores_split_exactly_into_looks_and_behaviour(
    weight: float, images: Tensor
) -> None:
    network = build("split")
    with torch.inference_mode():
        stored = network.encode(images).double()
        query = network.encode_query(images, weight=weight).double()
        f1, f2 = network.features(images)
    unit1 = torch.nn.functional.normalize(f1.double(), dim=1)
    unit2 = torch.nn.functional.normalize(f2.double(), dim=1)
    expected = weight * unit1 @ unit1.T + (1 - weight) * unit2 @ unit2.T
    torch.testing.assert_close(query @ stored.T, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fusion", ["mean-normalised", "mean-raw"])
def test_mixed_vectors_can_not_be_weighed(fusion: Fusion, images: Tensor) -> None:
    with pytest.raises(EncoderError, match="dsnn-split"):
        build(fusion).encode_query(images, weight=0.5)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_weights_out_of_range_are_refused(weight: float, images: Tensor) -> None:
    with pytest.raises(EncoderError, match=r"0 .* to 1"):
        build("split").encode_query(images, weight=weight)


def test_a_network_that_was_never_trained_predicts_nothing(network: DSNN, images: Tensor) -> None:
    predicted = network.predict_properties(images)
    assert predicted.porosity is None
    assert predicted.permeability_md is None


def test_predictions_are_scaled_back_by_hand(images: Tensor) -> None:
    network = build(targets=FITTED)
    state = arrays(network)
    with torch.inference_mode():
        f2 = network.features(images).f2
        predicted = network.predict_properties(images)
    hidden = f2.double().numpy() @ state["regression_trunk.0.weight"].T
    hidden = np.maximum(hidden + state["regression_trunk.0.bias"], 0)
    outputs = [
        hidden @ state[f"regression_outputs.{p}.weight"][0] + state[f"regression_outputs.{p}.bias"]
        for p in range(2)
    ]
    assert predicted.porosity is not None
    assert predicted.permeability_md is not None
    porosity = np.clip(0.05 + 0.30 * outputs[0], 0, 1)
    permeability = 10 ** (-1.0 + 5.0 * outputs[1])
    np.testing.assert_allclose(predicted.porosity.numpy(), porosity, rtol=1e-4)
    np.testing.assert_allclose(predicted.permeability_md.numpy(), permeability, rtol=1e-4)


def test_imported_weights_need_the_pixel_size(images: Tensor) -> None:
    network = build(targets=ROCKIR_TARGETS)
    with torch.inference_mode():
        outputs = network.regress(network.features(images).f2).double()
        without = network.predict_properties(images)
        one = network.predict_properties(images, pixel_size_um=2.5)
        sizes = torch.tensor([2.5, math.nan, 1.0, 5.0, 2.5])
        many = network.predict_properties(images, pixel_size_um=sizes)
    assert without.porosity is not None
    assert without.permeability_md is None
    assert one.permeability_md is not None
    assert many.permeability_md is not None
    per_area = 10 ** (5 * outputs[:, 1])
    torch.testing.assert_close(one.permeability_md, per_area * 2.5**2)
    torch.testing.assert_close(many.permeability_md, per_area * sizes.double() ** 2, equal_nan=True)


def test_a_network_without_targets_or_with_one_twice_is_refused() -> None:
    for targets in ((), (DEFAULT_TARGETS[0], DEFAULT_TARGETS[0])):
        with pytest.raises(ValidationError, match="different properties"):
            DSNNSpec(targets=targets)
