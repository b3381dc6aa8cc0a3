"""Where weights come from: ``imagenet``, ``seed:N``, a bundle or a file (docs/design.md D8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from encoder.model_errors import WeightsError

SEED_END = 2**63
"""Seeds lie below it: larger ones don't fit torch's generator."""


_SHOWN = 100
"""Characters of a wrong init that an error repeats."""


@dataclass(frozen=True, slots=True)
class ImageNet:
    """Backbones as torchvision trained them on ImageNet."""


@dataclass(frozen=True, slots=True)
class Seed:
    """Untrained weights.

    Attributes:
        number: Seed that they are drawn with.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Weights on disk.

    Attributes:
        path: Folder of a bundle, or a file with a backbone's weights.
    """

    path: Path


Init = ImageNet | Seed | Stored


def parse_init(text: str) -> Init:
    """Understand what a user wrote.

    Args:
        text: ``imagenet``, ``seed:N`` or the path of a bundle or weights file.

    Raises:
        WeightsError: It is none of them.
    """
    if text == "imagenet":
        return ImageNet()
    seed = re.fullmatch(r"seed:0*(\d{1,19})", text, re.ASCII)  # Python won't read any number
    if seed and int(seed[1]) < SEED_END:
        return Seed(int(seed[1]))
    if text and not text.startswith("seed:") and _exists(Path(text)):
        return Stored(Path(text))
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    raise WeightsError(
        f"init {shown!r} is not understood; use imagenet, seed:N (N from 0, below 2^63), "
        "or the path of a bundle or weights file that exists"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a path may be, or with a NUL
        return False
