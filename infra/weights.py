"""Pretrained weights: found on disk, or fetched as torchvision does it.

The core never looks for weights: it is given a path, which is found here.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
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

_CHUNK_BYTES = 1 << 20

TIMEOUT_SECONDS = 30.0
"""How long a site may be silent, before it answers and while it sends."""


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
    try:
        return fetch(wanted, Path(torch.hub.get_dir()) / "checkpoints")
    except WeightsError as error:
        if folder is None:
            raise
        raise WeightsError(
            f"{error} (LITHOSCOPE_WEIGHTS_DIR is {folder}, which holds no {wanted.name})"
        ) from error


def fetch(wanted: PretrainedFile, cache: Path, *, timeout: float = TIMEOUT_SECONDS) -> Path:
    """Download a file into a cache, unless it is there.

    Args:
        wanted: The file.
        cache: Folder to keep it in.
        timeout: How long the site may be silent, in seconds.

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
        _download(wanted, path, timeout=timeout)
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"{wanted.name}: can't be downloaded from {wanted.url} ({error}); put the file into a "
            "folder and set LITHOSCOPE_WEIGHTS_DIR to it, or ask for an untrained start by seed:N"
        ) from error
    return path


def _download(wanted: PretrainedFile, path: Path, *, timeout: float) -> None:
    """Write a file that appears whole, or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        digest = hashlib.sha256()
        with (
            os.fdopen(descriptor, "wb") as file,
            urllib.request.urlopen(wanted.url, timeout=timeout) as answer,  # noqa: S310  an address of ours
        ):
            while chunk := answer.read(_CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        found = digest.hexdigest()[:_CHECKSUM_DIGITS]
        if found != wanted.checksum:
            raise OSError(f"SHA-256 expected {wanted.checksum}…, found {found}…")
        partial.chmod(0o644)  # mkstemp's files are the owner's alone
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
