"""Encoders by name, and what their networks are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from encoder.dsnn import DSNN, DSNNSpec
from encoder.model_errors import EncoderError
from encoder.property_targets import DEFAULT_TARGETS
from encoder.siamese import SiameseResNet, SiameseSpec
from encoder.vanilla import VanillaResNet, VanillaSpec

if TYPE_CHECKING:
    from encoder.backbones import BackboneName
    from encoder.embedding_model import EmbeddingModel
    from encoder.metric import Metric

Spec = DSNNSpec | SiameseSpec | VanillaSpec
"""What a network is made of."""

Architecture = Annotated[Spec, Field(discriminator="kind")]
"""The same, as JSON tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderEntry:
    """An encoder that can be asked for by name.

    Attributes:
        summary: What it is, in a line.
        architecture: What it is made of, unless a bundle says more.
    """

    summary: str
    architecture: Spec

    @property
    def backbone(self) -> BackboneName:
        """ResNet whose pretrained weights it starts from."""
        return self.architecture.backbone

    @property
    def dimension(self) -> int:
        """D."""
        return self.architecture.dimension

    @property
    def metric(self) -> Metric:
        """How its vectors are compared."""
        return self.architecture.metric

    def admits(self, architecture: Spec) -> bool:
        """Whether a network of this architecture may bear the name."""
        return _traits(self.architecture) == _traits(architecture)


ENCODERS: dict[str, EncoderEntry] = {
    "dsnn": EncoderEntry(
        summary="Double Siamese network: mean of its two branches",
        architecture=DSNNSpec(),
    ),
    "dsnn-split": EncoderEntry(
        summary="Double Siamese network: both branches side by side, weighed when asking",
        architecture=DSNNSpec(fusion="split"),
    ),
    "siamese-resnet18": EncoderEntry(
        summary="Siamese ResNet-18: one branch, trained on pairs",
        architecture=SiameseSpec(backbone="resnet18"),
    ),
    "siamese-resnet34": EncoderEntry(
        summary="Siamese ResNet-34: the same, deeper",
        architecture=SiameseSpec(backbone="resnet34"),
    ),
    "siamese-resnet34-regression": EncoderEntry(
        summary="Siamese ResNet-34 that predicts properties too: one branch, several tasks",
        architecture=SiameseSpec(backbone="resnet34", targets=DEFAULT_TARGETS),
    ),
    "resnet34-imagenet": EncoderEntry(
        summary="ResNet-34 as trained on ImageNet: the paper's vanilla baseline",
        architecture=VanillaSpec(backbone="resnet34"),
    ),
    "resnet18-imagenet": EncoderEntry(
        summary="ResNet-18 as trained on ImageNet: the same, smaller",
        architecture=VanillaSpec(backbone="resnet18"),
    ),
}
"""Encoders by name."""


def find_entry(name: str) -> EncoderEntry:
    """Look an encoder up.

    Args:
        name: Its name.

    Raises:
        EncoderError: There is none of that name.
    """
    if name not in ENCODERS:
        raise EncoderError(f"encoder {name!r} is unknown; use one of {', '.join(ENCODERS)}")
    return ENCODERS[name]


def build_model(architecture: Spec) -> EmbeddingModel[Any]:
    """Build a network with a random start, drawn from the global generator, in evaluation mode.

    Args:
        architecture: What it is made of.
    """
    if isinstance(architecture, DSNNSpec):
        return DSNN(architecture).eval()
    if isinstance(architecture, SiameseSpec):
        return SiameseResNet(architecture).eval()
    return VanillaResNet(architecture).eval()


def _traits(architecture: Spec) -> tuple[str, BackboneName, int, Metric, bool]:
    """What all networks of a name share."""
    return (
        architecture.kind,
        architecture.backbone,
        architecture.dimension,
        architecture.metric,
        isinstance(architecture, SiameseSpec) and bool(architecture.targets),
    )
