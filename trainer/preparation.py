"""What a run begins with: the network, its property scalers and its preprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from encoder.encoders import build_encoder
from encoder.neural_encoder import NeuralEncoder
from encoder.registry import find_entry
from encoder.siamese import SiameseResNet
from infra.weights import find_weights
from trainer.learnt_scans import LEARNT_UNTOLD, is_stored, start_entries
from trainer.pair_step import trainable
from trainer.slice_set import channel_statistics
from trainer.training_errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.dsnn import DSNNSpec
    from encoder.preprocess import Preprocessing
    from encoder.property_targets import PropertyTarget
    from encoder.siamese import SiameseSpec
    from trainer.config import TrainConfig
    from trainer.pair_step import TrainableModel
    from trainer.slice_set import SliceSet


def prepare_encoder(
    config: TrainConfig, slices: SliceSet, *, chosen: NDArray[np.int64]
) -> NeuralEncoder:
    """Build what is to be trained.

    A bundle keeps its preprocessing and its property scalers: its weights were made for them.
    Anything else is z-scaled by the training set's statistics (D9), and its property scalers are
    fitted to the training set's measurements (D5).

    Args:
        config: Settings of the run.
        slices: All slices.
        chosen: Those to train on.

    Returns:
        The encoder; its provenance tells what it has learned from already.

    Raises:
        EncoderError: There is no encoder of that name, or it can't be trained.
        WeightsError: Its weights can't be found, or don't fit.
        BundleError: The bundle is refused.
        TrainingError: The settings don't fit the encoder, the bundle or the slices.
    """
    name, init = config.model.encoder, config.model.init
    entry = find_entry(name)
    if slices.size != config.model.size:
        raise TrainingError(
            f"slices are {slices.size} pixels a side, model.size is {config.model.size}; "
            "decode them with these settings"
        )
    encoder = build_encoder(name, init, weights_path=find_weights(entry.backbone, init))
    model = trainable(encoder.model)
    if encoder.bundle_id is not None:
        _check_preprocessing(encoder, config.preprocessing())
        return replace(
            encoder,
            init=f"trained, begun from {encoder.bundle_id}",
            provenance=start_entries(encoder.provenance, slices, name=encoder.bundle_id),
            bundle_id=None,
        )
    mean, std = channel_statistics(slices, chosen)
    targets = tuple(_fitted(target, slices, chosen=chosen) for target in model.spec.targets)
    model.spec = _respecified(config, model, targets=targets)
    if not entry.admits(model.spec):
        raise TrainingError(
            f"model.fusion {config.model.fusion!r} does not go with encoder {name!r}: its vectors "
            "would be of another length or metric; use dsnn-split for split, dsnn for the others"
        )
    return NeuralEncoder(
        name=name,
        model=model,
        preprocessing=config.preprocessing(mean, std),
        init=f"trained, begun from {encoder.init}",
        provenance={LEARNT_UNTOLD: encoder.init} if is_stored(init) else {},
    )


def scaled_targets(model: TrainableModel, slices: SliceSet) -> torch.Tensor:
    """Say what the regression head should put out.

    Args:
        model: Whose scalers are fitted.
        slices: N slices.

    Returns:
        (N, P), float64; NaN where a property was not measured.
    """
    columns = [
        target.scaled(_values(target, slices), torch.from_numpy(slices.pixel_size_um))
        if target.is_fitted
        else torch.full((len(slices),), torch.nan, dtype=torch.float64)
        for target in model.spec.targets
    ]
    if not columns:
        return torch.empty((len(slices), 0), dtype=torch.float64)
    return torch.stack(columns, dim=1)


def freeze_statistics(model: nn.Module) -> None:
    """Let batch norm use the statistics that it has, and leave them; its scales are trained on."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001  torch's only common base
            module.eval()


def _respecified(
    config: TrainConfig, model: TrainableModel, *, targets: tuple[PropertyTarget, ...]
) -> DSNNSpec | SiameseSpec:
    if isinstance(model, SiameseResNet):
        if config.model.fusion is not None:
            raise TrainingError(
                f"model.fusion {config.model.fusion!r}: {config.model.encoder} has one branch, "
                "there is nothing to fuse; unset it"
            )
        return model.spec.model_copy(update={"targets": targets})
    fusion = config.model.fusion or model.spec.fusion
    return model.spec.model_copy(update={"targets": targets, "fusion": fusion})


def _fitted(
    target: PropertyTarget, slices: SliceSet, *, chosen: NDArray[np.int64]
) -> PropertyTarget:
    pixel_size = torch.from_numpy(slices.pixel_size_um[chosen])
    return target.fit(_values(target, slices)[torch.from_numpy(chosen)], pixel_size)


def _values(target: PropertyTarget, slices: SliceSet) -> torch.Tensor:
    known = {"porosity": slices.porosity, "permeability_md": slices.permeability_md}
    return torch.from_numpy(known[target.name])


def _check_preprocessing(encoder: NeuralEncoder, wanted: Preprocessing) -> None:
    ours = encoder.preprocessing
    if (ours.size, ours.window, ours.slicing) != (wanted.size, wanted.window, wanted.slicing):
        raise TrainingError(
            f"{encoder.bundle_id} was made for slices of {ours.size} pixels, window {ours.window}, "
            f"{ours.slicing}; set model.size and the section data accordingly"
        )
