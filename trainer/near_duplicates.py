"""Images that are nearly the same: copies, other encodings, slight retouches.

Test images that were seen in training flatter a network. Candidates are found by a perceptual hash
(the difference hash: whether each of 8 x 8 cells is darker than its right neighbour) and checked by
the correlation of their grey thumbnails. Turned, mirrored or cropped copies are not found.

Shapes: N slices of S x S pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer.groups import linked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HASH_BITS = 14
"""Bits of 64 that hashes of near-duplicates differ in, at most."""

CORRELATION = 0.75
"""Of thumbnails' blocks, in the mean, from which images are near-duplicates."""

FITTING = 0.8
"""Share of the blocks that must fit, each by half: a few may be retouched."""

LEVELS = 12.0
"""Difference of mean grey levels, of 255, up to which they are."""

TELLING = 4
"""Blocks of 25 that must show something: blank planes of two rocks are no copies of each other."""

BLANK = 0.9
"""Share of pixels of one grey level from which identical images are alike by chance."""

_THUMBNAIL = 40
_PAIRS_AT_ONCE = 1 << 23
_CHECKED_AT_ONCE = 1 << 13
_BLOCK = 8
_FLAT = 3.0
"""Standard deviation of grey levels, of 255, below which a block shows nothing but noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearDuplicates:
    """Slices of different groups that show nearly the same.

    Attributes:
        cluster: (N,), int64: slices of one number are linked by near-duplicates; one that has
            none has a number of its own.
        n_images: Slices that have a near-duplicate in another group.
        n_clusters: Clusters of more than one slice.
    """

    cluster: NDArray[np.int64]
    n_images: int
    n_clusters: int


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """What images are compared by.

    Attributes:
        hashes: (N,), uint64, difference hashes.
        blocks: (N, B, V), float16: values of each block of the thumbnail, of mean 0 and norm 1
            (less where it is flat).
        is_textured: (N, B), bool: whether a block shows more than noise.
        levels: (N,), float32, mean grey level.
        digests: (N,), int64, equal for identical images.
        is_varied: (N,), bool: whether identical images are a copy, not as blank as each other.
    """

    hashes: NDArray[np.uint64]
    blocks: NDArray[np.float16]
    is_textured: NDArray[np.bool_]
    levels: NDArray[np.float32]
    digests: NDArray[np.int64]
    is_varied: NDArray[np.bool_]


def find_near_duplicates(pixels: NDArray[np.uint8], groups: NDArray[np.int64]) -> NearDuplicates:
    """Find near-duplicates among slices of different groups; those of one are together anyway.

    All pairs of hashes are compared: 10 s for 30,000 slices, a hundred times that for 300,000.

    Args:
        pixels: (N, S, S, 3).
        groups: (N,), number of each slice's group.
    """
    looks = _looks_of(pixels)
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for candidates in _candidates(looks.hashes, groups):
        for start in range(0, candidates.shape[1], _CHECKED_AT_ONCE):
            some = candidates[:, start : start + _CHECKED_AT_ONCE]
            pairs.append(some[:, _are_alike(looks, some)])
    links = np.concatenate(pairs, axis=1)
    cluster = linked((links[0], links[1]), len(pixels))
    return NearDuplicates(
        cluster=cluster,
        n_images=len(np.unique(links)),
        n_clusters=int((np.bincount(cluster) > 1).sum()),
    )


def _looks_of(pixels: NDArray[np.uint8]) -> _Looks:
    count = len(pixels)
    side = _THUMBNAIL // _BLOCK
    cells = np.empty((count, 8, 9), dtype=np.uint8)
    blocks = np.empty((count, side * side, _BLOCK * _BLOCK), dtype=np.float16)
    is_textured = np.empty((count, side * side), dtype=np.bool_)
    levels = np.empty(count, dtype=np.float32)
    digests = np.empty(count, dtype=np.int64)
    is_varied = np.empty(count, dtype=np.bool_)
    for number in range(count):
        image = np.ascontiguousarray(pixels[number])
        digest = hashlib.blake2b(image.tobytes(), digest_size=8).digest()
        digests[number] = int.from_bytes(digest, "little", signed=True)
        grey = Image.fromarray(image).convert("L")
        is_varied[number] = max(grey.histogram()) < BLANK * grey.width * grey.height
        cells[number] = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
        small = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
        cut = small.astype(np.float32).reshape(side, _BLOCK, side, _BLOCK).transpose(0, 2, 1, 3)
        values = cut.reshape(side * side, -1)
        std = values.std(axis=1)
        scale = np.maximum(std, _FLAT) * _BLOCK  # a block's norm is its deviation times its side
        blocks[number] = (values - values.mean(axis=1, keepdims=True)) / scale[:, np.newaxis]
        is_textured[number] = std >= _FLAT
        levels[number] = small.mean()
    bits = (cells[:, :, :-1] < cells[:, :, 1:]).reshape(count, 64)
    hashes = np.packbits(bits, axis=1).view(np.uint64).reshape(-1)
    return _Looks(hashes, blocks, is_textured, levels, digests, is_varied)


def _candidates(
    hashes: NDArray[np.uint64], groups: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """(2, M): pairs of slices of different groups whose hashes are near, a few rows at a time."""
    step = max(1, _PAIRS_AT_ONCE // max(len(hashes), 1))
    for start in range(0, len(hashes), step):
        rows = hashes[start : start + step]
        distance = np.bitwise_count(rows[:, np.newaxis] ^ hashes[np.newaxis, start:])
        row, column = np.nonzero(distance <= HASH_BITS)
        is_new = (row < column) & (groups[start + row] != groups[start + column])
        yield start + np.stack([row[is_new], column[is_new]])


def _are_alike(looks: _Looks, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compare images pair by pair, (2, M).

    The correlation is taken block by block: what whole images have in common, such as the bright
    disc of a plug's section on black, would make all of them alike. Blocks that are flat in both
    tell nothing; where hardly any other is left, as in black planes at a volume's end, images are
    alike without being copies: they would join every sample to every other.
    """
    first, second = pairs
    correlation = np.einsum(
        "mbv,mbv->mb",
        looks.blocks[first].astype(np.float32),
        looks.blocks[second].astype(np.float32),
    )
    counts = looks.is_textured[first] | looks.is_textured[second]
    n_telling = counts.sum(axis=1)
    total = np.maximum(n_telling, 1)
    detail = (correlation * counts).sum(axis=1) / total
    fitting = ((correlation >= 0.5) & counts).sum(axis=1) / total
    is_level = np.abs(looks.levels[first] - looks.levels[second]) <= LEVELS
    is_telling = n_telling >= TELLING
    is_like = (detail >= CORRELATION) & (fitting >= FITTING) & is_level
    is_same = looks.digests[first] == looks.digests[second]
    return np.asarray(is_like & is_telling | is_same & (is_telling | looks.is_varied[first]))
