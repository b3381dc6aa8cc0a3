"""Groups of slices: linking them, joining them, and drawing whole ones for the parts of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array  # type: ignore[import-untyped]  # ships no types
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def linked(links: tuple[NDArray[np.int64], NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """Group what links lead to, directly or over others.

    Args:
        links: (M,) and (M,), numbers from 0 of what is linked, pair by pair.
        count: N.

    Returns:
        (N,), number from 0 of each one's group.
    """
    ones = np.ones(len(links[0]), dtype=np.int8)
    graph = coo_array((ones, links), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    return np.asarray(group, dtype=np.int64)


def joined_groups(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join groups that share a slice: what is together in either grouping is together.

    Args:
        first: (N,), number from 0 of each slice's group.
        second: (N,), the same of another grouping.

    Returns:
        (N,), number from 0 of each slice's joined group, by first appearance.
    """
    offset = int(first.max(initial=-1)) + 1
    component = linked((first, second + offset), offset + int(second.max(initial=-1)) + 1)[first]
    _, place, group = np.unique(component, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(place))
    return np.asarray(rank[group], dtype=np.int64)


def largest_joined(parts: NDArray[np.int64], joined: NDArray[np.int64]) -> int:
    """Count the groups that the largest joined group is made of.

    Args:
        parts: (N,), number from 0 of each slice's group.
        joined: (N,), number from 0 of each slice's joined group.
    """
    pairs = np.unique(np.stack([joined, parts]), axis=1)
    return int(np.bincount(pairs[0]).max(initial=0))


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
