"""Which precision encodes fastest here: bf16 where the machine gains by it, else float32."""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

Precision = Literal["auto", "bf16", "fp32"]

GAIN_WORTH_HAVING = 1.3
"""Least ratio of speeds at which bf16's rounding is worth it."""

_RUNS = 10

logger = logging.getLogger(__name__)

_probing = threading.RLock()
"""Held while the process is set to one thread: a second probe would restore that as the number."""


def working_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Decide what convolutions compute in.

    Args:
        precision: ``bf16`` or ``fp32`` force it; ``auto`` measures it on CPUs (once per process,
            about 0.1 s) and takes bf16 on GPUs that have it.
        device: Where the network runs.
    """
    if precision == "auto":
        if device.type == "cuda":
            gains = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            gains = device.type == "cpu" and bf16_gain() >= GAIN_WORTH_HAVING
        return torch.bfloat16 if gains else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def bf16_gain() -> float:
    """Measure how many times faster bf16 is than float32, on a convolution as ResNets have them.

    Only CPUs with matrix units for bf16 (AMX) gain; others may take several times longer. It is
    measured once per process, also where several threads ask at once.
    """
    with _probing:
        return _gain_of_this_machine()


@functools.cache
def _gain_of_this_machine() -> float:
    gain = measure_gain(_best_seconds)
    logger.debug("bf16 is %.1f times as fast as float32 on this CPU", gain)
    return gain


def measure_gain(best_seconds: Callable[[torch.dtype], float]) -> float:
    """Compare the processor time of one thread: a busy machine must not change the answer.

    Args:
        best_seconds: Times the same work in a type; torch has one thread while it is called.

    Returns:
        Float32's time by bf16's: above 1 where bf16 gains.
    """
    with _probing:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return best_seconds(torch.float32) / best_seconds(torch.bfloat16)
        finally:
            torch.set_num_threads(threads)


@torch.inference_mode()
def _best_seconds(dtype: torch.dtype) -> float:
    """Time a convolution of the second stage: the best of several runs."""
    weight, maps = (
        torch.zeros(shape, dtype=dtype).to(memory_format=torch.channels_last)
        for shape in ((128, 128, 3, 3), (1, 128, 28, 28))
    )
    functional.conv2d(maps, weight, padding=1)  # the first run compiles the kernel
    best = float("inf")
    for _ in range(_RUNS):
        start = time.thread_time()
        functional.conv2d(maps, weight, padding=1)
        best = min(best, time.thread_time() - start)
    return best
