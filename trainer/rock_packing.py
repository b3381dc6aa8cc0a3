"""Where the grains of a rock lie: PoreSpy packings turned into centres, sizes and shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import porespy  # type: ignore[import-untyped]  # ships no types
from scipy import ndimage  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trainer.rock_families import Recipe

porespy.settings.tqdm["disable"] = True
porespy.settings.ncores = 1

_LATTICE_RADII = (3, 4)
_SEED_LIMIT = 2**31
_MARGIN = 1.6
"""Grains are packed this many radii beyond the volume, so that its faces cut grains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrainPack:
    """Grains of a rock; N grains in D dimensions.

    Attributes:
        centres: (N, D) in voxels of the volume; may lie a little outside it.
        radii: (N,) in voxels.
        bases: (N, D, D) rows are a grain's axes, divided by their relative lengths.
    """

    centres: NDArray[np.float32]
    radii: NDArray[np.float32]
    bases: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.radii)


def pack_grains(recipe: Recipe, shape: Sequence[int], *, rng: np.random.Generator) -> GrainPack:
    """Pack grains of a recipe's size, sorting and shape into a volume.

    Non-overlapping spheres are added at random, the largest first, then smaller ones in what
    is left (`porespy.generators.random_spheres`; its gravity packing would be denser, but sorts
    ties in an order that depends on the processor). Centres and radii then get a jitter.

    Args:
        recipe: Its grain parameters are read, lengths in voxels.
        shape: Shape of the volume, 2D or 3D.
        rng: Source of randomness.

    Returns:
        The grains, largest class first.
    """
    lattice = min(max(round(recipe.grain_radius), _LATTICE_RADII[0]), _LATTICE_RADII[1])
    # A smooth sphere of PoreSpy's is inserted, and kept clear of others, one cell larger.
    scale = recipe.grain_radius / (lattice + 1)
    pad = _MARGIN * recipe.grain_radius
    cells = [int((extent + 2 * pad) / scale) + 1 for extent in shape]
    centres, radii = _pack_lattice(
        cells,
        _radius_classes(lattice, recipe.sorting),
        density=recipe.grain_density,
        rng=rng,
    )
    jitter = rng.random(centres.shape, dtype=np.float32) - np.float32(0.5)
    spread = np.float32(0.12 + 0.25 * recipe.sorting)
    sizes = np.float32(1.0) + spread * (rng.random(radii.shape, dtype=np.float32) - np.float32(0.5))
    return GrainPack(
        centres=(centres + jitter) * np.float32(scale) - np.float32(pad),
        radii=radii * np.float32(scale) * sizes,
        bases=_grain_bases(recipe, (len(radii), len(shape)), rng=rng),
    )


def _radius_classes(largest: int, sorting: float) -> list[int]:
    """Radii of the passes in lattice cells: nearly one size when well sorted."""
    smallest = max(2, round(largest * (0.75 - 0.45 * sorting)))
    steps = 2 if sorting < 0.35 else 3
    radii = [largest - round(step * (largest - smallest) / steps) for step in range(steps + 1)]
    return sorted(set(radii), reverse=True)


def _pack_lattice(
    cells: Sequence[int], radii: Sequence[int], *, density: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Insert spheres class by class; their centres (N, D) and radii (N,) in cells."""
    packed = np.zeros(tuple(cells), dtype=np.int32)
    centres: list[NDArray[np.float32]] = []
    sizes: list[NDArray[np.float32]] = []
    for order, radius in enumerate(radii, start=1):
        packed = porespy.generators.random_spheres(
            im=packed,
            r=radius,
            clearance=1,
            value=order,
            maxiter=_sphere_limit(packed.shape, radius, share=density / len(radii)),
            edges="contained",
            seed=int(rng.integers(_SEED_LIMIT)),
        )
        found = _sphere_centres(packed == order)
        centres.append(found)
        sizes.append(np.full(len(found), radius + 1, dtype=np.float32))
    return np.concatenate(centres), np.concatenate(sizes)


def _sphere_limit(cells: Sequence[int], radius: int, *, share: float) -> int:
    """Spheres of a radius that fill a share of the cells; at least one.

    PoreSpy's own limit by volume fraction fails where it comes to none.
    """
    volume = math.prod(cells)
    sphere = math.pi * radius**2 if len(cells) == 2 else 4 / 3 * math.pi * radius**3
    return max(1, round(share * volume / sphere))


def _sphere_centres(spheres: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Centre of every separate sphere, (N, D); sums of whole numbers, hence exact."""
    labels, count = ndimage.label(spheres)
    places = np.nonzero(labels)
    owners = labels[places] - 1
    sizes = np.bincount(owners, minlength=count)
    columns = [np.bincount(owners, weights=place, minlength=count) / sizes for place in places]
    return np.stack(columns, axis=1).astype(np.float32)


def _grain_bases(
    recipe: Recipe, size: tuple[int, int], *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Axes of the grains, (N, D, D): turned at random, or lying in the bedding."""
    count, dimensions = size
    turns = rng.random((count, 4)) + rng.random((count, 4)) - 1.0
    turns *= 1.0 - recipe.bedding
    turns[:, 0] += recipe.bedding
    rotations = _rotations_3d(turns) if dimensions == 3 else _rotations_2d(turns[:, :2])
    # The short axis is the bedding normal: rows of a slice, the second axis of a volume.
    lengths = np.ones((count, dimensions))
    stretch = 1.0 + (recipe.elongation - 1.0) * (0.4 + 0.6 * rng.random(count))
    short = 1 if dimensions == 3 else 0
    lengths[:, short] /= stretch
    lengths[:, -1] *= stretch**0.5
    return (rotations / lengths[:, :, None]).astype(np.float32)


def _rotations_3d(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices (N, 3, 3) of quaternions (N, 4) of any length."""
    w, x, y, z = np.moveaxis(turns, 1, 0)
    norm = np.sqrt(w * w + x * x + y * y + z * z) + 1e-9
    w, x, y, z = w / norm, x / norm, y / norm, z / norm
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=1)


def _rotations_2d(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices (N, 2, 2) of direction vectors (N, 2) of any length."""
    cosine, sine = np.moveaxis(turns, 1, 0)
    norm = np.sqrt(cosine * cosine + sine * sine) + 1e-9
    cosine, sine = cosine / norm, sine / norm
    top, bottom = np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)
    return np.stack([top, bottom], axis=1)
