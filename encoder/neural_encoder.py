"""What an encoder is, and the class that carries a network with all that is needed to use it.

Shapes: N images, S pixels a side, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from encoder.model_errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.embedding_model import EmbeddingModel
    from encoder.metric import Metric
    from encoder.preprocess import Preprocessing
    from encoder.registry import Spec


class Encoder(Protocol):
    """Anything that turns slices into vectors."""

    @property
    def name(self) -> str:
        """Name in the registry."""

    @property
    def dimension(self) -> int:
        """D."""

    @property
    def metric(self) -> Metric:
        """How its vectors are compared."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How slices are made for it."""

    @property
    def init(self) -> str:
        """Where its weights come from, in words to be shown beside every result."""

    @property
    def bundle_id(self) -> str | None:
        """Bundle that it was loaded from, or None: vectors of two are never compared."""

    def encode(self, batch: Tensor) -> Tensor:
        """Encode uint8 images (N, S, S, 3) or (N, 3, S, S) to (N, D), float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuralEncoder:
    """A network with its name, its preprocessing and its origin.

    Attributes:
        name: Name in the registry.
        model: The network; it is put into evaluation mode.
        preprocessing: How slices are made for it.
        init: Where its weights come from, such as ``"untrained, seed:0"`` or ``"ImageNet"``.
        bundle_id: Name of the bundle that it was loaded from, or None.
        provenance: How it came about: code revision, configuration, data.
        metrics: Figures of its evaluation.
    """

    name: str
    model: EmbeddingModel[Any]
    preprocessing: Preprocessing
    init: str
    bundle_id: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the network into evaluation mode: else vectors would depend on their batch."""
        self.model.eval()

    @property
    def architecture(self) -> Spec:
        """What the network is made of, as it says itself."""
        return cast("Spec", self.model.spec)

    @property
    def dimension(self) -> int:
        """D."""
        return self.model.dimension

    @property
    def metric(self) -> Metric:
        """How its vectors are compared."""
        return self.model.metric

    @torch.inference_mode()
    def encode(self, batch: Tensor) -> Tensor:
        """Encode images plainly, in float32, on the model's own device, all at once.

        ``EncodingSession`` is the quick way; this one is what it is measured against.

        Args:
            batch: (N, S, S, 3) or (N, 3, S, S), uint8.

        Returns:
            (N, D), float32.

        Raises:
            EncoderError: The batch is no such tensor.
        """
        return self.model.encode(self.standardised(batch))

    def standardised(self, batch: Tensor) -> Tensor:
        """Z-scale images on the model's device: (N, 3, S, S), float32.

        Args:
            batch: (N, S, S, 3) or (N, 3, S, S), uint8.

        Raises:
            EncoderError: The batch is no such tensor.
        """
        device = next(self.model.parameters()).device
        return standardise(batch.to(device), self.preprocessing)


def standardise(batch: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Z-scale images channel by channel, on the device that they are on.

    Args:
        batch: (N, S, S, 3) or (N, 3, S, S), uint8.
        preprocessing: Gives mean and standard deviation, in units of the full range.

    Returns:
        (N, 3, S, S), float32, in the memory order that the batch had.

    Raises:
        EncoderError: The batch is no such tensor.
    """
    if batch.dtype != torch.uint8 or batch.ndim != 4 or 3 not in {batch.shape[1], batch.shape[3]}:
        raise EncoderError(
            "images to encode: expected uint8 of shape (N, S, S, 3) or (N, 3, S, S), found "
            f"{str(batch.dtype).removeprefix('torch.')} of shape {tuple(batch.shape)}; "
            "prepare slices with resize_slice"
        )
    images = batch.permute(0, 3, 1, 2) if batch.shape[3] == 3 else batch
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=batch.device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return images.float().sub_(mean * 255).mul_(1 / (std * 255))
