"""What a synthetic library holds: reservoirs, samples, who is measured, what each is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.errors import LithoscopeError
from trainer.rock_files import VOLUME_SUFFIXES
from trainer.rock_kin import MAX_RESERVOIRS, Reservoir, draw_sample, plan_reservoirs

if TYPE_CHECKING:
    from trainer.rock_families import Recipe

UNMEASURED_SHARE = 5
"""One sample in so many has no laboratory values."""
_RANGES = {
    "reservoirs": (2, MAX_RESERVOIRS),
    "samples": (1, 500),
    "size": (16, 512),
    "seed": (0, 2**32 - 1),
    "thin_sections": (0, 500),
}


class LibraryError(LithoscopeError):
    """A synthetic library that can't be built as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibrarySpec:
    """What was asked for.

    Attributes:
        reservoirs: Number of reservoirs, 2 to 60.
        samples: Samples of each reservoir, 1 to 500.
        size: Edge of the volumes in voxels, 16 to 512. Most grains are 8 to 24 voxels across
            whatever the size, so larger volumes hold more of them.
        seed: Everything is drawn from it.
        thin_sections: How many samples of each reservoir get a thin section too.

    Raises:
        LibraryError: A number is out of its range; every such number is named.
    """

    reservoirs: int = 8
    samples: int = 6
    size: int = 128
    seed: int = 0
    thin_sections: int = 1

    def __post_init__(self) -> None:
        """Check all ranges at once."""
        problems = [
            f"--{name.replace('_', '-')} is {getattr(self, name)}, allowed are {low} to {high}"
            for name, (low, high) in _RANGES.items()
            if not low <= getattr(self, name) <= high
        ]
        if problems:
            raise LibraryError("; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTask:
    """One sample that is to be made; all that a worker needs.

    Attributes:
        reservoir: Name of its reservoir.
        sample: Its name, unique in the library.
        recipe: Its own recipe.
        size: Edge of the volume in voxels.
        entropy: Seeds of its randomness; those of no other sample are the same.
        suffix: File format of the volume, one of `VOLUME_SUFFIXES`.
        measured: Whether the laboratory measured it.
        thin_section: Whether it gets a thin section too.
    """

    reservoir: str
    sample: str
    recipe: Recipe
    size: int
    entropy: tuple[int, ...]
    suffix: str
    measured: bool
    thin_section: bool

    @property
    def volume_path(self) -> str:
        """Path of the volume inside the library."""
        return f"{self.reservoir}/{self.sample}/{self.sample}{self.suffix}"

    @property
    def thin_section_path(self) -> str:
        """Path of the thin section inside the library."""
        return f"{self.reservoir}/{self.sample}/{self.sample}_thin.tif"

    def rng(self, purpose: int) -> np.random.Generator:
        """Randomness of one step of making the sample: the same on every call."""
        return np.random.default_rng([*self.entropy, purpose])


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryPlan:
    """Everything about a library before a voxel is drawn.

    Attributes:
        spec: What was asked for.
        reservoirs: Sorted by name.
        tasks: Samples, reservoir by reservoir.
    """

    spec: LibrarySpec
    reservoirs: tuple[Reservoir, ...]
    tasks: tuple[SampleTask, ...]

    def kin(self) -> dict[str, list[str]]:
        """The right analogs of every reservoir: its kin, itself left out."""
        return {
            one.name: [
                other.name
                for other in self.reservoirs
                if other.group == one.group and other.name != one.name
            ]
            for one in self.reservoirs
        }


def plan_library(spec: LibrarySpec) -> LibraryPlan:
    """Invent a library's reservoirs and samples; cheap, and the same for the same `spec`."""
    rng = np.random.default_rng([spec.seed, 0])
    reservoirs = plan_reservoirs(spec.reservoirs, rng)
    unmeasured = _unmeasured(spec, rng)
    tasks = []
    for place, reservoir in enumerate(reservoirs):
        for number in range(spec.samples):
            entropy = (spec.seed, 1, place, number)
            tasks.append(
                SampleTask(
                    reservoir=reservoir.name,
                    sample=f"{reservoir.name}_{number + 1:02d}",
                    recipe=draw_sample(reservoir.recipe, np.random.default_rng(entropy)),
                    size=spec.size,
                    entropy=entropy,
                    suffix=VOLUME_SUFFIXES[place % len(VOLUME_SUFFIXES)],
                    measured=(place, number) not in unmeasured,
                    thin_section=number < spec.thin_sections,
                )
            )
    return LibraryPlan(spec=spec, reservoirs=tuple(reservoirs), tasks=tuple(tasks))


def _unmeasured(spec: LibrarySpec, rng: np.random.Generator) -> set[tuple[int, int]]:
    """A fifth of the samples, as (reservoir, sample) numbers, spread over the reservoirs."""
    ranks = [rng.permutation(spec.samples) for _ in range(spec.reservoirs)]
    order = rng.permutation(spec.reservoirs)
    turns = [
        (int(reservoir), int(ranks[reservoir][turn]))
        for turn in range(spec.samples)
        for reservoir in order
    ]
    return set(turns[: round(len(turns) / UNMEASURED_SHARE)])
