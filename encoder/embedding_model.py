"""What every network that makes vectors can do.

Shapes: N images, S pixels a side, D dimensions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import Tensor, nn

from encoder.model_errors import EncoderError
from encoder.property_targets import PixelSize, PropertyPredictions

if TYPE_CHECKING:
    from encoder.metric import Metric

Features = TypeVar("Features")
"""What a network's backbones make of images: tensors with N rows."""


class EmbeddingModel(nn.Module, ABC, Generic[Features]):
    """A network in two steps, backbones and what follows, so that images are encoded only once."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """D."""

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """How its vectors are compared."""

    @abstractmethod
    def features(self, batch: Tensor) -> Features:
        """Run the backbones on (N, 3, S, S), z-scaled."""

    @abstractmethod
    def embed(self, features: Features) -> Tensor:
        """Turn features into vectors to be stored: (N, D)."""

    def embed_query(self, features: Features, *, weight: float) -> Tensor:
        """Turn features into vectors to ask with, weighing one branch against the other.

        Raises:
            EncoderError: The network has no branches to weigh, unless it says otherwise.
        """
        del features, weight
        raise EncoderError(
            f"{type(self).__name__} has no branches to weigh; index with dsnn-split for that"
        )

    def predict(
        self,
        features: Features,  # noqa: ARG002  used by networks that predict
        pixel_size_um: PixelSize | None = None,  # noqa: ARG002  likewise
    ) -> PropertyPredictions:
        """Predict properties from features: none, unless a network says otherwise."""
        return PropertyPredictions()

    def forward(self, batch: Tensor) -> Features:
        """Run the backbones: what a wrapper for parallel training calls."""
        return self.features(batch)

    def encode(self, batch: Tensor) -> Tensor:
        """Encode images.

        Args:
            batch: (N, 3, S, S), z-scaled.

        Returns:
            (N, D).
        """
        return self.embed(self.features(batch))
