"""The Siamese baselines: one branch, with or without regression (Shim et al. 2023, Table 1).

Shapes: N images, M pairs, S pixels a side, F = D = 512 features, P properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn
from torch.nn import functional

from encoder.backbones import FEATURES, BackboneName, ResNetTrunk
from encoder.embedding_model import EmbeddingModel
from encoder.metric import Metric
from encoder.model_errors import EncoderError
from encoder.property_targets import (
    PixelSize,
    PropertyPredictions,
    PropertyTarget,
    restore_all,
)

if TYPE_CHECKING:
    from typing import Self


class SiameseSpec(BaseModel):
    """What a Siamese network is made of.

    Attributes:
        kind: Tells specifications apart.
        backbone: Which ResNet.
        targets: Outputs of the regression head, P of them; none for a network without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["siamese"] = "siamese"
    backbone: BackboneName
    targets: tuple[PropertyTarget, ...] = ()

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names):
            raise ValueError(f"targets must be different properties, not {names}")
        return self

    @property
    def dimension(self) -> int:
        """D."""
        return FEATURES

    @property
    def metric(self) -> Metric:
        """Euclidean distance between unit vectors, as for the other baselines."""
        return Metric.L2


class SiameseResNet(EmbeddingModel["Tensor"]):
    """One ResNet, a classifier of pairs (Koch et al. 2015), and a regression head if wanted.

    The pair's logit is a linear layer on |f(A) - f(B)|, which is one branch of the DSNN; so is
    the regression head (docs/design.md D2, D5).
    """

    def __init__(self, spec: SiameseSpec) -> None:
        """Build it with a random start, drawn from the global generator.

        Args:
            spec: What it is made of.
        """
        super().__init__()
        self.spec = spec
        self.trunk = ResNetTrunk(spec.backbone)
        self.classifier = nn.Linear(FEATURES, 1)
        if spec.targets:
            self.regression_trunk = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU())
        self.regression_outputs = nn.ModuleList(nn.Linear(64, 1) for _ in spec.targets)

    @property
    def dimension(self) -> int:
        """D."""
        return self.spec.dimension

    @property
    def metric(self) -> Metric:
        """How vectors are compared."""
        return self.spec.metric

    def features(self, batch: Tensor) -> Tensor:
        """Pool the backbone's features: (N, 3, S, S), z-scaled, to (N, F)."""
        return cast("Tensor", self.trunk(batch))

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare M pairs: row i of ``a`` with row i of ``b``; exchanging them changes nothing.

        Args:
            a: (M, F), features of M images.
            b: (M, F), features of M images.

        Returns:
            (M,), logits of "same sample".

        Raises:
            EncoderError: The two differ in shape.
        """
        if a.shape != b.shape:
            raise EncoderError(
                f"pairs need as many images on both sides: expected {tuple(a.shape)} twice, "
                f"found {tuple(b.shape)}; select rows before comparing"
            )
        return cast("Tensor", self.classifier((a - b).abs())).squeeze(1)

    def regress(self, features: Tensor) -> Tensor:
        """Predict scaled properties (D5): (N, F) to (N, P), P being 0 without a regression head."""
        if not self.spec.targets:
            return features.new_empty((len(features), 0))
        hidden = self.regression_trunk(features)
        return torch.cat([output(hidden) for output in self.regression_outputs], dim=1)

    def embed(self, features: Tensor) -> Tensor:
        """Scale features to length 1: (N, D)."""
        return functional.normalize(features, dim=1)

    def predict(
        self, features: Tensor, pixel_size_um: PixelSize | None = None
    ) -> PropertyPredictions:
        """Predict properties from features, in their own units.

        Args:
            features: (N, F).
            pixel_size_um: Where it is known.

        Returns:
            N values of each; None for a property that the network was never trained on.
        """
        return restore_all(self.spec.targets, self.regress(features), pixel_size_um=pixel_size_um)
