"""Backbones made quick for inference: batch norm folded away, channels-last, in bf16 if wanted.

Shapes: N images, S pixels a side, F features; feature maps are (N, channels, H, W).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from encoder.backbones import ResNetTrunk, pool

if TYPE_CHECKING:
    from torchvision.models import resnet  # type: ignore[import-untyped]  # ships no types

Model = TypeVar("Model", bound=nn.Module)


class _FoldedBlock(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, block: resnet.BasicBlock) -> None:
        super().__init__()
        self.first = fuse_conv_bn_eval(block.conv1, block.bn1)
        self.second = fuse_conv_bn_eval(block.conv2, block.bn2)
        self.shortcut = (
            nn.Identity() if block.downsample is None else fuse_conv_bn_eval(*block.downsample)
        )

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu_(self.first(maps))
        return functional.relu_(self.second(inner).add_(self.shortcut(maps)))


class FoldedTrunk(nn.Module):
    """The inference form of a ``ResNetTrunk``: same input, same features to rounding.

    Batch norm is folded into the convolutions in float32 before anything is rounded; pooling is
    in float32. In float32 its features agree with the trunk's to about 1e-6 of their size.
    """

    def __init__(self, trunk: ResNetTrunk, dtype: torch.dtype) -> None:
        """Fold a trunk.

        Args:
            trunk: Backbone in evaluation mode; it is left as it is.
            dtype: What convolutions compute in: float32 or bfloat16.
        """
        super().__init__()
        self.dtype = dtype
        self.stem = fuse_conv_bn_eval(trunk.conv1, trunk.bn1)
        self.blocks = nn.ModuleList(_FoldedBlock(block) for block in trunk.blocks())
        self.to(dtype).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Compute pooled features.

        Args:
            images: (N, 3, S, S), z-scaled, float32.

        Returns:
            (N, F), float32.
        """
        maps = images.to(dtype=self.dtype, memory_format=torch.channels_last)
        # The maximum commutes with ReLU: after pooling there is a quarter of it to do.
        maps = functional.relu_(halve_by_maximum(self.stem(maps)))
        for block in self.blocks:
            maps = block(maps)
        return pool(maps)


def fold_trunks(model: Model, dtype: torch.dtype) -> Model:
    """Copy a model for inference, with every backbone in it folded.

    Args:
        model: Any model that contains ``ResNetTrunk`` modules.
        dtype: What the backbones' convolutions compute in; the rest stays as it is.

    Returns:
        The copy, in evaluation mode, without gradients.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    for module in list(folded.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ResNetTrunk):
                setattr(module, name, FoldedTrunk(child, dtype))
    return folded


def halve_by_maximum(maps: Tensor) -> Tensor:
    """Max-pool exactly as ``max_pool2d`` with window 3, stride 2, padding 1; on CPUs quicker.

    torch's own kernel keeps the place of every maximum, which inference has no use for: as maxima
    of shifted views it takes a third of the time.

    Args:
        maps: (N, channels, H, W).

    Returns:
        (N, channels, ceil(H / 2), ceil(W / 2)).
    """
    if maps.is_cuda:
        return functional.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
    rows = _largest(maps[:, :, 0::2], maps[:, :, 1::2], axis=2)
    return _largest(rows[:, :, :, 0::2], rows[:, :, :, 1::2], axis=3)


def _largest(even: Tensor, odd: Tensor, *, axis: int) -> Tensor:
    """Take the maximum of odd[i - 1], even[i] and odd[i] along an axis, for every i there is."""
    largest = even.clone(memory_format=torch.channels_last)
    here = largest.narrow(axis, 0, odd.shape[axis])
    torch.maximum(here, odd, out=here)
    n_after = even.shape[axis] - 1
    after = largest.narrow(axis, 1, n_after)
    torch.maximum(after, odd.narrow(axis, 0, n_after), out=after)
    return largest
