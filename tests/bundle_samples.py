"""A bundle as training would leave it, and copies of it to be spoilt."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch

from encoder.bundle import save_bundle
from encoder.dsnn import DSNN, DSNNSpec, Fusion
from encoder.encoders import NeuralEncoder, build_encoder
from encoder.preprocess import Preprocessing
from encoder.property_targets import PropertyTarget
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = (
    PropertyTarget(name="permeability_md", scale="log10", low=-1.5, high=3.25),
    PropertyTarget(name="porosity", scale="linear", low=0.02, high=0.41),
)

PREPROCESSING = Preprocessing(
    size=64, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3), window="none", slicing=Slicing(planes=12)
)


def trained(fusion: Fusion = "mean-raw") -> NeuralEncoder:
    """A network as training would leave it: moved statistics, fitted scalers."""
    base = build_encoder("dsnn" if fusion != "split" else "dsnn-split", "seed:8")
    architecture = DSNNSpec(fusion=fusion, targets=TARGETS)
    model = DSNN(architecture)
    model.load_state_dict(base.model.state_dict())
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2)))
    return NeuralEncoder(
        name=base.name,
        model=model,
        preprocessing=PREPROCESSING,
        init="trained from ImageNet",
    )


@pytest.fixture(scope="session")
def original_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a trained DSNN, to be read only."""
    folder = tmp_path_factory.mktemp("models") / "original"
    save_bundle(folder, trained(), provenance={"revision": "0123abc"}, metrics={"map_at_10": 0.5})
    return folder


@pytest.fixture
def bundle(original_bundle: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return shutil.copytree(original_bundle, tmp_path / "bundle")
