"""What a bundle keeps of an encoder, and which encoders it refuses to keep."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bundle_samples import PREPROCESSING, trained
from encoder.bundle import load_bundle, save_bundle, verify_bundle
from encoder.dsnn import DSNN, DSNNSpec
from encoder.encoders import NeuralEncoder, build_encoder
from encoder.model_errors import BundleError
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytest_plugins = ["bundle_samples"]


@pytest.fixture(scope="module")
def encoder() -> NeuralEncoder:
    return trained()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(6)
    return torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=generator)


def test_a_loaded_bundle_gives_the_same_vectors_and_predictions(
    original_bundle: Path, encoder: NeuralEncoder, images: Tensor
) -> None:
    loaded = load_bundle(original_bundle)
    torch.testing.assert_close(loaded.encode(images), encoder.encode(images), rtol=0, atol=1e-6)
    expected, found = (
        item.model.predict(item.model.features(item.standardised(images)))
        for item in (encoder, loaded)
    )
    for name in ("porosity", "permeability_md"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
    assert not loaded.model.training


def test_a_loaded_bundle_knows_all_that_was_said_of_it(
    original_bundle: Path, encoder: NeuralEncoder
) -> None:
    loaded = load_bundle(original_bundle)
    assert loaded.name == "dsnn"
    assert loaded.architecture == encoder.architecture
    assert loaded.preprocessing == PREPROCESSING
    assert loaded.init == "trained from ImageNet"
    assert loaded.provenance == {"revision": "0123abc"}
    assert loaded.metrics == {"map_at_10": 0.5}
    assert loaded.bundle_id == f"dsnn-{verify_bundle(original_bundle).sha256[:12]}"


@pytest.mark.parametrize("name", ["dsnn-split", "resnet34-imagenet", "resnet18-imagenet"])
def test_every_encoder_survives_its_bundle(name: str, tmp_path: Path, images: Tensor) -> None:
    encoder = build_encoder(name, "seed:1", preprocessing=PREPROCESSING)
    save_bundle(tmp_path / name, encoder)
    loaded = load_bundle(tmp_path / name)
    torch.testing.assert_close(loaded.encode(images), encoder.encode(images), rtol=0, atol=1e-6)
    assert (loaded.dimension, loaded.metric) == (encoder.dimension, encoder.metric)


def test_the_same_encoder_is_the_same_bundle_whatever_is_told_about_it(
    original_bundle: Path, encoder: NeuralEncoder, tmp_path: Path
) -> None:
    again = save_bundle(tmp_path / "again", encoder, metrics={"map_at_10": 0.9})
    assert again.bundle_id == verify_bundle(original_bundle).bundle_id


def test_what_changes_vectors_changes_the_name(encoder: NeuralEncoder, tmp_path: Path) -> None:
    """The same weights, fused or preprocessed otherwise, give vectors that must not be mixed."""
    variants = {
        "as it is": encoder,
        "fused": trained("mean-normalised"),
        "preprocessed": NeuralEncoder(
            name=encoder.name,
            model=encoder.model,
            preprocessing=Preprocessing(size=64),
            init=encoder.init,
        ),
    }
    names = {save_bundle(tmp_path / name, item).bundle_id for name, item in variants.items()}
    assert len(names) == 3


def test_a_bundle_is_never_overwritten_and_leaves_nothing_behind(
    encoder: NeuralEncoder, tmp_path: Path
) -> None:
    save_bundle(tmp_path / "new", encoder)
    with pytest.raises(BundleError, match="exists already"):
        save_bundle(tmp_path / "new", encoder)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match="can't be written"):
        save_bundle(tmp_path / "file" / "bundle", encoder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "new"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "model.json",
        "weights.safetensors",
    ]


def spoilt(encoder: NeuralEncoder, value: float) -> NeuralEncoder:
    model = DSNN(encoder.model.spec if isinstance(encoder.model, DSNN) else None)
    model.load_state_dict(encoder.model.state_dict())
    with torch.no_grad():
        model.classifier.bias[0] = value
    return replace(encoder, model=model)


def test_bundles_that_could_not_be_loaded_are_not_written(
    encoder: NeuralEncoder, tmp_path: Path
) -> None:
    wide = replace(encoder, model=DSNN(DSNNSpec(fusion="split")))
    cases: list[tuple[NeuralEncoder, dict[str, Any], str]] = [
        (spoilt(encoder, np.nan), {}, r"classifier\.bias holds numbers that are not finite"),
        (replace(encoder, name="dsnn2"), {}, "'dsnn2' is unknown"),
        (wide, {}, "not those of 'dsnn'"),
        (replace(encoder, name="resnet18-imagenet"), {}, "not those of 'resnet18-imagenet'"),
        (encoder, {"metrics": {"loss": np.nan}}, r"metrics\.loss: .* finite"),
        (encoder, {"provenance": {"epochs": 3}}, r"provenance\.epochs: .* string"),
        (encoder, {"provenance": {"data": "\udc80"}}, "plain numbers and text"),
        (replace(encoder, preprocessing=Preprocessing(slicing=Slicing(planes=np.int64(3)))),  # type: ignore[arg-type]  # what is checked
         {}, "plain numbers and text"),
    ]  # fmt: skip
    for item, told, reason in cases:
        with pytest.raises(BundleError, match=reason) as caught:
            save_bundle(tmp_path / "bundle", item, **told)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_numpy_numbers_are_preprocessing_too(encoder: NeuralEncoder, tmp_path: Path) -> None:
    mean = tuple(np.float32(value) for value in (0.4, 0.5, 0.6))
    numpy = replace(encoder, preprocessing=Preprocessing(size=64, mean=mean))  # type: ignore[arg-type]  # what is checked
    save_bundle(tmp_path / "bundle", numpy)
    loaded = load_bundle(tmp_path / "bundle").preprocessing
    assert loaded.mean == pytest.approx((0.4, 0.5, 0.6))
    assert loaded.fingerprint() == numpy.preprocessing.fingerprint()


def test_a_full_disk_is_told_in_one_line(encoder: NeuralEncoder, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of a disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(BundleError, match=r"can't be written .* disk with room"):
            save_bundle(tmp_path / "bundle", encoder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_network_in_training_mode_is_put_into_evaluation_mode(images: Tensor) -> None:
    base = build_encoder("resnet18-imagenet", "seed:1", preprocessing=PREPROCESSING)
    expected = base.encode(images)
    base.model.train()
    assert torch.equal(replace(base).encode(images), expected)
