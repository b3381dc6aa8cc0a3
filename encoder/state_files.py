"""Weights on disk: read without running what is in them, and checked against a network."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from encoder.model_errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

BATCH_COUNTER = ".num_batches_tracked"
"""End of the name of batch norm's step counter: older files lack it, and inference ignores it."""

_LOAD_FAILURES = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What torch.load raises for files that hold no plain tensors.

It checks little before it acts on what it reads: a byte that was changed shows as a failed
assertion, an empty stack, a length that no memory holds, or whatever else comes of it.
"""


def is_safetensors(head: bytes) -> bool:
    """Tell from a file's first nine bytes or more: header length (8 bytes), then JSON."""
    return len(head) > 8 and head[8:9] == b"{"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or a ``.pth`` file that holds nothing but tensors.

    Nothing in the file is executed: a pickle that asks for it is refused.

    Args:
        path: The file.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        WeightsError: The file can't be read, or holds something else.
    """
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: no regular file; name a weights file or a bundle's folder")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise WeightsError(
            f"{path}: can't be read ({error.strerror}); name a weights file or a bundle's folder"
        ) from error
    state = _load_safetensors(path) if is_safetensors(head) else _load_tensors(path)
    if not isinstance(state, dict) or not state:
        raise WeightsError(_not_a_state(path, f"a {type(state).__name__}"))
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(_not_a_state(path, f"{name!r}: {type(tensor).__name__}"))
    return state


def fit_state(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Check that tensors are those of a network.

    Args:
        expected: The network's own state dict; of its tensors only shape and type matter, so that
            they may be on the meta device.
        found: Tensors that were read.

    Returns:
        Copies of ``found`` on the CPU in the types expected, with the step counters of batch norm
        where they are missing.

    Raises:
        WeightsError: A tensor is missing, unknown, of another shape or kind, or not finite; the
            text tells which, without naming the file.
    """
    counters = {
        name: torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")
        for name, tensor in expected.items()
        if name.endswith(BATCH_COUNTER)
    }
    state = {**counters, **found}
    if missing := expected.keys() - state.keys():
        raise WeightsError(f"{_first(missing)} is missing")
    if unknown := state.keys() - expected.keys():
        raise WeightsError(f"{_first(unknown)} has no place in this network")
    return {name: _fit_tensor(name, tensor, found=state[name]) for name, tensor in expected.items()}


def _fit_tensor(name: str, expected: Tensor, *, found: Tensor) -> Tensor:
    if found.shape != expected.shape:
        shapes = f"{tuple(expected.shape)}, found {tuple(found.shape)}"
        raise WeightsError(f"{name}: expected shape {shapes}")
    same_kind = found.is_floating_point() == expected.is_floating_point()
    if not same_kind or found.is_complex() or found.layout != torch.strided:
        raise WeightsError(
            f"{name}: expected {expected.dtype}, found {found.dtype} ({found.layout})"
        )
    fitted = torch.empty(expected.shape, dtype=expected.dtype, device="cpu").copy_(found)
    # What is finite in a wider type may not be in the network's.
    if not bool(torch.isfinite(fitted).all()):
        raise WeightsError(f"{name} holds numbers that are not finite as {expected.dtype}")
    return fitted


def _first(names: set[str]) -> str:
    others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{min(names)}{others}"


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged safetensors file ({error}); fetch it again") from error


def _load_tensors(path: Path) -> Any:  # noqa: ANN401  whatever the file holds, checked by the caller
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _LOAD_FAILURES as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0][:120]
        raise WeightsError(
            f"{path}: not a file of plain tensors ({type(error).__name__}: {reason}); pickled "
            "objects are never run: save a state dict (torch.save) or safetensors"
        ) from error


def _not_a_state(path: Path, found: str) -> str:
    return (
        f"{path}: expected a state dict (tensors by name), found {found}; "
        "save model.state_dict() alone"
    )
