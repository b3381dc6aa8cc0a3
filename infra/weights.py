"""Pretrained weights: found on disk, or fetched as torchvision does it.

The core never looks for weights: it is given a path, which is found here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torchvision.models import (  # type: ignore[import-untyped]  # ships no types
    ResNet18_Weights,
    ResNet34_Weights,
)

from encoder.initialisation import Seed, Stored, parse_init
from encoder.model_errors import WeightsError
from infra.settings import load_settings

_CHECKSUM_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedFile:
    """A weights file that a site publishes, named after its own checksum.

    Attributes:
        url: Where it is; its name ends in ``-<first 8 digits of its SHA-256>.pth``.
    """

    url: str

    @property
    def name(self) -> str:
        """File name."""
        return Path(urlparse(self.url).path).name

    @property
    def checksum(self) -> str:
        """First digits of its SHA-256."""
        return Path(self.name).stem.rsplit("-", maxsplit=1)[-1]


PRETRAINED = {
    "resnet18": PretrainedFile(url=ResNet18_Weights.IMAGENET1K_V1.url),
    "resnet34": PretrainedFile(url=ResNet34_Weights.IMAGENET1K_V1.url),
}
"""torchvision's ImageNet weights: ``resnet18-f37072fd.pth`` and ``resnet34-b627a593.pth``."""


def find_weights(backbone: str, init: str) -> Path | None:
    """Find where an encoder's weights are.

    Args:
        backbone: Name in ``PRETRAINED``.
        init: ``imagenet``, ``seed:N``, or the path of a bundle or weights file.

    Returns:
        None for ``seed:N``; the path itself; or for ``imagenet`` the file in
        LITHOSCOPE_WEIGHTS_DIR, else in torch's cache, else freshly downloaded into that.

    Raises:
        WeightsError: ``init`` is not understood, the file is damaged, or can't be had.
        SettingsError: LITHOSCOPE_WEIGHTS_DIR is no folder.
    """
    start = parse_init(init)
    if isinstance(start, Seed):
        return None
    if isinstance(start, Stored):
        return start.path
    if backbone not in PRETRAINED:
        raise WeightsError(
            f"backbone {backbone!r} has no ImageNet weights; use one of {', '.join(PRETRAINED)}"
        )
    wanted = PRETRAINED[backbone]
    folder = load_settings().weights_dir
    if folder is not None and (folder / wanted.name).is_file():
        return _verified(folder / wanted.name, wanted)
    return fetch(wanted, Path(torch.hub.get_dir()) / "checkpoints")


def fetch(wanted: PretrainedFile, cache: Path) -> Path:
    """Download a file into a cache, unless it is there.

    Args:
        wanted: The file.
        cache: Folder to keep it in.

    Returns:
        Its path; its checksum is right.

    Raises:
        WeightsError: It is damaged, or can't be had; the text names the way without internet.
    """
    path = cache / wanted.name
    if path.is_file():
        return _verified(path, wanted)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            wanted.url, str(path), hash_prefix=wanted.checksum, progress=False
        )
    except (OSError, HTTPException, RuntimeError) as error:  # the last: another checksum
        raise WeightsError(
            f"{wanted.name}: can't be downloaded from {wanted.url} ({error}); put the file into a "
            "folder and set LITHOSCOPE_WEIGHTS_DIR to it, or ask for an untrained start by seed:N"
        ) from error
    return path


def _verified(path: Path, wanted: PretrainedFile) -> Path:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()[:_CHECKSUM_DIGITS]
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror}); fetch it again") from error
    if found != wanted.checksum:
        raise WeightsError(
            f"{path}: damaged (SHA-256 expected {wanted.checksum}…, found {found}…); "
            f"fetch it again from {wanted.url}"
        )
    return path
