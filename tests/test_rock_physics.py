"""Porosity, surface and permeability against cases that are known by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # ships no types
from skimage import measure

from trainer.rock_physics import (
    kozeny_carman_md,
    measure_porosity,
    measure_rock,
    measure_specific_surface,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cubic_pack(radius: int, pitch: int) -> NDArray[np.bool_]:
    """Pores of 2 x 2 x 2 spheres whose centres are a pitch apart, in voxels.

    Spheres that touch would touch over several voxels, and lose the walls between them.
    """
    axis = np.arange(pitch) - (pitch - 1) / 2
    cell = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return np.tile(cell > radius**2, (2, 2, 2))


def test_simple_cubic_pack_of_spheres() -> None:
    radius, pitch, voxel_um = 32, 66, 2.5
    diameter = 2 * radius * voxel_um * 1e-6
    rock = measure_rock(cubic_pack(radius, pitch), voxel_um)
    porosity = 1 - 4 / 3 * math.pi * radius**3 / pitch**3
    assert rock.porosity == pytest.approx(porosity, rel=0.002)
    surface = 4 * math.pi * radius**2 / pitch**3 / (voxel_um * 1e-6)
    assert rock.specific_surface_per_m == pytest.approx(surface, rel=0.015)
    expected = porosity**3 * diameter**2 / (180 * (1 - porosity) ** 2) / 9.869233e-16
    assert rock.permeability_md == pytest.approx(expected, rel=0.03)


def test_kozeny_carman_by_hand() -> None:
    """Spheres of 200 um at a porosity of 0.2: 0.008 * 4e-8 / (180 * 0.64) m2 = 2.78e-12 m2."""
    surface = 0.8 * 6 / 200e-6
    assert surface == pytest.approx(24_000)
    assert kozeny_carman_md(0.2, surface) == pytest.approx(2814.58, rel=1e-5)


def test_surface_agrees_with_a_marching_cubes_mesh() -> None:
    """On a rough isotropic surface, where no direction is preferred."""
    noise = ndimage.gaussian_filter(np.random.default_rng(3).random((72, 72, 72)), 4, mode="wrap")
    level = float(np.quantile(noise, 0.3))
    mesh = measure.marching_cubes(noise, level)  # type: ignore[no-untyped-call]  # ships no types
    area = measure.mesh_surface_area(*mesh[:2])  # type: ignore[no-untyped-call]  # ships no types
    expected = area / 71**3 / 3e-6
    assert measure_specific_surface(noise < level, 3.0) == pytest.approx(expected, rel=0.02)


def test_voxel_size_scales_permeability_by_its_square() -> None:
    pores = cubic_pack(10, 21)
    fine, coarse = measure_rock(pores, 1.0), measure_rock(pores, 3.0)
    assert coarse.porosity == fine.porosity
    assert coarse.permeability_md == pytest.approx(9 * fine.permeability_md)


def test_rock_without_pores_and_pores_without_rock() -> None:
    nothing = np.zeros((4, 4, 4), dtype=bool)
    assert measure_rock(nothing, 1.0).permeability_md == 0
    assert measure_porosity(nothing) == 0
    assert math.isinf(measure_rock(~nothing, 1.0).permeability_md)
