"""Backbones: torchvision's ResNets up to the pooled features.

Shapes: N images, S pixels a side, F features (512 for ResNet-18 and ResNet-34).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet  # type: ignore[import-untyped]  # ships no types

from encoder.model_errors import WeightsError
from encoder.state_files import fit_state, read_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BackboneName = Literal["resnet18", "resnet34"]

FEATURES = 512
"""F: channels of the last stage of a ResNet of basic blocks."""

_CLASSIFIER = "fc."

_drawing = threading.Lock()
"""Held while the process's one CPU generator is another's: see ``seeded``."""


class ResNetTrunk(nn.Module):
    """A torchvision ResNet without its classifier (He et al. 2016, arXiv 1512.03385, Table 1).

    Parameters bear torchvision's own names, so that its state dicts fit.
    """

    def __init__(self, name: BackboneName) -> None:
        """Build it with torchvision's random start, drawn from the global generator.

        Args:
            name: Which ResNet.
        """
        super().__init__()
        network = getattr(resnet, name)(weights=None)
        self.name: BackboneName = name
        self.conv1: nn.Conv2d = network.conv1
        self.bn1: nn.BatchNorm2d = network.bn1
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1: nn.Sequential = network.layer1
        self.layer2: nn.Sequential = network.layer2
        self.layer3: nn.Sequential = network.layer3
        self.layer4: nn.Sequential = network.layer4

    def forward(self, images: Tensor) -> Tensor:
        """Compute pooled features.

        Args:
            images: (N, 3, S, S), z-scaled.

        Returns:
            (N, F); averaged over the plane in float32 at least, also under autocast: the average
            of 49 rounded numbers is more precise than a rounded average.
        """
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return pool(maps)

    def blocks(self) -> Iterator[resnet.BasicBlock]:
        """Iterate over the residual blocks in order."""
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            yield from layer


def pool(maps: Tensor) -> Tensor:
    """Average feature maps over the plane: (N, F, H, W) to (N, F), in float32 at least."""
    return maps.mean(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw reproducibly inside the block; the global generators are left as they were.

    torch's layers draw their start from one generator for the whole process. Blocks of several
    threads therefore wait for each other (don't nest them), but a thread that draws from that
    generator outside such a block spoils the numbers of one that runs meanwhile: it must not.

    Args:
        seed: From 0, below 2^63.
    """
    # torch.manual_seed would also reseed the generators of every GPU.
    with _drawing, torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def load_trunk(name: BackboneName, path: Path) -> ResNetTrunk:
    """Read a backbone's weights, such as those that torchvision offers.

    Args:
        name: Which ResNet.
        path: ``.pth`` file of plain tensors, or safetensors. A classifier in it is left out.

    Returns:
        The backbone, in evaluation mode.

    Raises:
        WeightsError: The file can't be read, or holds another network.
    """
    with torch.device("meta"):  # shapes only: nothing is drawn
        trunk = ResNetTrunk(name)
    found = {
        key: value for key, value in read_state(path).items() if not key.startswith(_CLASSIFIER)
    }
    try:
        state = fit_state(trunk.state_dict(), found)
    except WeightsError as error:
        raise WeightsError(
            f"{path}: not the weights of {name} ({error}); name a file made for {name}"
        ) from error
    trunk.load_state_dict(state, assign=True)
    return trunk.eval()
