"""Porosity and permeability of a segmented rock.

Permeability follows Kozeny and Carman: pores are taken as a bundle of crooked tubes with the
same porosity and the same wetted surface as the rock.

References:
    P. C. Carman, "Fluid flow through granular beds", Trans. Inst. Chem. Eng. 15, 150-166 (1937).
    J. Kozeny, "Ueber kapillare Leitung des Wassers im Boden", Sitzungsber. Akad. Wiss. Wien
    136(2a), 271-306 (1927).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

M2_PER_MILLIDARCY = 9.869233e-16
"""One millidarcy in square metres."""
KOZENY_CONSTANT = 5.0
"""Carman's value for packed beds: shape factor times tortuosity."""
_FACES_TO_SURFACE = 2.0 / 3.0
"""A surface that faces all directions alike shows 3/2 of its area in voxel faces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RockProperties:
    """What a laboratory would measure on a sample.

    Attributes:
        porosity: Share of pores, 0 to 1.
        specific_surface_per_m: Surface between pores and solid in m2 per m3 of bulk volume.
        permeability_md: Permeability in millidarcy.
    """

    porosity: float
    specific_surface_per_m: float
    permeability_md: float


def measure_rock(pores: NDArray[np.bool_], voxel_um: float) -> RockProperties:
    """Measure a segmented volume.

    Args:
        pores: (P, H, W), True where empty.
        voxel_um: Edge of a voxel in micrometres.

    Returns:
        Its porosity, specific surface and Kozeny-Carman permeability.
    """
    porosity = measure_porosity(pores)
    surface = measure_specific_surface(pores, voxel_um)
    return RockProperties(
        porosity=porosity,
        specific_surface_per_m=surface,
        permeability_md=kozeny_carman_md(porosity, surface),
    )


def measure_porosity(pores: NDArray[np.bool_]) -> float:
    """Share of the voxels that are empty, 0 to 1."""
    return int(np.count_nonzero(pores)) / pores.size


def measure_specific_surface(pores: NDArray[np.bool_], voxel_um: float) -> float:
    """Surface between pores and solid per bulk volume, in 1/m.

    The faces that an empty and a solid voxel share are counted, and corrected by 2/3: seen along
    an axis a surface element shows its area times the cosine, and the cosines' magnitudes of a
    direction sum to 3/2 on average over all directions. For isotropic surfaces that is exact;
    at worst (a surface square to an axis) it is a third too low.

    Args:
        pores: (P, H, W), True where empty; the volume's own outer faces don't count.
        voxel_um: Edge of a voxel in micrometres.
    """
    faces = 0
    inner = 0.0
    for axis in range(pores.ndim):
        lower = np.moveaxis(pores, axis, 0)[:-1]
        upper = np.moveaxis(pores, axis, 0)[1:]
        faces += int(np.count_nonzero(lower != upper))
        inner += lower.size
    # Faces on the outside are unknown, so the count is per face that could be seen.
    per_voxel = faces / inner * pores.ndim
    return _FACES_TO_SURFACE * per_voxel / (voxel_um * 1e-6)


def kozeny_carman_md(porosity: float, specific_surface_per_m: float) -> float:
    """Permeability in millidarcy after Kozeny and Carman (1937).

    k = porosity^3 / (c S^2) with c = 5 and S the surface per *bulk* volume. With the surface per
    solid volume S0 = S / (1 - porosity) this is the familiar
    k = porosity^3 / (5 (1 - porosity)^2 S0^2), for spheres of diameter d (S0 = 6 / d)
    k = porosity^3 d^2 / (180 (1 - porosity)^2).

    Args:
        porosity: 0 to 1.
        specific_surface_per_m: m2 of pore wall per m3 of rock.

    Returns:
        0 for rock without pores, infinity for pores without walls.
    """
    if porosity <= 0:
        return 0.0
    if specific_surface_per_m <= 0:
        return float("inf")
    square_metres = porosity**3 / (KOZENY_CONSTANT * specific_surface_per_m**2)
    return square_metres / M2_PER_MILLIDARCY
