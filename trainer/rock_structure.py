"""Rocks grown voxel by voxel: which phase fills each voxel of a recipe's sample.

Grains are the cells of a packing: every voxel asks how far it is from each grain's centre, in
radii along that grain's own axes, and belongs to the nearest. Pores are the voxels that are
farthest from every grain, as many as the porosity wants; cement is what grew into the pores
before them. The same code grows volumes (3D) and the plane of a thin section (2D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import porespy  # type: ignore[import-untyped]  # ships no types

from trainer.rock_families import Fabric
from trainer.rock_minerals import Phase
from trainer.rock_noise import smooth_noise, threshold_at
from trainer.rock_packing import GrainPack, pack_grains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trainer.rock_families import Recipe

_REACH = 1.75
"""A grain is felt up to this many radii from its centre."""
_FAR = 9.0
_BLOBS_PER_SIGMA = 40.0
"""PoreSpy's blobs are smoothed by mean(shape) / (40 blobiness) voxels."""
_SEED_LIMIT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class RockStructure:
    """A rock sample without any instrument; arrays share one 2D or 3D shape.

    Attributes:
        phase: Uint8 codes of `Phase`.
        grain: Int32 number of the nearest grain, -1 where none is near.
        depth: Float32 distance from that grain's centre in radii.
        seam: Float32, how much farther the second nearest grain is, in radii: 0 on a contact.
    """

    phase: NDArray[np.uint8]
    grain: NDArray[np.int32]
    depth: NDArray[np.float32]
    seam: NDArray[np.float32]

    @property
    def pores(self) -> NDArray[np.bool_]:
        """True where the sample is empty."""
        pores: NDArray[np.bool_] = self.phase == Phase.PORE
        return pores


def grow_rock(recipe: Recipe, shape: Sequence[int], *, rng: np.random.Generator) -> RockStructure:
    """Grow one sample of a recipe.

    Args:
        recipe: What to grow, lengths in voxels.
        shape: Shape of the sample, 2D or 3D.
        rng: Source of randomness.

    Returns:
        The sample; its share of pores is the recipe's porosity to within a voxel.
    """
    grains = _Grains.paint(recipe, shape, rng=rng)
    growers = {
        Fabric.GRAINS: _grow_granular,
        Fabric.MOULDS: _grow_mouldic,
        Fabric.BLOBS: _grow_blobs,
    }
    phase = growers[recipe.fabric](recipe, grains, rng=rng)
    _add_dense(phase, grains, recipe=recipe, rng=rng)
    return RockStructure(phase=phase, grain=grains.owner, depth=grains.depth, seam=grains.seam)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grains:
    """Painted grains: `RockStructure`'s fields, and the phase of each of the N grains."""

    owner: NDArray[np.int32]
    depth: NDArray[np.float32]
    seam: NDArray[np.float32]
    phases: NDArray[np.uint8]

    @classmethod
    def paint(cls, recipe: Recipe, shape: Sequence[int], *, rng: np.random.Generator) -> _Grains:
        """Pack and paint the grains of a recipe, their outlines roughened."""
        pack = pack_grains(recipe, shape, rng=rng)
        warp = recipe.roughness * recipe.grain_radius
        places = [
            np.arange(extent, dtype=np.float32).reshape(
                [-1 if a == axis else 1 for a in range(len(shape))]
            )
            + np.float32(warp) * smooth_noise(rng, shape, sigma=0.45 * recipe.grain_radius)
            for axis, extent in enumerate(shape)
        ]
        nearest, second, owner = _paint(pack, places, angularity=recipe.angularity)
        shares = np.cumsum([share for _, share in recipe.minerals])
        drawn = np.searchsorted(shares / shares[-1], rng.random(len(pack)), side="right")
        codes = np.array([int(phase) for phase, _ in recipe.minerals], dtype=np.uint8)
        return cls(owner=owner, depth=nearest, seam=second - nearest, phases=codes[drawn])

    def mineral(self) -> NDArray[np.uint8]:
        """Phase of the nearest grain, everywhere."""
        return np.append(self.phases, np.uint8(Phase.CLAY))[self.owner]


def _paint(
    pack: GrainPack, places: Sequence[NDArray[np.float32]], *, angularity: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Distance to the nearest and second nearest grain, in radii, and the nearest's number."""
    shape = places[0].shape
    nearest = np.full(shape, _FAR, dtype=np.float32)
    second = np.full(shape, _FAR, dtype=np.float32)
    owner = np.full(shape, -1, dtype=np.int32)
    for number in range(len(pack)):
        half = float(pack.radii[number]) * _REACH
        box = tuple(
            slice(max(0, int(middle - half)), max(0, min(extent, int(middle + half) + 2)))
            for middle, extent in zip(pack.centres[number].tolist(), shape, strict=True)
        )
        if any(side.start >= side.stop for side in box):
            continue
        away = _distance(
            pack, number, places=[place[box] for place in places], angularity=angularity
        )
        near = nearest[box]
        second[box] = np.minimum(second[box], np.maximum(near, away))
        closer = away < near
        np.copyto(near, away, where=closer)
        np.copyto(owner[box], np.int32(number), where=closer)
    return nearest, second, owner


def _distance(
    pack: GrainPack, number: int, *, places: Sequence[NDArray[np.float32]], angularity: float
) -> NDArray[np.float32]:
    """Distance to one grain in its radii: between an ellipsoid's and a box's."""
    basis = pack.bases[number] / pack.radii[number]
    offsets = [place - middle for place, middle in zip(places, pack.centres[number], strict=True)]
    square = np.float32(0.0)
    corner = np.float32(0.0)
    for row in basis:
        along = row[0] * offsets[0]
        for weight, offset in zip(row[1:], offsets[1:], strict=True):
            along += weight * offset
        square = square + along * along
        if angularity > 0:
            corner = np.maximum(corner, np.abs(along))
    distance: NDArray[np.float32] = np.sqrt(square)
    if angularity > 0:
        distance *= np.float32(1.0 - angularity)
        distance += np.float32(angularity * 1.2) * corner
    return distance


def _grow_granular(
    recipe: Recipe, grains: _Grains, *, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Grains, rims or patches of cement on them, clay between them, pores in what is left."""
    shape = grains.depth.shape
    radius = recipe.grain_radius
    open_ = grains.depth + np.float32(recipe.lamination) * _laminae(recipe, shape, rng=rng)
    filled = open_ > threshold_at(open_, min(0.95, recipe.porosity + recipe.cement))
    patches = smooth_noise(rng, shape, sigma=1.1 * radius)
    room = open_ + np.float32(recipe.patchiness) * patches
    room[~filled] = -_FAR
    phase = grains.mineral()
    phase[filled] = recipe.cement_phase
    if recipe.clay > 0:
        muddy = smooth_noise(rng, shape, sigma=0.5 * radius) - np.float32(0.7) * patches
        muddy[~filled] = -_FAR
        phase[muddy > threshold_at(muddy, recipe.cement * recipe.clay)] = Phase.CLAY
    phase[room > threshold_at(room, recipe.porosity)] = Phase.PORE
    return phase


def _grow_mouldic(
    recipe: Recipe, grains: _Grains, *, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Dissolved grains in a crystalline groundmass; the rest of the grains is still there."""
    shape = grains.depth.shape
    inside = grains.depth < 1.0
    phase = _groundmass(recipe, shape, rng=rng)
    np.copyto(phase, grains.mineral(), where=inside)
    gone = np.append(rng.random(len(grains.phases)) < recipe.dissolved, np.False_)[grains.owner]
    vuggy = np.float32(recipe.patchiness) * smooth_noise(
        rng, shape, sigma=0.4 * recipe.grain_radius
    )
    room = vuggy - grains.depth
    room[~gone] -= np.float32(1.2)
    phase[room > threshold_at(room, recipe.porosity)] = Phase.PORE
    return phase


def _grow_blobs(recipe: Recipe, grains: _Grains, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Pores shaped as thresholded noise in a mottled groundmass with shell fragments."""
    shape = grains.depth.shape
    phase = _groundmass(recipe, shape, rng=rng)
    shell = (grains.depth < 1.0) & (grains.depth > np.float32(1.0 - recipe.shell_thickness))
    np.copyto(phase, grains.mineral(), where=shell)
    mean = sum(shape) / len(shape)
    lengths = [recipe.blob_sigma] * len(shape)
    lengths[1 if len(shape) == 3 else 0] *= 1.0 - 0.5 * recipe.bedding
    blobs = porespy.generators.blobs(
        shape=list(shape),
        porosity=0,
        blobiness=[mean / (_BLOBS_PER_SIGMA * length) for length in lengths],
        seed=int(rng.integers(_SEED_LIMIT)),
    )
    room = blobs.astype(np.float32)
    fine = smooth_noise(rng, shape, sigma=max(1.0, 0.35 * recipe.blob_sigma))
    room += np.float32(0.28 * recipe.patchiness) * fine
    room += np.float32(recipe.lamination) * _laminae(recipe, shape, rng=rng)
    room[shell] -= np.float32(0.8)
    if recipe.shell_thickness > 0:
        hollow = grains.depth <= np.float32(1.0 - recipe.shell_thickness)
        room[hollow] += np.float32(recipe.dissolved)
    phase[room > threshold_at(room, recipe.porosity)] = Phase.PORE
    return phase


def _groundmass(
    recipe: Recipe, shape: Sequence[int], *, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Micrite with patches of the recipe's cement, and laminae where it has them."""
    mottles = smooth_noise(rng, shape, sigma=0.8 * recipe.grain_radius)
    mottles += np.float32(0.6) * smooth_noise(rng, shape, sigma=0.25 * recipe.grain_radius)
    phase = np.full(tuple(shape), Phase.MICRITE, dtype=np.uint8)
    phase[mottles > threshold_at(mottles, recipe.cement)] = recipe.cement_phase
    return phase


def _laminae(
    recipe: Recipe, shape: Sequence[int], *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Layering along the bedding normal, a little tilted; zero mean, unit variance or all 0."""
    if recipe.lamination == 0:
        return np.zeros((1,) * len(shape), dtype=np.float32)
    rows, columns = (shape[1], shape[2]) if len(shape) == 3 else (shape[0], shape[1])
    slope = float(rng.uniform(-0.25, 0.25))
    length = rows + int(abs(slope) * columns) + 2
    profile = smooth_noise(rng, (length,), sigma=1.2 * recipe.grain_radius)
    down = np.arange(rows)[:, None] + (slope * np.arange(columns)[None, :])
    picked = (down - down.min()).astype(np.int64)
    layers: NDArray[np.float32] = profile[picked]
    return layers


def _add_dense(
    phase: NDArray[np.uint8], grains: _Grains, *, recipe: Recipe, rng: np.random.Generator
) -> None:
    """Turn a share of the solid, rather between grains than in them, into dense minerals."""
    if recipe.dense <= 0:
        return
    nodules = smooth_noise(rng, phase.shape, sigma=recipe.dense_size * recipe.grain_radius)
    nodules += np.float32(1.2) * np.minimum(grains.depth, np.float32(1.4))
    nodules[phase == Phase.PORE] = -_FAR
    phase[nodules > threshold_at(nodules, recipe.dense)] = Phase.DENSE
