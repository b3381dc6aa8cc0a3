"""From decoded scans to vectors: batches are filled across scans; each scan comes out whole."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from encoder.decoding import DecodedScan
    from encoder.inference import EncodingSession

GROUP_SLICES = 512
"""Slices that are gathered before they are encoded: 77 MB of pixels at 224²."""


def encode_scans(
    scans: Iterable[DecodedScan], session: EncodingSession
) -> Iterator[tuple[DecodedScan, NDArray[np.float32]]]:
    """Encode scans, small ones together, so that batches are full.

    Args:
        scans: Decoded scans whose slices were resized to the encoder's (S, S, 3).
        session: Encoder on its device.

    Yields:
        Each scan with its vectors (n slices, D), in order.
    """
    group: list[DecodedScan] = []
    waiting = 0
    for scan in scans:
        group.append(scan)
        waiting += len(scan.slices)
        if waiting >= GROUP_SLICES:
            yield from _encode_group(group, session)
            group, waiting = [], 0
    if group:
        yield from _encode_group(group, session)


def _encode_group(
    group: list[DecodedScan], session: EncodingSession
) -> Iterator[tuple[DecodedScan, NDArray[np.float32]]]:
    pixels = np.stack([part.pixels for part in chain.from_iterable(s.slices for s in group)])
    ends = np.cumsum([len(scan.slices) for scan in group])
    vectors = np.split(session.encode(pixels), ends[:-1])
    yield from zip(group, vectors, strict=True)
