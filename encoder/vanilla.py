"""The vanilla baseline: a single backbone's pooled features (Shim et al. 2023, Table 1).

Shapes: N images, S pixels a side, D = 512 dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from pydantic import BaseModel, ConfigDict
from torch.nn import functional

from encoder.backbones import FEATURES, BackboneName, ResNetTrunk
from encoder.embedding_model import EmbeddingModel
from encoder.metric import Metric

if TYPE_CHECKING:
    from torch import Tensor


class VanillaSpec(BaseModel):
    """What a vanilla encoder is made of.

    Attributes:
        kind: Tells specifications apart.
        backbone: Which ResNet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vanilla"] = "vanilla"
    backbone: BackboneName

    @property
    def dimension(self) -> int:
        """D."""
        return FEATURES

    @property
    def metric(self) -> Metric:
        """Euclidean distance between unit vectors, as RockIR ranks; cosine gives the same order."""
        return Metric.L2


class VanillaResNet(EmbeddingModel["Tensor"]):
    """Pooled features of one ResNet, each vector scaled to length 1."""

    def __init__(self, spec: VanillaSpec) -> None:
        """Build it with a random start, drawn from the global generator.

        Args:
            spec: What it is made of.
        """
        super().__init__()
        self.spec = spec
        self.trunk = ResNetTrunk(spec.backbone)

    @property
    def dimension(self) -> int:
        """D."""
        return self.spec.dimension

    @property
    def metric(self) -> Metric:
        """How vectors are compared."""
        return self.spec.metric

    def features(self, batch: Tensor) -> Tensor:
        """Pool the backbone's features: (N, 3, S, S), z-scaled, to (N, D)."""
        return cast("Tensor", self.trunk(batch))

    def embed(self, features: Tensor) -> Tensor:
        """Scale features to length 1: (N, D)."""
        return functional.normalize(features, dim=1)
