from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from encoder.backbones import seeded
from encoder.bundle import load_bundle, save_bundle
from encoder.encoders import NeuralEncoder, build_encoder
from encoder.inference import EncodingSession
from encoder.model_errors import BundleError, EncoderError
from encoder.preprocess import Preprocessing
from encoder.property_targets import DEFAULT_TARGETS, PropertyTarget
from encoder.siamese import SiameseResNet, SiameseSpec

if TYPE_CHECKING:
    from pathlib import Path

FITTED = (
    PropertyTarget(name="porosity", scale="linear", low=0.05, high=0.35),
    PropertyTarget(name="permeability_md", scale="log10", low=-1.0, high=4.0),
)


def build(targets: tuple[PropertyTarget, ...] = FITTED) -> SiameseResNet:
    with seeded(4):
        return SiameseResNet(SiameseSpec(backbone="resnet18", targets=targets)).eval()


def features() -> torch.Tensor:
    return torch.randn(4, 512, generator=torch.Generator().manual_seed(1))


def test_a_pair_is_classified_by_a_linear_layer_on_its_difference() -> None:
    network, given = build(), features()
    with torch.inference_mode():
        found = network.compare(given[:2], given[2:])
        swapped = network.compare(given[2:], given[:2])
    weight, bias = (
        parameter.detach().double().numpy() for parameter in network.classifier.parameters()
    )
    difference = np.abs(given[:2].double().numpy() - given[2:].double().numpy())
    np.testing.assert_allclose(found.numpy(), difference @ weight[0] + bias, rtol=1e-5)
    assert torch.equal(found, swapped)


def test_pairs_of_unequal_number_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"expected \(1, 512\) twice, found \(2, 512\)"):
        build().compare(features()[:1], features()[:2])


def test_vectors_are_features_at_length_one() -> None:
    found = build().embed(features()).numpy()
    given = features().numpy()
    np.testing.assert_allclose(
        found, given / np.linalg.norm(given, axis=1, keepdims=True), rtol=1e-5
    )


def test_properties_are_predicted_only_where_there_is_a_head() -> None:
    with torch.inference_mode():
        with_head, without = build().predict(features()), build(()).predict(features())
        unfitted = build(DEFAULT_TARGETS).predict(features())
        outputs = build().regress(features()).double()
    assert build(()).regress(features()).shape == (4, 0)
    assert without.porosity is without.permeability_md is None
    assert unfitted.porosity is unfitted.permeability_md is None
    assert with_head.porosity is not None
    assert with_head.permeability_md is not None
    torch.testing.assert_close(with_head.porosity, (0.05 + 0.3 * outputs[:, 0]).clamp(0, 1))
    torch.testing.assert_close(with_head.permeability_md, 10 ** (5 * outputs[:, 1] - 1))


def test_a_bundle_carries_the_network_and_its_scalers(tmp_path: Path) -> None:
    base = build_encoder("siamese-resnet34-regression", "seed:2")
    with seeded(3):
        model = SiameseResNet(SiameseSpec(backbone="resnet34", targets=FITTED))
    encoder = NeuralEncoder(
        name=base.name, model=model, preprocessing=Preprocessing(size=32), init="trained"
    )
    save_bundle(tmp_path / "bundle", encoder)
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.architecture == model.spec
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    found, expected = (
        EncodingSession(each, precision="fp32").encode_and_predict(pixels)
        for each in (loaded, encoder)
    )
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.porosity is not None
    assert expected.porosity is not None
    np.testing.assert_array_equal(found.porosity, expected.porosity)


def test_a_network_without_the_head_may_not_bear_the_name_of_one_with_it(tmp_path: Path) -> None:
    with seeded(3):
        model = SiameseResNet(SiameseSpec(backbone="resnet34"))
    encoder = NeuralEncoder(
        name="siamese-resnet34-regression",
        model=model,
        preprocessing=Preprocessing(size=32),
        init="trained",
    )
    with pytest.raises(BundleError, match="architecture, dimension or metric"):
        save_bundle(tmp_path / "bundle", encoder)


def test_a_property_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="different properties"):
        SiameseSpec(backbone="resnet18", targets=(FITTED[0], FITTED[0]))
