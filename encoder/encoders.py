"""Encoders: one protocol, by name, started from pretrained, seeded or stored weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from encoder.backbones import ResNetTrunk, load_trunk, seeded
from encoder.bundle import load_bundle
from encoder.initialisation import ImageNet, Seed, parse_init
from encoder.model_errors import WeightsError
from encoder.neural_encoder import Encoder, NeuralEncoder
from encoder.preprocess import Preprocessing
from encoder.registry import ENCODERS, EncoderEntry, build_model, find_entry

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.embedding_model import EmbeddingModel

__all__ = ["ENCODERS", "Encoder", "EncoderEntry", "NeuralEncoder", "build_encoder"]

_HEADS_SEED = 0
"""What is not in a backbone's weights file (the gate, the heads) is drawn with this seed."""


def build_encoder(
    name: str,
    init: str,
    *,
    weights_path: Path | None = None,
    preprocessing: Preprocessing | None = None,
) -> NeuralEncoder:
    """Build an encoder.

    Args:
        name: Name in ``ENCODERS``.
        init: ``imagenet``, ``seed:N``, or the path of a bundle or weights file.
        weights_path: Where the weights were found; needed by ``imagenet``. Nothing is looked for
            or downloaded here.
        preprocessing: How slices are made for it; None for the bundle's, or the default.

    Returns:
        The encoder on the CPU, in evaluation mode.

    Raises:
        EncoderError: There is no encoder of that name.
        WeightsError: The weights are missing, or don't fit the encoder.
        BundleError: The bundle is refused, or holds another encoder.
    """
    entry = find_entry(name)
    start = parse_init(init)
    if isinstance(start, Seed):
        model, origin = _untrained(entry, start.number), f"untrained, seed:{start.number}"
    else:
        path = weights_path or (None if isinstance(start, ImageNet) else start.path)
        if path is None:
            raise WeightsError(
                f"{name}: no file with {entry.backbone}'s ImageNet weights was given; "
                "put one into LITHOSCOPE_WEIGHTS_DIR, or ask for an untrained start by seed:N"
            )
        if path.is_dir():
            return _from_bundle(name, path, preprocessing=preprocessing)
        model = _pretrained(entry, path)
        origin = "ImageNet" if isinstance(start, ImageNet) else f"weights file {path.name}"
    return NeuralEncoder(
        name=name,
        model=model,
        preprocessing=preprocessing or Preprocessing(),
        init=origin,
    )


def _untrained(entry: EncoderEntry, seed: int) -> EmbeddingModel[Any]:
    with seeded(seed):
        return build_model(entry.architecture)


def _pretrained(entry: EncoderEntry, path: Path) -> EmbeddingModel[Any]:
    """Give every backbone the same weights: the branches part in training."""
    state = load_trunk(entry.backbone, path).state_dict()
    model = _untrained(entry, _HEADS_SEED)
    for module in model.modules():
        if isinstance(module, ResNetTrunk):
            module.load_state_dict(state)
    return model


def _from_bundle(name: str, folder: Path, *, preprocessing: Preprocessing | None) -> NeuralEncoder:
    encoder = load_bundle(folder)
    if encoder.name != name:
        raise WeightsError(
            f"{folder}: holds encoder {encoder.name!r}, not {name!r}; ask for {encoder.name}"
        )
    if preprocessing is not None and preprocessing != encoder.preprocessing:
        raise WeightsError(
            f"{folder}: its preprocessing is part of it and can't be changed; "
            "leave the preprocessing out"
        )
    return encoder
