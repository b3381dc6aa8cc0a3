"""Drawing whole groups of slices for training, validation and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]  # ships no types
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def joined_groups(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Join groups that share a slice: what is together in either grouping is together.

    Args:
        first: (N,), number from 0 of each slice's group.
        second: (N,), the same of another grouping.

    Returns:
        Number of joined groups, and (N,), each slice's, numbered by first appearance.
    """
    offset = int(first.max(initial=-1)) + 1
    size = offset + int(second.max(initial=-1)) + 1
    ones = np.ones(len(first), dtype=np.int8)
    links = coo_array((ones, (first, second + offset)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    _, place, group = np.unique(component[first], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(place))
    return len(place), rank[group].astype(np.int64)


def draw_parts(
    groups: NDArray[np.int64],
    strata: NDArray[np.int64],
    *,
    shares: Sequence[float],
    seed: int,
) -> NDArray[np.int64]:
    """Give every group to a part, whole, so that each part has its share of every stratum.

    Strata are gone through one by one, their groups in random order; a group goes to the part
    that lacks most slices by then. What a stratum is too small to give to a part (one sample
    can't be in three parts) is made up for by the next.

    Args:
        groups: (N,), number from 0 of each slice's group.
        strata: (N,), number from 0 of each slice's stratum; a group counts to that of its first
            slice.
        shares: Share of each part; they add up to 1.
        seed: Of the order.

    Returns:
        (N,), number of each slice's part.
    """
    generator = np.random.default_rng(seed)
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    stratum_of = strata[first]
    lacking = np.zeros(len(shares))
    part_of = np.zeros(len(first), dtype=np.int64)
    for stratum in generator.permutation(np.unique(stratum_of)):
        members = np.flatnonzero(stratum_of == stratum)
        lacking += np.asarray(shares) * sizes[members].sum()
        for group in generator.permutation(members):
            part = int(np.argmax(lacking))
            part_of[group] = part
            lacking[part] -= sizes[group]
    return part_of[groups]
