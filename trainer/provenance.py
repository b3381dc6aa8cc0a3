"""How a trained encoder came about: told in its bundle."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.slice_set import SliceSet

_ROOT = Path(__file__).resolve().parents[1]


def provenance(config: TrainConfig, slices: SliceSet) -> dict[str, str]:
    """Tell code, settings and data of a run.

    Args:
        config: Settings.
        slices: Data.
    """
    return {
        "lithoscope": version("lithoscope"),
        "torch": torch.__version__,
        "revision": code_revision(),
        "config": config.model_dump_json(),
        "data": data_fingerprint(slices),
        "slices": str(len(slices)),
    }


def data_fingerprint(slices: SliceSet) -> str:
    """Name what was learned from: slices, names, properties, and pixels where they are named.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256(f"{slices.fingerprint()} {slices.content}".encode())
    for values in (slices.porosity, slices.permeability_md):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def code_revision() -> str:
    """Name the code: its git revision, ``-dirty`` where files were changed; or ``unknown``."""
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(  # noqa: S603  our own words
            command, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
