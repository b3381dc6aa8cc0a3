"""A micro-CT scanner for synthetic rocks: phases in, 16-bit volume with its artefacts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.rock_minerals import Phase, optics_table
from trainer.rock_noise import box_blur, grain_noise, smooth_noise, threshold_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.rock_families import Recipe, Scanner
    from trainer.rock_structure import RockStructure

_QUARTZ_GREY = 0.55
_NOISE_BLUR = 0.12
"""Reconstruction smooths its own noise a little: neighbours' weight."""
_COATS = 4.0
"""Concentric coats of an ooid."""
_CRACKED = 0.35
"""Share of the grain contacts that are open by less than a voxel."""


def scan_volume(
    rock: RockStructure, recipe: Recipe, *, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Take a micro-CT volume of a sample.

    Args:
        rock: The sample, arrays (P, H, W).
        recipe: Its recipe; the scanner and the coats of its grains are read.
        rng: Source of randomness.

    Returns:
        Uint16 volume (P, H, W).
    """
    scanner = recipe.scanner
    grey = attenuation(rock, recipe, rng=rng)
    for _ in range(2):
        grey = box_blur(grey, scanner.blur)
    noise = grain_noise(rng, grey.shape)
    noise = box_blur(noise, _NOISE_BLUR)
    # Photon counts make bright voxels noisier; the blur above took a part of the variance.
    noise *= np.sqrt(np.float32(0.4) + np.float32(0.6 / _QUARTZ_GREY) * np.abs(grey))
    grey += np.float32(scanner.noise / _blur_loss(_NOISE_BLUR, grey.ndim)) * noise
    grey += _artefacts(scanner, (grey.shape[1], grey.shape[2]), rng=rng)
    stored = np.rint(grey * np.float32(scanner.gain) + np.float32(scanner.offset))
    volume: NDArray[np.uint16] = np.clip(stored, 0, 65535).astype(np.uint16)
    return volume


def attenuation(
    rock: RockStructure, recipe: Recipe, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise-free grey of every voxel: phase, the grain's own shade, mottles, coats, contacts.

    Returns:
        Float32 array of the sample's shape.
    """
    count = int(rock.grain.max(initial=-1)) + 2
    shade = np.float32(2.0) * rng.random(count, dtype=np.float32) - np.float32(1.0)
    grey = optics_table("attenuation")[rock.phase]
    grey += optics_table("spread")[rock.phase] * shade[rock.grain]
    mottles = smooth_noise(rng, grey.shape, sigma=1.3)
    grey += optics_table("mottling")[rock.phase] * mottles
    solid = rock.phase != Phase.PORE
    if recipe.oolitic:
        grey += np.where(solid, np.float32(recipe.oolitic) * _coats(rock, recipe), np.float32(0))
    contact = smooth_noise(rng, grey.shape, sigma=recipe.grain_radius)
    cracked = contact > threshold_at(contact, _CRACKED)
    cracked &= solid & (rock.seam * np.float32(recipe.grain_radius) < 0.5)
    cracked &= rock.depth < 1.6
    grey[cracked] -= np.float32(0.16)
    return grey


def _coats(rock: RockStructure, recipe: Recipe) -> NDArray[np.float32]:
    """Triangle wave through an ooid's coats, -1 to 1, or how deep in a crystal's cloudy core."""
    if recipe.oolitic < 0:
        core: NDArray[np.float32] = np.float32(1.0) - np.float32(1.6) * rock.depth
        return np.maximum(core, np.float32(0.0))
    phase = rock.depth * np.float32(_COATS) + np.float32(0.37) * (rock.grain % 5)
    wave = np.abs(phase - np.floor(phase) - np.float32(0.5)) * np.float32(4.0) - np.float32(1.0)
    wave[rock.depth > 1.0] = 0.0
    return wave.astype(np.float32)


def _blur_loss(weight: float, dimensions: int) -> float:
    """Factor by which `box_blur` shrinks the standard deviation of white noise."""
    energy = (1.0 - 2.0 * weight) ** 2 + 2.0 * weight * weight
    return float(energy ** (dimensions / 2))


def _artefacts(
    scanner: Scanner, size: tuple[int, int], *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rings about the axis of rotation and beam hardening's cup, (H, W), alike in all planes."""
    height, width = size
    middle_row = int(rng.integers(-height // 3, height + height // 3))
    middle_column = int(rng.integers(-width // 3, width + width // 3))
    rows = (np.arange(height) - middle_row)[:, None]
    columns = (np.arange(width) - middle_column)[None, :]
    radius = np.sqrt((rows * rows + columns * columns).astype(np.float64))
    ring = radius.astype(np.int64)
    profile = grain_noise(rng, (int(ring.max()) + 1,))
    # Few detector columns are bad: only the strongest deviations show.
    profile[np.abs(profile) < 1.4] *= np.float32(0.25)
    cup = (radius / (1.5 * max(height, width))) ** 2
    return (scanner.rings * profile[ring] + scanner.cupping * cup).astype(np.float32)
