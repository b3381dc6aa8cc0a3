"""Rock families: what makes a reservoir's rock, and how reservoirs and samples vary within one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.rock_minerals import Phase


class Fabric(StrEnum):
    """How pore space and solid are arranged."""

    GRAINS = "grains"
    MOULDS = "moulds"
    BLOBS = "blobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """The instrument's share in a picture.

    Attributes:
        noise: Standard deviation of the noise at quartz's grey, on the attenuation scale.
        blur: Weight of a voxel's neighbours along each axis, 0 to 0.3.
        rings: Amplitude of ring artefacts.
        cupping: Rise of the grey from the volume's middle to its edge (beam hardening).
        offset: Stored 16-bit value of zero attenuation.
        gain: Stored units per unit of attenuation.
    """

    noise: float
    blur: float = 0.18
    rings: float = 0.008
    cupping: float = 0.02
    offset: float = 6000.0
    gain: float = 24000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A rock, as one sample, one reservoir or one family has it. Lengths are in voxels.

    Attributes:
        family: Name of the rock family.
        fabric: Arrangement of pores and solid.
        voxel_um: Voxel size in micrometres.
        porosity: Share of pores.
        grain_radius: Radius of the largest grains.
        minerals: Phases of the grains with their shares.
        scanner: Instrument that takes the volume.
        sorting: 0 for grains of nearly one size to 1 for very mixed ones.
        elongation: Ratio of a grain's long to its short axis.
        angularity: 0 for ellipsoids to 1 for blocks.
        bedding: 0 for grains turned at random to 1 for grains lying flat.
        roughness: Unevenness of outlines, in grain radii.
        grain_density: Volume fraction of packed grains; 1 packs until nothing fits.
        cement: Share of the volume that cement (or, between blobs, spar) takes.
        cement_phase: What the cement is.
        clay: Share of the cement that is clay.
        patchiness: 0 for even rims of cement (smooth pores), higher for patches (rough ones).
        lamination: Contrast of layers along the bedding normal.
        dissolved: Share of grains that are moulds; between blobs, how empty shells are.
        blob_sigma: Correlation length of blob-like pores.
        shell_thickness: Thickness of shell fragments in their radii; 0 for none.
        dense: Share of dense minerals (pyrite, barite, siderite).
        dense_size: Size of their nodules in grain radii.
        oolitic: Strength of concentric coats (positive) or cloudy cores (negative) in grains.
        stain: How much red a thin section's carbonates took up, 0 to 1.
        polarised: Whether thin sections are seen between crossed polarisers.
    """

    family: str
    fabric: Fabric
    voxel_um: float
    porosity: float
    grain_radius: float
    minerals: tuple[tuple[Phase, float], ...]
    scanner: Scanner
    sorting: float = 0.3
    elongation: float = 1.3
    angularity: float = 0.2
    bedding: float = 0.0
    roughness: float = 0.18
    grain_density: float = 1.0
    cement: float = 0.05
    cement_phase: Phase = Phase.QUARTZ
    clay: float = 0.0
    patchiness: float = 0.15
    lamination: float = 0.0
    dissolved: float = 0.0
    blob_sigma: float = 3.0
    shell_thickness: float = 0.0
    dense: float = 0.0
    dense_size: float = 0.5
    oolitic: float = 0.0
    stain: float = 1.0
    polarised: bool = False


FAMILIES: tuple[Recipe, ...] = (
    Recipe(
        family="quartz arenite",
        fabric=Fabric.GRAINS,
        voxel_um=3.0,
        porosity=0.23,
        grain_radius=9.5,
        minerals=((Phase.QUARTZ, 0.93), (Phase.FELDSPAR, 0.06), (Phase.LITHIC, 0.01)),
        scanner=Scanner(noise=0.022, blur=0.22),
        sorting=0.25,
        elongation=1.5,
        angularity=0.3,
        cement=0.06,
        clay=0.15,
    ),
    Recipe(
        family="cemented arkose",
        fabric=Fabric.GRAINS,
        voxel_um=2.6,
        porosity=0.125,
        grain_radius=8.5,
        minerals=((Phase.QUARTZ, 0.6), (Phase.FELDSPAR, 0.24), (Phase.LITHIC, 0.16)),
        scanner=Scanner(noise=0.05, blur=0.12, rings=0.012),
        sorting=0.5,
        elongation=1.45,
        angularity=0.45,
        cement=0.13,
        clay=0.45,
        patchiness=0.35,
        dense=0.022,
        dense_size=0.7,
        polarised=True,
    ),
    Recipe(
        family="argillaceous mudstone",
        fabric=Fabric.GRAINS,
        voxel_um=0.35,
        porosity=0.055,
        grain_radius=5.0,
        minerals=((Phase.QUARTZ, 0.62), (Phase.FELDSPAR, 0.13), (Phase.LITHIC, 0.25)),
        scanner=Scanner(noise=0.035, blur=0.2),
        sorting=0.75,
        elongation=1.9,
        angularity=0.4,
        bedding=0.6,
        cement=0.27,
        cement_phase=Phase.CLAY,
        patchiness=0.3,
        lamination=0.1,
        dense=0.006,
        dense_size=0.5,
        polarised=True,
    ),
    Recipe(
        family="oolitic grainstone",
        fabric=Fabric.GRAINS,
        voxel_um=7.0,
        porosity=0.17,
        grain_radius=11.0,
        minerals=((Phase.MICRITE, 0.85), (Phase.CALCITE, 0.15)),
        scanner=Scanner(noise=0.03, blur=0.2),
        sorting=0.2,
        elongation=1.15,
        angularity=0.0,
        roughness=0.06,
        cement=0.13,
        cement_phase=Phase.CALCITE,
        patchiness=0.05,
        oolitic=0.06,
    ),
    Recipe(
        family="vuggy limestone",
        fabric=Fabric.BLOBS,
        voxel_um=7.5,
        porosity=0.11,
        grain_radius=12.0,
        minerals=((Phase.CALCITE, 1.0),),
        scanner=Scanner(noise=0.028, blur=0.2, cupping=0.03),
        sorting=0.6,
        elongation=2.6,
        roughness=0.25,
        grain_density=0.09,
        cement=0.3,
        cement_phase=Phase.CALCITE,
        patchiness=0.5,
        blob_sigma=4.2,
        shell_thickness=0.25,
        dissolved=-0.2,
    ),
    Recipe(
        family="chalk",
        fabric=Fabric.BLOBS,
        voxel_um=0.2,
        porosity=0.34,
        grain_radius=8.0,
        minerals=((Phase.CALCITE, 1.0),),
        scanner=Scanner(noise=0.045, blur=0.24),
        sorting=0.6,
        elongation=1.2,
        roughness=0.08,
        grain_density=0.06,
        cement=0.2,
        cement_phase=Phase.CALCITE,
        patchiness=0.35,
        blob_sigma=1.7,
        stain=0.1,
        shell_thickness=0.22,
        dissolved=0.6,
    ),
    Recipe(
        family="laminated sandstone",
        fabric=Fabric.GRAINS,
        voxel_um=1.5,
        porosity=0.185,
        grain_radius=6.2,
        minerals=((Phase.QUARTZ, 0.78), (Phase.FELDSPAR, 0.14), (Phase.LITHIC, 0.08)),
        scanner=Scanner(noise=0.03, blur=0.18),
        sorting=0.35,
        elongation=1.6,
        angularity=0.3,
        bedding=0.6,
        cement=0.08,
        clay=0.5,
        patchiness=0.1,
        lamination=0.13,
        dense=0.003,
        dense_size=0.35,
    ),
    Recipe(
        family="sucrosic dolomite",
        fabric=Fabric.GRAINS,
        voxel_um=0.45,
        porosity=0.21,
        grain_radius=8.5,
        minerals=((Phase.DOLOMITE, 0.96), (Phase.CALCITE, 0.04)),
        scanner=Scanner(noise=0.025, blur=0.15),
        sorting=0.55,
        elongation=1.1,
        angularity=0.95,
        roughness=0.03,
        cement=0.02,
        cement_phase=Phase.MICRITE,
        patchiness=0.25,
        oolitic=-0.06,
        polarised=True,
    ),
    Recipe(
        family="loose coarse sand",
        fabric=Fabric.GRAINS,
        voxel_um=4.0,
        porosity=0.36,
        grain_radius=9.5,
        minerals=((Phase.QUARTZ, 0.8), (Phase.FELDSPAR, 0.18), (Phase.DENSE, 0.02)),
        scanner=Scanner(noise=0.03, blur=0.16),
        sorting=0.45,
        elongation=1.25,
        angularity=0.15,
        roughness=0.12,
        cement=0.0,
        patchiness=0.0,
    ),
    Recipe(
        family="oomouldic limestone",
        fabric=Fabric.MOULDS,
        voxel_um=0.7,
        porosity=0.28,
        grain_radius=9.0,
        minerals=((Phase.MICRITE, 0.8), (Phase.CALCITE, 0.2)),
        scanner=Scanner(noise=0.03, blur=0.18),
        sorting=0.3,
        elongation=1.2,
        angularity=0.0,
        roughness=0.08,
        cement=0.7,
        stain=0.45,
        cement_phase=Phase.CALCITE,
        patchiness=0.1,
        dissolved=0.7,
    ),
)
"""One recipe per rock family, unlike each other in look and in porosity and permeability."""
