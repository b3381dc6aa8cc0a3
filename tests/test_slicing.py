from __future__ import annotations

import numpy as np
import pytest

from encoder.planes import ScanInfo
from encoder.slicing import Slicing, tile_boxes


def info(n_planes: int, height: int = 64, width: int = 64) -> ScanInfo:
    return ScanInfo(
        format="test",
        n_planes=n_planes,
        height=height,
        width=width,
        channels=1,
        dtype="uint8",
        is_volume=n_planes > 1,
    )


def test_volume_skips_its_ends_and_spaces_planes_evenly() -> None:
    places = Slicing().places(info(1000))
    planes = [place.plane for place in places if place.plane is not None]
    assert len(planes) == 90
    assert planes[0] >= 50
    assert planes[-1] < 950
    assert set(np.diff(planes)) == {10}
    assert planes[0] - 50 == pytest.approx(949 - planes[-1], abs=1)
    assert [place.index for place in places] == list(range(90))
    assert {place.axis for place in places} == {0}
    assert {place.tile for place in places} == {None}
    assert places[0].position == pytest.approx(planes[0] / 999)


@pytest.mark.parametrize(
    ("n_planes", "expected"),
    [
        (2, range(2)),
        (3, range(3)),
        (19, range(19)),
        (20, range(1, 19)),
        (64, range(3, 61)),
        (100, range(5, 95)),
    ],
)
def test_thin_volume_gives_every_inner_plane_once(n_planes: int, expected: range) -> None:
    assert list(Slicing().plane_numbers(n_planes)) == list(expected)


@pytest.mark.parametrize("planes", [1, 2, 7, 90])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.29, 0.499])
def test_planes_are_always_distinct_ascending_and_inside(planes: int, margin: float) -> None:
    for n_planes in range(1, 400):
        numbers = Slicing(planes=planes, margin=margin).plane_numbers(n_planes)
        assert 1 <= len(numbers) <= planes
        assert sorted(set(numbers)) == list(numbers)
        assert numbers[0] >= 0
        assert numbers[-1] < n_planes


def test_positions_run_from_zero_to_one() -> None:
    assert [place.position for place in Slicing(margin=0.0).places(info(3))] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (2000, 3000), (5000, 1024)])
def test_large_image_gives_sixty_tiles(height: int, width: int) -> None:
    places = Slicing().places(info(1, height, width))
    assert len(places) == 60
    assert all(place.plane is None and place.position is None for place in places)


@pytest.mark.parametrize(("height", "width"), [(1023, 5000), (5000, 1023), (28, 28), (1, 1)])
def test_small_image_is_one_slice(height: int, width: int) -> None:
    (place,) = Slicing().places(info(1, height, width))
    assert (place.index, place.axis, place.plane, place.tile) == (0, None, None, None)


@pytest.mark.parametrize("tiles", [1, 2, 7, 59, 60])
@pytest.mark.parametrize(
    ("height", "width"), [(1024, 1024), (1031, 2047), (1536, 12_001), (20, 3), (1, 1)]
)
def test_tiles_cover_every_pixel_once(tiles: int, height: int, width: int) -> None:
    covered = np.zeros((height, width), np.uint8)
    boxes = tile_boxes(height, width, tiles=tiles)
    for box in boxes:
        covered[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    assert covered.min() == covered.max() == 1
    assert 1 <= len(boxes) <= tiles
    for sides in ([box.width for box in boxes], [box.height for box in boxes]):
        assert max(sides) - min(sides) <= 1
        assert min(sides) >= 1


def test_sixty_tiles_are_nearly_square() -> None:
    for aspect in np.geomspace(1 / 25, 25, 200):
        height = 1024 if aspect > 1 else round(1024 / aspect)
        width = round(1024 * aspect) if aspect > 1 else 1024
        boxes = tile_boxes(height, width, tiles=60)
        assert len(boxes) == 60
        elongation = boxes[0].width / boxes[0].height
        assert max(elongation, 1 / elongation) < 5 / 3 * 1.05


def test_a_prime_number_of_tiles_is_lowered_instead_of_cutting_strips() -> None:
    boxes = tile_boxes(2048, 2048, tiles=59)
    assert 50 <= len(boxes) < 59
    assert max(boxes[0].width, boxes[0].height) <= 2 * min(boxes[0].width, boxes[0].height)


def test_tiles_go_row_by_row() -> None:
    boxes = tile_boxes(600, 1000, tiles=60)
    assert [(box.y, box.x) for box in boxes] == sorted((box.y, box.x) for box in boxes)


@pytest.mark.parametrize(
    "setting", [{"planes": 0}, {"tiles": 0}, {"tile_min_side": 0}, {"margin": 0.5}, {"margin": -1}]
)
def test_settings_without_slices_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Slicing(**setting)
