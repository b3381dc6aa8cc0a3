"""Slice sets made in memory, for tests of whatever learns from slices."""

from __future__ import annotations

import numpy as np

from trainer.slice_set import SliceSet


def make_slices(
    *, reservoirs: int = 3, samples: int = 4, slices: int = 5, size: int = 8, seed: int = 0
) -> SliceSet:
    """Noise of one scan a sample; grey level and properties depend on reservoir and sample.

    Every fifth sample is unmeasured, beginning with the fifth. All arrays ascend by sample.
    """
    generator = np.random.default_rng(seed)
    n_samples = reservoirs * samples
    sample = np.repeat(np.arange(n_samples), slices)
    reservoir = sample // samples
    level = 40 + 160 * sample / max(n_samples - 1, 1)
    noise = generator.integers(0, 32, (len(sample), size, size, 1))
    pixels = np.repeat(level[:, np.newaxis, np.newaxis, np.newaxis] + noise, 3, axis=3)
    measured = np.where(sample % 5 == 4, np.nan, 1.0)
    names = tuple(f"R{number // samples}/S{number % samples}" for number in range(n_samples))
    return SliceSet(
        pixels=pixels.astype(np.uint8),
        scan=sample,
        number=np.tile(np.arange(slices), n_samples),
        sample=sample,
        reservoir=reservoir,
        label=sample,
        scan_names=tuple(f"{name}/scan.tif" for name in names),
        sample_names=names,
        reservoir_names=tuple(f"R{number}" for number in range(reservoirs)),
        label_names=names,
        porosity=measured * (0.1 + 0.2 * sample / n_samples),
        permeability_md=measured * 10.0 ** (1 + 3 * sample / n_samples),
        pixel_size_um=np.full(len(sample), 2.5),
    )
