"""Thin sections of synthetic rocks: blue-dyed epoxy in the pores, 16-bit RGB.

A thin section is 30 micrometres of rock between glass, seen in transmitted light: pores show
the dyed epoxy, carbonates an alizarin stain, clay and micrite are brown, dense minerals opaque.
Between crossed polarisers each grain has the grey or yellow of how it happens to lie.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trainer.rock_minerals import Phase
from trainer.rock_noise import box_blur, grain_noise, smooth_noise
from trainer.rock_structure import RockStructure, grow_rock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.rock_families import Recipe

MAGNIFICATION = 1.6
"""Pixels of a thin section to a voxel of the same rock's volume."""

_PLAIN = {
    Phase.PORE: (0.20, 0.72, 0.78),
    Phase.QUARTZ: (0.90, 0.90, 0.86),
    Phase.FELDSPAR: (0.82, 0.78, 0.69),
    Phase.LITHIC: (0.56, 0.46, 0.36),
    Phase.CLAY: (0.42, 0.31, 0.21),
    Phase.CALCITE: (0.90, 0.86, 0.78),
    Phase.DOLOMITE: (0.87, 0.83, 0.73),
    Phase.MICRITE: (0.58, 0.48, 0.37),
    Phase.DENSE: (0.05, 0.045, 0.04),
}
"""Colours in plane-polarised light."""
_CROSSED = {
    Phase.PORE: (0.04, 0.33, 0.42),
    Phase.QUARTZ: (0.78, 0.77, 0.72),
    Phase.FELDSPAR: (0.60, 0.61, 0.62),
    Phase.LITHIC: (0.40, 0.34, 0.27),
    Phase.CLAY: (0.30, 0.21, 0.12),
    Phase.CALCITE: (0.80, 0.66, 0.58),
    Phase.DOLOMITE: (1.00, 0.90, 0.70),
    Phase.MICRITE: (0.34, 0.21, 0.17),
    Phase.DENSE: (0.02, 0.02, 0.02),
}
"""Brightest colours between crossed polarisers (not quite crossed: the epoxy still shows)."""
_SPECKLE = np.array([0.03, 0.03, 0.09, 0.22, 0.26, 0.07, 0.07, 0.20, 0.01], dtype=np.float32)
"""Fine texture of every phase, by code, as a share of its brightness."""
_COATS = 5.0
"""Concentric coats of an ooid."""
_CLEAVED = (Phase.FELDSPAR, Phase.CALCITE, Phase.DOLOMITE)
_STAINED = {Phase.CALCITE: (0.93, 0.72, 0.70), Phase.MICRITE: (0.81, 0.58, 0.57)}
"""Share of the light that alizarin red S leaves; dolomite doesn't take it."""
_WARM_LIGHT = (1.0, 0.97, 0.90)


def photograph_thin_section(
    recipe: Recipe, side: int, *, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Cut and photograph a thin section of a sample.

    Args:
        recipe: The sample's recipe, lengths in voxels of its volume; a pixel of the picture is
            `MAGNIFICATION` times smaller than a voxel.
        side: Height and width in pixels.
        rng: Source of randomness.

    Returns:
        Uint16 picture (side, side, 3).
    """
    enlarged = replace(
        recipe,
        grain_radius=recipe.grain_radius * MAGNIFICATION,
        blob_sigma=recipe.blob_sigma * MAGNIFICATION,
    )
    rock = grow_rock(enlarged, (side, side), rng=rng)
    picture = _colours(rock, enlarged, rng=rng)
    picture *= _relief(rock, enlarged, rng=rng)[..., None]
    for channel in range(3):
        picture[..., channel] = box_blur(picture[..., channel], 0.22)
    picture *= _lamp(side)[..., None] * np.array(_WARM_LIGHT, dtype=np.float32)
    picture += np.float32(0.012) * grain_noise(rng, picture.shape)
    stored: NDArray[np.uint16] = np.rint(np.clip(picture, 0, 1) * np.float32(65535)).astype(
        np.uint16
    )
    return stored


def _colours(
    rock: RockStructure, recipe: Recipe, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Colour of every pixel from its phase and its grain's own tint, (H, W, 3)."""
    palette = _CROSSED if recipe.polarised else _PLAIN
    table = np.array([palette[phase] for phase in Phase], dtype=np.float32)
    for phase, left in _STAINED.items():
        table[phase] *= 1.0 - recipe.stain * (1.0 - np.array(left, dtype=np.float32))
    picture: NDArray[np.float32] = table[rock.phase]
    count = int(rock.grain.max(initial=-1)) + 2
    tint = _grain_tints(count, crossed=recipe.polarised, rng=rng)[rock.grain]
    isotropic = np.isin(rock.phase, (Phase.PORE, Phase.CLAY, Phase.MICRITE, Phase.DENSE))
    tint[isotropic] = np.float32(1.0)
    dye = smooth_noise(rng, rock.phase.shape, sigma=2.0 * recipe.grain_radius)
    tint[rock.pores] += np.float32(0.07) * dye[rock.pores, None]
    picture *= tint
    return picture


def _grain_tints(count: int, *, crossed: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multiplier of every grain's colour, (N, 3): slight in plain light, strong when crossed."""
    lightness = rng.random((count, 1), dtype=np.float32)
    yellow = rng.random((count, 1), dtype=np.float32) ** 2
    if crossed:
        # First-order interference colours: from extinction over greys to white and straw yellow.
        lightness = np.float32(0.16) + np.float32(0.84) * lightness * lightness
        fade = np.array([0.0, 0.10, 0.45], dtype=np.float32)
    else:
        lightness = np.float32(0.92) + np.float32(0.10) * lightness
        fade = np.array([0.0, 0.04, 0.12], dtype=np.float32)
    tints: NDArray[np.float32] = lightness * (np.float32(1.0) - yellow * fade)
    return tints


def _relief(
    rock: RockStructure, recipe: Recipe, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Brightness of every pixel, (H, W): outlines, cleavage, coats, speckle, stained patches."""
    shape = rock.phase.shape
    bright = np.float32(1.0) + _SPECKLE[rock.phase] * smooth_noise(rng, shape, sigma=0.9)
    bright += np.float32(0.5) * _SPECKLE[rock.phase] * smooth_noise(rng, shape, sigma=3.0)
    solid = ~rock.pores
    outline = solid & (rock.seam * np.float32(recipe.grain_radius) < 1.1) & (rock.depth < 1.5)
    rim = solid & (box_blur(solid.astype(np.float32), 0.33) < 0.85)
    bright[outline] *= np.float32(0.62)
    bright[rim] *= np.float32(0.66)
    bright[_cleavage(rock, rng) & np.isin(rock.phase, _CLEAVED)] *= np.float32(0.78)
    if recipe.oolitic > 0:
        coats = rock.depth * np.float32(_COATS)
        wave = np.abs(coats - np.floor(coats) - np.float32(0.5))
        ooids = (rock.depth < 1.0) & solid
        bright[ooids] *= np.float32(0.72) + wave[ooids]
    if recipe.oolitic < 0:
        bright[(rock.depth < 0.55) & solid] *= np.float32(0.72)
    return bright


def _cleavage(rock: RockStructure, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Thin parallel lines in some of the grains, each grain in its own direction."""
    count = int(rock.grain.max(initial=-1)) + 2
    turn = rng.random((count, 2), dtype=np.float32) - np.float32(0.5)
    spacing = np.float32(5.0) + np.float32(9.0) * rng.random(count, dtype=np.float32)
    turn /= np.sqrt(turn[:, :1] ** 2 + turn[:, 1:] ** 2) * spacing[:, None] + np.float32(1e-6)
    turn[rng.random(count) < 0.5] = 0.0
    rows = np.arange(rock.grain.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(rock.grain.shape[1], dtype=np.float32)[None, :]
    along = turn[rock.grain, 0] * rows + turn[rock.grain, 1] * columns + np.float32(0.5)
    lines: NDArray[np.bool_] = (along - np.floor(along)) < np.float32(0.12)
    return lines


def _lamp(side: int) -> NDArray[np.float32]:
    """The condenser's light: a little less in the corners, (H, W)."""
    off = (np.arange(side, dtype=np.float32) - np.float32(side / 2)) / np.float32(side)
    light: NDArray[np.float32] = np.float32(1.0) - np.float32(0.35) * (
        off[:, None] * off[:, None] + off[None, :] * off[None, :]
    )
    return light
