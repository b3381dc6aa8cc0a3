"""The phases that synthetic rocks are made of, and how bright each is in an X-ray picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Phase(IntEnum):
    """What fills a voxel; the number is its code in a phase map."""

    PORE = 0
    QUARTZ = 1
    FELDSPAR = 2
    LITHIC = 3
    CLAY = 4
    CALCITE = 5
    DOLOMITE = 6
    MICRITE = 7
    DENSE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOptics:
    """How a phase looks under X-rays.

    Attributes:
        attenuation: Mean grey, on a scale where the pore fluid is near 0.1 and pyrite near 1.2.
        spread: Largest departure of a whole grain's grey from the mean.
        mottling: Amplitude of the grey's variation inside a grain.
    """

    attenuation: float
    spread: float
    mottling: float


OPTICS: dict[Phase, PhaseOptics] = {
    Phase.PORE: PhaseOptics(attenuation=0.12, spread=0.0, mottling=0.0),
    Phase.QUARTZ: PhaseOptics(attenuation=0.55, spread=0.008, mottling=0.002),
    Phase.FELDSPAR: PhaseOptics(attenuation=0.65, spread=0.03, mottling=0.02),
    Phase.LITHIC: PhaseOptics(attenuation=0.52, spread=0.05, mottling=0.07),
    Phase.CLAY: PhaseOptics(attenuation=0.38, spread=0.03, mottling=0.06),
    Phase.CALCITE: PhaseOptics(attenuation=0.72, spread=0.015, mottling=0.008),
    Phase.DOLOMITE: PhaseOptics(attenuation=0.66, spread=0.02, mottling=0.012),
    Phase.MICRITE: PhaseOptics(attenuation=0.60, spread=0.03, mottling=0.045),
    Phase.DENSE: PhaseOptics(attenuation=1.15, spread=0.12, mottling=0.04),
}
"""After the order of linear attenuation coefficients in micro-CT of sedimentary rocks."""


def optics_table(field: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """One optical constant of every phase, indexed by phase code.

    Args:
        field: Attribute of `PhaseOptics`.

    Returns:
        Float32 array of shape (number of phases,).
    """
    return np.array([getattr(OPTICS[phase], field) for phase in Phase], dtype=np.float32)
