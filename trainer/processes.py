"""Several processes that train together, as torchrun starts them, or one alone."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist

from trainer.pair_step import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one: it may decode a whole library meanwhile."""

Value = TypeVar("Value")


@contextmanager
def joined() -> Iterator[Place]:
    """Join the other processes that torchrun started, if there are any, and leave them at the end.

    NCCL connects those with GPUs, gloo others. Where a process group is there already it is used.

    Yields:
        Which process this is.
    """
    if dist.is_initialized():
        yield Place(dist.get_rank(), dist.get_world_size())
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Place()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local_device())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield Place(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def local_device() -> torch.device:
    """Return the GPU of this process, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def first_one_first(place: Place) -> Iterator[None]:
    """Let the first process go through a block before the others: it downloads, or fills a cache.

    Args:
        place: Which process this is.
    """
    if place.rank:
        dist.barrier()
    try:
        yield
    finally:
        if not place.rank and place.world > 1:
            dist.barrier()


def told_by_first(value: Value, place: Place) -> Value:
    """Return the first process's value in every process.

    Args:
        value: Of the first process; that of others is not looked at.
        place: Which process this is.
    """
    if place.world == 1:
        return value
    told: list[Value] = [value]
    dist.broadcast_object_list(told)
    return told[0]


def mean_over(values: torch.Tensor, place: Place) -> torch.Tensor:
    """Return the mean of a tensor over all processes.

    Args:
        values: Of any shape, without gradients; it is overwritten.
        place: Which process this is.
    """
    if place.world > 1:
        dist.all_reduce(values)  # gloo has no mean
        values /= place.world
    return values
