from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.decoding import DecodedScan
from encoder.encoding import GROUP_SLICES, encode_scans
from encoder.inference import EncodingSession
from encoder.metric import Metric
from encoder.planes import ScanInfo
from encoder.preprocess import Preprocessing
from encoder.slicing import Slice
from encoder.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SIDE = 2


@dataclass
class MeanColour:
    """An encoder without a network: the mean of each channel, so that vectors name their slice."""

    name: str = "mean-colour"
    dimension: int = 3
    metric: Metric = Metric.L2
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing(size=SIDE))
    init: str = "none"
    bundle_id: str | None = None

    def encode(self, batch: Tensor) -> Tensor:
        return batch.float().mean(dim=(1, 2))


@pytest.fixture
def session() -> EncodingSession:
    return EncodingSession(MeanColour(), device="cpu", precision="fp32")


def scan(number: int, n_slices: int) -> DecodedScan:
    """A scan whose slice i is of the one colour (number's two digits to base 256, i)."""
    slices = tuple(
        Slice(
            index=index,
            axis=0,
            plane=index,
            position=None,
            tile=None,
            pixels=np.tile(
                np.array([number // 256, number % 256, index], np.uint8), (SIDE, SIDE, 1)
            ),
        )
        for index in range(n_slices)
    )
    info = ScanInfo(
        format="PNG",
        n_planes=1,
        height=SIDE,
        width=SIDE,
        channels=3,
        dtype="uint8",
        is_volume=False,
    )
    return DecodedScan(
        path=Path(f"{number}.png"),
        info=info,
        window=Window(low=0.0, high=255.0, rule="none"),
        slices=slices,
    )


def colours(number: int, n_slices: int) -> list[list[float]]:
    return [[number // 256, number % 256, index] for index in range(n_slices)]


@pytest.mark.parametrize(
    "lengths",
    [
        [3, 1, 2],
        [1] * (2 * GROUP_SLICES + 3),
        [1] * GROUP_SLICES,
        [200, 250, 150, 7, 255, 255, 255, 1],
    ],
    ids=["unequal", "several groups", "a group exactly", "unequal across groups"],
)
def test_every_scan_gets_its_own_vectors_in_order(
    session: EncodingSession, lengths: list[int]
) -> None:
    scans = [scan(number, length) for number, length in enumerate(lengths)]
    found = list(encode_scans(scans, session))
    assert [item.path for item, _ in found] == [item.path for item in scans]
    for number, (_, vectors) in enumerate(found):
        assert vectors.tolist() == colours(number, lengths[number])


def test_scans_are_gathered_no_further_than_a_group(session: EncodingSession) -> None:
    taken = 0

    def endless() -> Iterator[DecodedScan]:
        nonlocal taken
        while True:
            yield scan(taken, 1)
            taken += 1

    next(encode_scans(endless(), session))
    assert taken < GROUP_SLICES


def test_no_scans_give_nothing(session: EncodingSession) -> None:
    assert list(encode_scans([], session)) == []
