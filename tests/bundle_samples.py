"""A bundle as training would leave it, and copies of it to be spoilt."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from encoder.bundle import save_bundle
from encoder.bundle_manifest import BundleManifest
from encoder.dsnn import DSNN, DSNNSpec, Fusion
from encoder.encoders import NeuralEncoder, build_encoder
from encoder.preprocess import Preprocessing
from encoder.property_targets import PropertyTarget
from encoder.registry import find_entry
from encoder.slicing import Slicing
from object_stores import sha256

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


def made_bundle(folder: Path, encoder: str = "dsnn", *, seed: int = 0, **told: Any) -> Path:  # noqa: ANN401  fields
    """A bundle that passes every check but that of its tensors' shapes: a kilobyte."""
    folder.mkdir(parents=True)
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=100).astype(np.float32))
    save_file({"weights": weights}, folder / "weights.safetensors")
    entry = find_entry(encoder)
    plain: dict[str, Any] = {
        "schema_version": 1,
        "encoder": encoder,
        "architecture": entry.architecture,
        "preprocessing": Preprocessing(mean=(0.1, 1e-7, 0.3)).to_dict(),
        "dimension": entry.dimension,
        "metric": entry.metric,
        "init": f"untrained, seed:{seed}",
        "provenance": {"where": 'Ölfeld "7"', "when": "2024"},
        "metrics": {"map": 0.1 + 0.2, "tiny": 1e-300, "whole": 3},
        "weights_sha256": sha256((folder / "weights.safetensors").read_bytes()),
        "sha256": "0" * 64,
        "manifest_sha256": "0" * 64,
    }
    manifest = BundleManifest.model_validate(plain | told).signed()
    (folder / "model.json").write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return folder


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
