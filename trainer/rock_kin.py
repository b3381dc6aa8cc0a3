"""Reservoirs planted in kin groups, so that the right analog of each is known.

Kin share a family's recipe with slightly moved parameters, as neighbouring fields of one
formation do; other groups are other families, or the same family so far away that neither look
nor properties meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trainer.rock_families import FAMILIES

if TYPE_CHECKING:
    import numpy as np

    from trainer.rock_families import Recipe, Scanner

_FIRST = ("Ash", "Bran", "Cor", "Dun", "Elm", "Fal", "Gar", "Hol", "Ister", "Kes", "Lor", "Mar")
_LAST = ("dale", "field", "more", "stone", "wick")
MAX_RESERVOIRS = len(_FIRST) * len(_LAST)

_POROSITY_STEP = 0.08
"""Kin lie this share of their porosity to either side of the group's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservoir:
    """A synthetic reservoir.

    Attributes:
        name: Its name, which tells nothing of its rock.
        recipe: Its mean rock; samples are drawn around it by `draw_sample`.
        group: Number of its kin group.
    """

    name: str
    recipe: Recipe
    group: int


def plan_reservoirs(count: int, rng: np.random.Generator) -> list[Reservoir]:
    """Invent reservoirs in kin groups of two, and one of three where the count is odd.

    Args:
        count: 2 to `MAX_RESERVOIRS`.
        rng: Source of randomness.

    Returns:
        Reservoirs sorted by name; kin are not neighbours in this order but by chance.
    """
    order = rng.permutation(len(FAMILIES))
    recipes: list[tuple[int, Recipe]] = []
    for group in range(count // 2):
        family = FAMILIES[int(order[group % len(FAMILIES)])]
        base = _draw_group(_variant(family, group // len(FAMILIES)), rng)
        size = 3 if group == 0 and count % 2 else 2
        places = (-1.0, 1.0, 0.0)[:size]
        recipes += [(group, _move_kin(base, place, rng=rng)) for place in places]
    names = sorted(rng.permutation([a + b for a in _FIRST for b in _LAST])[:count].tolist())
    shuffled = rng.permutation(count)
    return [
        Reservoir(name=name, recipe=recipes[int(place)][1], group=recipes[int(place)][0])
        for name, place in zip(names, shuffled, strict=True)
    ]


POROSITY_MAX = 0.48
"""The loosest sand has hardly more; a draw beyond it is taken back to it."""


def draw_sample(recipe: Recipe, rng: np.random.Generator) -> Recipe:
    """Draw one sample of a reservoir: the recipe of a plug, porosity and all.

    Args:
        recipe: The reservoir's recipe.
        rng: Source of randomness.

    Returns:
        A recipe of the same family, with the same voxel size.
    """
    return replace(
        recipe,
        porosity=min(recipe.porosity * _around(0.24, rng), POROSITY_MAX),
        grain_radius=recipe.grain_radius * _around(0.07, rng),
        blob_sigma=recipe.blob_sigma * _around(0.10, rng),
        cement=recipe.cement * _around(0.25, rng),
        patchiness=recipe.patchiness * _around(0.20, rng),
        dense=recipe.dense * _around(0.40, rng),
        scanner=_rescan(recipe.scanner, 0.08, rng=rng),
    )


def _variant(family: Recipe, cycle: int) -> Recipe:
    """The family's next member, far from the ones before: finer or coarser, tighter or looser."""
    if cycle == 0:
        return family
    finer = cycle % 2 == 1
    return replace(
        family,
        grain_radius=max(3.6, family.grain_radius * (0.66 if finer else 1.3)),
        blob_sigma=max(1.3, family.blob_sigma * (0.66 if finer else 1.3)),
        voxel_um=family.voxel_um * (0.55 if finer else 1.45),
        porosity=family.porosity * (0.72 if finer else 1.12),
        scanner=replace(family.scanner, noise=family.scanner.noise * (1.7 if finer else 0.7)),
        polarised=family.polarised != finer,
    )


def _draw_group(family: Recipe, rng: np.random.Generator) -> Recipe:
    """What the kin of a group have in common: the family's recipe, moved a little."""
    return replace(
        family,
        porosity=family.porosity * _around(0.08, rng),
        grain_radius=family.grain_radius * _around(0.08, rng),
        voxel_um=family.voxel_um * _around(0.08, rng),
        elongation=1.0 + (family.elongation - 1.0) * _around(0.2, rng),
        scanner=_rescan(family.scanner, 0.15, rng=rng),
    )


def _move_kin(base: Recipe, place: float, *, rng: np.random.Generator) -> Recipe:
    """One kin of a group; `place` is where it lies between the tightest (-1) and the loosest."""
    minerals = tuple((phase, share * _around(0.25, rng)) for phase, share in base.minerals)
    return replace(
        base,
        porosity=base.porosity * (1.0 + _POROSITY_STEP * place),
        grain_radius=base.grain_radius * (1.0 + 0.06 * place * float(rng.choice((-1, 1)))),
        voxel_um=round(base.voxel_um * _around(0.05, rng), 3),
        blob_sigma=base.blob_sigma * (1.0 + 0.06 * place),
        roughness=base.roughness * _around(0.15, rng),
        cement=base.cement * _around(0.15, rng),
        minerals=minerals,
        scanner=_rescan(base.scanner, 0.20, rng=rng),
    )


def _rescan(scanner: Scanner, spread: float, *, rng: np.random.Generator) -> Scanner:
    """Another day at the instrument: noise, blur, rings, cupping and grey scale move."""
    return replace(
        scanner,
        noise=scanner.noise * _around(spread, rng),
        blur=scanner.blur * _around(spread / 2, rng),
        rings=scanner.rings * _around(2 * spread, rng),
        cupping=scanner.cupping * _around(2 * spread, rng),
        offset=scanner.offset * _around(spread, rng),
        gain=scanner.gain * _around(spread / 2, rng),
    )


def _around(spread: float, rng: np.random.Generator) -> float:
    """Factor around 1, at most `spread` away, most often near (triangular distribution)."""
    return 1.0 + spread * (float(rng.random()) + float(rng.random()) - 1.0)
