"""One picture stored in three depths is one picture: the same tensor, and each other's nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, ImageFilter

from encoder.cutting import DecodeOptions
from encoder.decoding import decode_scan
from encoder.encoders import build_encoder
from encoder.inference import EncodingSession
from encoder.preprocess import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OTHERS = 1000
SIZE = 64


def textures(number: int) -> NDArray[np.uint8]:
    """Smoothed noise of several grain sizes and contrasts, (number, 96, 80)."""
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(number):
        noise = Image.fromarray(rng.integers(0, 256, (96, 80), dtype=np.uint8))
        grains = np.asarray(noise.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 3.0))))
        grains = 128 + rng.uniform(30, 60) * (grains - grains.mean()) / grains.std()
        drawn.append(np.clip(grains, 0, 255).astype(np.uint8))
    return np.stack(drawn)


def test_depth_of_storage_does_not_matter(tmp_path: Path) -> None:
    pictures = textures(OTHERS + 1)
    encoder = build_encoder("dsnn", "seed:0", preprocessing=Preprocessing(size=SIZE))
    options = DecodeOptions.for_encoding(encoder.preprocessing)
    twin = pictures[0]
    Image.fromarray(twin).save(tmp_path / "twin.png")
    tifffile.imwrite(tmp_path / "twin.tif", twin.astype(np.uint16) * 257)
    np.save(tmp_path / "twin.npy", twin.astype(np.float64) / 255)
    twins = [
        decode_scan(tmp_path / f"twin.{kind}", options).slices[0].pixels
        for kind in ("png", "tif", "npy")
    ]
    spread = np.stack(twins).astype(int)
    assert np.ptp(spread, axis=0).max() <= 1

    others = []
    for number, picture in enumerate(pictures[1:]):
        path = tmp_path / f"{number}.bmp"
        Image.fromarray(picture).save(path)
        others.append(decode_scan(path, options).slices[0].pixels)
    vectors = EncodingSession(encoder).encode(np.stack([*twins, *others]))
    distances = np.linalg.norm(vectors[:3, np.newaxis] - vectors[np.newaxis], axis=2)
    nearest = np.argsort(distances, axis=1)[:, :3]
    assert [set(row) for row in nearest.tolist()] == [{0, 1, 2}] * 3
