from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder import cutting
from encoder.cutting import DecodeOptions, cut_slices
from encoder.errors import ScanError, ScanFault
from encoder.planes import ScanInfo
from encoder.preprocess import Preprocessing, resize_slice
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Stack:
    """Planes in memory, with a count of how often each is read."""

    def __init__(self, planes: NDArray[Any], *, colour: bool = False) -> None:
        """Take (P, H, W) or, in colour, (P, H, W, 3)."""
        self.planes = planes
        self.reads: Counter[int] = Counter()
        self.info = ScanInfo(
            format="memory",
            n_planes=len(planes),
            height=planes.shape[1],
            width=planes.shape[2],
            channels=3 if colour else 1,
            dtype=planes.dtype.name,
            is_volume=len(planes) > 1,
        )

    def plane(self, index: int) -> NDArray[Any]:
        self.reads[index] += 1
        plane: NDArray[Any] = self.planes[index]
        return plane

    def close(self) -> None:
        """Nothing is open."""


def volume(n_planes: int, side: int, dtype: str = "uint16") -> NDArray[Any]:
    values = np.random.default_rng(0).integers(1000, 5000, (n_planes, side, side))
    return values.astype(dtype)


def test_slices_share_one_window_and_know_their_places() -> None:
    planes = volume(200, 24)
    planes[:100] //= 2
    stack = Stack(planes)
    window, slices = cut_slices(stack, DecodeOptions(), name="rock.raw")
    numbers = Slicing().plane_numbers(200)
    shown = planes[list(numbers)].astype(float)
    assert (window.low, window.high) == pytest.approx(tuple(np.quantile(shown, [0.001, 0.999])))
    assert [piece.plane for piece in slices] == list(numbers)
    for piece in slices[::20]:
        assert piece.plane is not None
        assert np.array_equal(piece.pixels, window.apply(planes[piece.plane]))
    assert set(stack.reads) == set(numbers)  # no others are decoded


def test_small_scans_are_read_once() -> None:
    stack = Stack(volume(50, 24))
    cut_slices(stack, DecodeOptions(), name="rock.raw")
    assert set(stack.reads.values()) == {1}


def test_large_scans_are_read_twice_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "KEPT_BYTES", 0)
    stack = Stack(volume(50, 24))
    cut_slices(stack, DecodeOptions(), name="rock.raw")
    assert set(stack.reads.values()) == {2}


def test_tiles_of_a_large_image_share_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "KEPT_BYTES", 0)
    image = np.random.default_rng(0).integers(0, 256, (1, 1100, 1300, 3), dtype=np.uint8)
    stack = Stack(image, colour=True)
    window, slices = cut_slices(stack, DecodeOptions(), name="thin.png")
    assert stack.reads == {0: 1}
    assert len(slices) == 60
    canvas = np.zeros_like(image[0])
    for piece in slices:
        box = piece.tile
        assert box is not None
        canvas[box.y : box.y + box.height, box.x : box.x + box.width] = piece.pixels
    assert np.array_equal(canvas, window.apply(image[0]))  # no seams


def test_slices_are_resized_for_an_encoder() -> None:
    preprocessing = Preprocessing(size=32, slicing=Slicing(planes=3, margin=0.0))
    planes = volume(6, 50)
    window, slices = cut_slices(
        Stack(planes), DecodeOptions.for_encoding(preprocessing), name="rock.raw"
    )
    assert len(slices) == 3
    for piece in slices:
        assert piece.plane is not None
        whole = window.apply(planes[piece.plane])
        assert np.array_equal(piece.pixels, resize_slice(whole, 32))


def test_previews_are_bounded() -> None:
    _, slices = cut_slices(Stack(volume(3, 50)), DecodeOptions(max_side=20), name="rock.raw")
    assert [piece.pixels.shape for piece in slices] == [(20, 20)] * 3


def test_some_slices_look_as_they_do_among_all() -> None:
    stack = Stack(volume(40, 24))
    every_window, every = cut_slices(stack, DecodeOptions(), name="rock.raw")
    window, some = cut_slices(stack, DecodeOptions(indices=frozenset({7, 3, 999})), name="rock.raw")
    assert window == every_window
    assert [piece.index for piece in some] == [3, 7]
    assert np.array_equal(some[1].pixels, every[7].pixels)


def test_byte_order_does_not_matter() -> None:
    planes = volume(4, 24)
    _, expected = cut_slices(Stack(planes), DecodeOptions(), name="rock.raw")
    _, found = cut_slices(Stack(planes.astype(">u2")), DecodeOptions(), name="rock.raw")
    assert all(
        np.array_equal(one.pixels, other.pixels) for one, other in zip(expected, found, strict=True)
    )


def test_slices_own_their_pixels() -> None:
    """A slice that is a view of a mapped file would crash once the file is closed."""
    image = np.random.default_rng(0).integers(0, 256, (1, 30, 30), dtype=np.uint8)
    _, slices = cut_slices(Stack(image), DecodeOptions(window="none"), name="rock.png")
    assert not np.shares_memory(slices[0].pixels, image)
    assert np.array_equal(slices[0].pixels, image[0])


def test_planes_that_differ_from_the_header_are_refused() -> None:
    stack = Stack(volume(5, 24))
    stack.planes = stack.planes[:, :, :20]
    with pytest.raises(ScanError, match=r"shape \(24, 20\), expected \(24, 24\)") as caught:
        cut_slices(stack, DecodeOptions(), name="rock.raw")
    assert caught.value.fault is ScanFault.UNREADABLE


def test_one_bad_plane_refuses_the_scan() -> None:
    planes = volume(30, 24, "float32")
    planes[15, 3, 4] = np.nan
    with pytest.raises(ScanError, match=r"rock\.raw: 1 values? .* NaN"):
        cut_slices(Stack(planes), DecodeOptions(), name="rock.raw")


def test_constant_plane_within_a_textured_scan_is_fine() -> None:
    planes = volume(10, 24)
    planes[4] = 0
    _, slices = cut_slices(Stack(planes), DecodeOptions(), name="rock.raw")
    assert slices[4].pixels.max() == 0
