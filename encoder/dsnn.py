"""The Double Siamese Neural Network (Shim et al. 2023, Data-Centric Engineering 4:e21, section 2).

Shapes: N images, M pairs, S pixels a side, F = 512 features of a branch, P properties,
D dimensions of the fused vector (F, or 2 F when split).

Branch 1 learns what looks alike, branch 2 what behaves alike; a gate weighs the two. Where the
paper and its code (RockIR) disagree, docs/design.md D1-D6 decides; the docstrings say which.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn
from torch.nn import functional

from encoder.backbones import FEATURES, BackboneName, ResNetTrunk
from encoder.embedding_model import EmbeddingModel
from encoder.metric import Metric
from encoder.model_errors import EncoderError
from encoder.property_targets import (
    DEFAULT_TARGETS,
    PixelSize,
    PropertyPredictions,
    PropertyTarget,
    restore_all,
)

Fusion = Literal["mean-normalised", "mean-raw", "split"]


class DSNNSpec(BaseModel):
    """What a DSNN is made of: all that is needed to rebuild it around stored weights.

    Attributes:
        kind: Tells specifications apart.
        backbone: ResNet of both branches (D8).
        fusion: How two branches become one vector (D6).
        targets: Outputs of the regression head, P of them (D5).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dsnn"] = "dsnn"
    backbone: BackboneName = "resnet18"
    fusion: Fusion = "mean-normalised"
    targets: tuple[PropertyTarget, ...] = DEFAULT_TARGETS

    @model_validator(mode="after")
    def _check_targets(self) -> DSNNSpec:
        names = [target.name for target in self.targets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"targets must be different properties, at least one, not {names}")
        return self

    @property
    def dimension(self) -> int:
        """D."""
        return 2 * FEATURES if self.fusion == "split" else FEATURES

    @property
    def metric(self) -> Metric:
        """How fused vectors are compared (D6)."""
        return Metric.INNER_PRODUCT if self.fusion == "split" else Metric.L2


class BranchFeatures(NamedTuple):
    """Pooled features of N images.

    Attributes:
        f1: (N, F), of the branch for similar images.
        f2: (N, F), of the branch for similar properties.
    """

    f1: Tensor
    f2: Tensor


class PairOutputs(NamedTuple):
    """What the network says of M pairs of images; all logits, before any sigmoid.

    Attributes:
        z: (M,), the fused classifier, from (w'1 + w'2) / 2.
        z1: (M,), same sample or not, from w1.
        z2: (M,), similar properties or not, from w2.
        gate: (M, 2), s1 and s2, non-negative, of sum 1.
    """

    z: Tensor
    z1: Tensor
    z2: Tensor
    gate: Tensor


class DSNN(EmbeddingModel[BranchFeatures]):
    """Two Siamese branches, a gate, three pair classifiers and a regression head."""

    def __init__(self, spec: DSNNSpec | None = None) -> None:
        """Build it with a random start, drawn from the global generator.

        Args:
            spec: What it is made of; None for the defaults.
        """
        super().__init__()
        self.spec = spec or DSNNSpec()
        self.trunk1 = ResNetTrunk(self.spec.backbone)
        self.trunk2 = ResNetTrunk(self.spec.backbone)
        self.gate = nn.Sequential(
            nn.Linear(2 * FEATURES, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2)
        )
        self.classifier = nn.Linear(FEATURES, 1)
        self.classifier1 = nn.Linear(FEATURES, 1)
        self.classifier2 = nn.Linear(FEATURES, 1)
        self.regression_trunk = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU())
        self.regression_outputs = nn.ModuleList(nn.Linear(64, 1) for _ in self.spec.targets)

    @property
    def dimension(self) -> int:
        """D."""
        return self.spec.dimension

    @property
    def metric(self) -> Metric:
        """How fused vectors are compared."""
        return self.spec.metric

    def features(self, batch: Tensor) -> BranchFeatures:
        """Run both backbones.

        Args:
            batch: (N, 3, S, S), z-scaled.

        Returns:
            f1 and f2, each (N, F). All pairs among them can be compared without encoding again.
        """
        return BranchFeatures(self.trunk1(batch), self.trunk2(batch))

    def compare(self, a: BranchFeatures, b: BranchFeatures) -> PairOutputs:
        """Compare M pairs: row i of ``a`` with row i of ``b`` (Algorithm 1; D1, D2).

        w_i = |f_i(A) - f_i(B)| on pooled vectors, as in the paper (RockIR pools after taking
        differences). (s1, s2) = softmax of the gate's MLP on [w1; w2] (RockIR has one more ReLU
        before it), w'_i = s_i w_i. z1 and z2 are from the ungated w1 and w2. Exchanging ``a`` and
        ``b`` changes nothing.

        Args:
            a: Features of M images.
            b: Features of M images.

        Raises:
            EncoderError: The two differ in shape.
        """
        if a.f1.shape != b.f1.shape or a.f2.shape != b.f2.shape:
            raise EncoderError(
                f"pairs need as many images on both sides: expected {tuple(a.f1.shape)} twice, "
                f"found {tuple(b.f1.shape)}; select rows before comparing"
            )
        w1, w2 = (a.f1 - b.f1).abs(), (a.f2 - b.f2).abs()
        # Everything but the gate's softmax is linear in w1 and w2: each is read once, by the
        # gate's first layer, its own classifier and the fused one, which never needs w'.
        first = cast("nn.Linear", self.gate[0])
        hidden = first.out_features
        gate1, gate2 = first.weight[:, :FEATURES], first.weight[:, FEATURES:]
        read1 = torch.cat([gate1, self.classifier1.weight, self.classifier.weight])
        read2 = torch.cat([gate2, self.classifier2.weight, self.classifier.weight])
        part1, part2 = functional.linear(w1, read1), functional.linear(w2, read2)
        inner = part1[:, :hidden] + part2[:, :hidden] + first.bias
        gate = self.gate[1:](inner).softmax(dim=1)
        fused = (gate[:, 0] * part1[:, -1] + gate[:, 1] * part2[:, -1]) / 2
        return PairOutputs(
            z=fused + self.classifier.bias,
            z1=part1[:, hidden] + self.classifier1.bias,
            z2=part2[:, hidden] + self.classifier2.bias,
            gate=gate,
        )

    def regress(self, f2: Tensor) -> Tensor:
        """Predict scaled properties (D5): what the regression loss is computed on.

        Args:
            f2: (N, F), features of branch 2.

        Returns:
            (N, P), in the scale of ``spec.targets``.
        """
        hidden = self.regression_trunk(f2)
        return torch.cat([output(hidden) for output in self.regression_outputs], dim=1)

    def embed(self, features: BranchFeatures) -> Tensor:
        """Fuse both branches into the vectors that are stored (D6).

        ``mean-normalised``: (f1/|f1| + f2/|f2|) / 2 (RockIR). ``mean-raw``: (f1 + f2) / 2 (paper).
        ``split``: [f1/|f1| ; f2/|f2|].

        Returns:
            (N, D).
        """
        if self.spec.fusion == "mean-raw":
            return (features.f1 + features.f2) / 2
        unit1, unit2 = (functional.normalize(branch, dim=1) for branch in features)
        if self.spec.fusion == "mean-normalised":
            return (unit1 + unit2) / 2
        return torch.cat([unit1, unit2], dim=1)

    def embed_query(self, features: BranchFeatures, *, weight: float) -> Tensor:
        """Fuse both branches into vectors to ask with (D6).

        The inner product with a stored split vector is
        weight · cos(f1, f1') + (1 - weight) · cos(f2, f2').

        Args:
            features: Of N query images.
            weight: From 0 (what behaves like it) to 1 (what looks like it).

        Returns:
            (N, D).

        Raises:
            EncoderError: The fusion is not ``split``, or the weight is out of range.
        """
        if self.spec.fusion != "split":
            raise EncoderError(
                f"fusion {self.spec.fusion!r} can't weigh looks against behaviour: both are mixed "
                "in one vector; index with dsnn-split for that"
            )
        if not 0.0 <= weight <= 1.0:
            raise EncoderError(
                f"weight {weight} is out of range; give one from 0 (behaves like) to 1 (looks like)"
            )
        half1, half2 = self.embed(features).chunk(2, dim=1)
        return torch.cat([weight * half1, (1.0 - weight) * half2], dim=1)

    def encode_query(self, batch: Tensor, *, weight: float) -> Tensor:
        """Encode query images: ``embed_query`` of their features.

        Args:
            batch: (N, 3, S, S), z-scaled.
            weight: From 0 to 1.

        Raises:
            EncoderError: As ``embed_query``.
        """
        return self.embed_query(self.features(batch), weight=weight)

    def predict(
        self, features: BranchFeatures, pixel_size_um: PixelSize | None = None
    ) -> PropertyPredictions:
        """Predict properties from features, in their own units.

        Args:
            features: Of N images.
            pixel_size_um: Needed by imported RockIR weights, which predict log10(k / pixel²) / 5.

        Returns:
            N values of each; None for a property that the network was never trained on, or whose
            pixel size is not known.
        """
        return restore_all(
            self.spec.targets, self.regress(features.f2), pixel_size_um=pixel_size_um
        )

    def predict_properties(
        self, batch: Tensor, *, pixel_size_um: PixelSize | None = None
    ) -> PropertyPredictions:
        """Predict the properties of images; only branch 2 is run.

        Args:
            batch: (N, 3, S, S), z-scaled.
            pixel_size_um: As ``predict``.
        """
        outputs = self.regress(cast("Tensor", self.trunk2(batch)))
        return restore_all(self.spec.targets, outputs, pixel_size_um=pixel_size_um)
