"""Stops training at the first number that is none, and says where it came from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.training_errors import NotFiniteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from trainer.slice_set import SliceSet

_NAMED = 3
"""Slices that a message names."""


def check_finite(
    values: Mapping[str, float],
    slices: SliceSet,
    *,
    indices: NDArray[np.int64],
    scaled: torch.Tensor,
    step: int,
    epoch: int,
) -> None:
    """Check loss and gradient before the network is changed by them.

    Args:
        values: The loss's terms and the gradient's norm, by name.
        slices: All slices.
        indices: (N,), those of the batch.
        scaled: (N, P), what the regression head should have put out.
        step: Number of the step.
        epoch: Number of its epoch.

    Raises:
        NotFiniteError: One is not finite; it names the step, and the file where one is to blame.
    """
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if not wrong:
        return
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in wrong.items())
    broken = torch.isinf(scaled).any(dim=1).cpu().numpy()
    broken |= np.isinf(slices.porosity[indices]) | np.isinf(slices.permeability_md[indices])
    if broken.any():
        cause = f"measured properties are not finite for {_names(slices, indices[broken])}"
        remedy = "correct its metadata"
    else:
        cause = f"its batch holds {_names(slices, indices)}"
        remedy = "lower optimiser.lr or set run.precision=fp32, and resume"
    raise NotFiniteError(f"step {step}, epoch {epoch}: {told}; {cause}; {remedy}")


def check_weights(model: torch.nn.Module, *, step: int) -> None:
    """Check a network's weights and statistics before they are kept.

    Raises:
        NotFiniteError: One is not finite.
    """
    for name, tensor in model.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise NotFiniteError(
                f"step {step}: {name} is not finite; lower optimiser.lr and resume the run"
            )


def _names(slices: SliceSet, indices: NDArray[np.int64]) -> str:
    named = list(dict.fromkeys(slices.name_of(int(index)) for index in indices))
    others = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + others
