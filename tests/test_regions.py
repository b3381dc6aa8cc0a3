"""Parts of pictures: where they lie, and that they are cut in their scan's window."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.cutting import DecodeOptions, cut_slices
from encoder.errors import ScanError, ScanFault
from encoder.planes import ScanInfo
from encoder.regions import Region, RegionError
from encoder.slicing import Slicing, TileBox

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Planes:
    """Planes in memory."""

    def __init__(self, planes: NDArray[np.uint16]) -> None:
        self.planes = planes
        self.info = ScanInfo(
            format="memory",
            n_planes=len(planes),
            height=planes.shape[1],
            width=planes.shape[2],
            channels=1,
            dtype="uint16",
            is_volume=len(planes) > 1,
        )

    def plane(self, index: int) -> NDArray[np.uint16]:
        plane: NDArray[np.uint16] = self.planes[index]
        return plane

    def close(self) -> None:
        """Nothing is open."""


def noise(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(2).integers(1000, 60_000, shape).astype(np.uint16)


@pytest.mark.parametrize(
    "edges",
    [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (0, -0.1, 1, 1), (0, 0, 1, 1.01), (0, 0, float("nan"), 1)],
)
def test_edges_that_are_no_box_are_refused(edges: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = edges
    with pytest.raises(RegionError, match="fractions from 0 to 1"):
        Region(left=left, top=top, right=right, bottom=bottom)


def test_boxes_hold_the_region_and_lie_within() -> None:
    rng = random.Random(1)  # noqa: S311  reproducible, no secret
    for _ in range(500):
        whole = TileBox(
            x=rng.randrange(50), y=rng.randrange(50), width=rng.randrange(40, 900), height=200
        )
        left, right = sorted((rng.random(), rng.random()))
        region = Region(left=left, top=0.0, right=min(1.0, right + 0.3), bottom=1.0)
        box = region.box(whole)
        assert whole.x <= box.x <= whole.x + region.left * whole.width + 1e-3
        assert box.x + box.width >= whole.x + region.right * whole.width - 1e-3
        assert box.x + box.width <= whole.x + whole.width
        assert (box.y, box.height) == (whole.y, whole.height)


def test_fractions_that_name_pixels_give_those() -> None:
    box = Region(left=0.1, top=0.2, right=0.3, bottom=0.7).box(
        TileBox(x=5, y=0, width=1000, height=100)
    )
    assert box == TileBox(x=105, y=20, width=200, height=50)


def test_an_image_is_cut_in_the_window_of_the_whole() -> None:
    planes = noise(1, 100, 200)
    planes[0, :, :100] //= 10
    window, (whole,) = cut_slices(Planes(planes), DecodeOptions(), name="a.png")
    region = Region(left=0.0, top=0.5, right=0.5, bottom=1.0)
    same, (part,) = cut_slices(Planes(planes), DecodeOptions(region=region), name="a.png")
    assert same == window
    assert np.array_equal(part.pixels, whole.pixels[50:, :100])
    assert part.tile == TileBox(x=0, y=50, width=100, height=50)


def test_every_plane_of_a_volume_or_one_of_them() -> None:
    planes = noise(8, 40, 60)
    slicing = Slicing(planes=4, margin=0.0)
    region = Region(left=0.5, top=0.0, right=1.0, bottom=0.5)
    _, whole = cut_slices(Planes(planes), DecodeOptions(slicing=slicing), name="v")
    options = DecodeOptions(slicing=slicing, region=region)
    _, parts = cut_slices(Planes(planes), options, name="v")
    assert [part.index for part in parts] == [0, 1, 2, 3]
    for part, plane in zip(parts, whole, strict=True):
        assert np.array_equal(part.pixels, plane.pixels[:20, 30:])
    one = DecodeOptions(slicing=slicing, region=region, indices=frozenset({2}))
    _, (only,) = cut_slices(Planes(planes), one, name="v")
    assert np.array_equal(only.pixels, parts[2].pixels)
    _, (middle,) = cut_slices(
        Planes(planes), DecodeOptions(slicing=slicing, only_middle=True), name="v"
    )
    assert middle.index == 2


def test_a_large_part_of_an_image_is_tiled_as_an_image_is() -> None:
    planes = noise(1, 100, 200)
    slicing = Slicing(tiles=4, tile_min_side=50)
    region = Region(left=0.5, top=0.0, right=1.0, bottom=1.0)
    _, whole = cut_slices(
        Planes(planes), DecodeOptions(slicing=Slicing(tile_min_side=999)), name="a"
    )
    _, parts = cut_slices(Planes(planes), DecodeOptions(slicing=slicing, region=region), name="a")
    assert len(parts) == 4
    assert {(part.tile.x, part.tile.y) for part in parts if part.tile} == {
        (x, y) for x in (100, 150) for y in (0, 50)
    }
    for part in parts:
        box = part.tile
        assert box is not None
        cut = whole[0].pixels[box.y : box.y + box.height, box.x : box.x + box.width]
        assert np.array_equal(part.pixels, cut)


def test_a_part_of_a_tile_is_a_part_of_that_slice() -> None:
    planes = noise(1, 100, 200)
    slicing = Slicing(tiles=8, tile_min_side=50)
    options = DecodeOptions(slicing=slicing, indices=frozenset({7}))
    _, (tile,) = cut_slices(Planes(planes), options, name="a")
    region = Region(left=0.0, top=0.5, right=0.5, bottom=1.0)
    cut = DecodeOptions(slicing=slicing, indices=frozenset({7}), region=region)
    _, (part,) = cut_slices(Planes(planes), cut, name="a")
    height, width = tile.pixels.shape[:2]
    assert np.array_equal(part.pixels, tile.pixels[height // 2 :, : width // 2])


def test_a_part_of_a_few_pixels_is_refused_with_its_size() -> None:
    region = Region(left=0.0, top=0.0, right=0.01, bottom=1.0)
    with pytest.raises(ScanError, match=r"2 x 100 pixels.*larger box") as caught:
        cut_slices(Planes(noise(1, 100, 200)), DecodeOptions(region=region), name="a.png")
    assert caught.value.fault is ScanFault.TOO_THIN
