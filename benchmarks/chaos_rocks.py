"""The scans of a run of chaos: small pictures and volumes that look different from each other."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image

from encoder.bundle import load_bundle, save_bundle
from encoder.decoding import DecodeOptions, decode_scan
from encoder.encoders import build_encoder
from encoder.inference import EncodingSession
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chaos_plan import Content

PLANES = 3
"""Slices of a volume."""

_SIDE = 32
_STORED_PLANES = 8


def content_bytes(content: Content) -> bytes:
    """What an object's bytes are."""
    random = np.random.default_rng((7, content.seed))
    if content.suffix == ".tif":
        volume = np.stack([_pattern(random) for _ in range(_STORED_PLANES)])
        file = io.BytesIO()
        tifffile.imwrite(file, volume, photometric="minisblack")
        whole = file.getvalue()
    else:
        file = io.BytesIO()
        Image.fromarray(_pattern(random)).save(file, "png")
        whole = file.getvalue()
    # cut in the middle of the pixels: damaged as by an upload that broke off
    return whole[: len(whole) // 2] if content.is_damaged else whole


def _pattern(random: np.random.Generator) -> NDArray[np.uint8]:
    """Blocks, stripes or grains of their own size and contrast: vectors far from each other."""
    cell = int(random.choice([1, 2, 4, 8, 16]))
    grid = random.uniform(0, 1, (_SIDE // cell, _SIDE // cell)) ** random.uniform(0.3, 4)
    pattern = np.kron(grid, np.ones((cell, cell)))
    if random.random() < 0.5:
        waves = np.sin(np.arange(_SIDE) * random.uniform(0.2, 3) + random.uniform(0, 6))
        stripes = waves if random.random() < 0.5 else waves[:, np.newaxis]
        pattern = pattern + random.uniform(0.5, 3) * stripes
    low, high = pattern.min(), pattern.max()
    scaled = (pattern - low) / max(high - low, 1e-9) * 255
    return np.ascontiguousarray(scaled.astype(np.uint8))


def small_bundle(folder: Path, seed: int = 0) -> Path:
    """A bundle that encodes in milliseconds."""
    preprocessing = Preprocessing(size=_SIDE, slicing=Slicing(planes=PLANES))
    encoder = build_encoder("resnet18-imagenet", f"seed:{seed}", preprocessing=preprocessing)
    save_bundle(folder, encoder)
    return folder


class LocalEncoder:
    """What a bundle makes of a content, without any part of the stack."""

    def __init__(self, bundle: Path) -> None:
        """Load a bundle."""
        encoder = load_bundle(bundle)
        self._session = EncodingSession(encoder)
        self._options = DecodeOptions.for_encoding(encoder.preprocessing)
        self._known: dict[tuple[str, int], NDArray[np.float32]] = {}

    def vectors(self, content: Content) -> NDArray[np.float32]:
        """Vectors of its slices, (N, D); none of one that nobody can read."""
        if content.is_damaged:
            return np.empty((0, 0), np.float32)
        name = (content.suffix, content.seed)
        if name not in self._known:
            self._known[name] = self._encoded(content)
        return self._known[name]

    def _encoded(self, content: Content) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory(prefix="lithoscope-") as folder:
            path = Path(folder) / f"scan{content.suffix}"
            path.write_bytes(content_bytes(content))
            decoded = decode_scan(path, self._options)
        return self._session.encode(np.stack([piece.pixels for piece in decoded.slices]))
