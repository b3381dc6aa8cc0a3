from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]  # ships no types

from trainer.near_duplicates import find_near_duplicates

SIDE = 64


def textures(count: int, *, seed: int = 0, smooth: float = 2.0) -> np.ndarray:
    """Grey textures of grains of a few pixels, (count, S, S, 3)."""
    noise = np.random.default_rng(seed).normal(size=(count, SIDE, SIDE))
    grains = ndimage.gaussian_filter(noise, (0, smooth, smooth))
    levels = 128 + 40 * grains / grains.std()
    return np.repeat(levels.clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=3)


def through_jpeg(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=60)
    return np.asarray(Image.open(stream))


def resized(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((45, 45)).resize((SIDE, SIDE)))


def retouched(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[50:, :12] = 255  # a scale bar
    return changed


def brightened(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 1.05).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [np.copy, through_jpeg, resized, retouched, brightened])
def test_changed_copies_are_found(change: object) -> None:
    assert callable(change)
    pixels = np.concatenate([textures(60), [change(textures(60)[17])]])
    found = find_near_duplicates(pixels, np.arange(61))
    assert (found.n_images, found.n_clusters) == (2, 1)
    assert found.cluster[60] == found.cluster[17]
    assert len(set(found.cluster)) == 60


def test_textures_of_one_kind_are_no_duplicates() -> None:
    for smooth in (0.5, 2.0, 6.0):
        found = find_near_duplicates(textures(300, smooth=smooth), np.arange(300))
        assert found.n_images == 0


def test_sections_of_plugs_are_no_duplicates() -> None:
    """All show a bright disc on black: whole images correlate by 0.9, their grains don't."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    disc = (np.hypot(x, y) < SIDE / 2)[..., np.newaxis]
    plugs = (textures(100, smooth=1.0) // 2 + 100) * disc
    assert np.corrcoef(plugs[0].ravel(), plugs[1].ravel())[0, 1] > 0.9
    assert find_near_duplicates(plugs.astype(np.uint8), np.arange(100)).n_images == 0


def test_blank_images_are_no_duplicates() -> None:
    """Black planes at the ends of volumes would join every sample to every other."""
    blank = np.zeros((6, SIDE, SIDE, 3), dtype=np.uint8)
    blank[2, 0, 0] = 1
    blank[3] = 1
    blank[4:, 60:, :12] = 255  # two with the same scale bar
    found = find_near_duplicates(blank, np.arange(6))
    assert (found.n_images, found.n_clusters) == (0, 0)


def test_copies_of_an_image_of_hardly_any_contrast_are_found() -> None:
    """No block of its thumbnail has a texture, but no other image has the same noise."""
    pale = np.repeat(textures(3, smooth=0.5)[..., :1] // 64 + 100, 3, axis=3)
    found = find_near_duplicates(np.concatenate([pale, pale[1:2]]), np.arange(4))
    assert found.cluster.tolist() == [0, 1, 2, 1]


def test_what_is_together_anyway_is_not_counted() -> None:
    pixels = np.concatenate([textures(5), textures(5)])
    found = find_near_duplicates(pixels, np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 9]))
    assert (found.n_images, found.n_clusters) == (2, 1)


def test_chains_become_one_cluster() -> None:
    pixels = np.concatenate([textures(3), textures(3), textures(3)])
    found = find_near_duplicates(pixels, np.arange(9))
    assert found.cluster.tolist() == [0, 1, 2] * 3
    assert (found.n_images, found.n_clusters) == (9, 3)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_images_are_no_trouble(count: int) -> None:
    found = find_near_duplicates(textures(2)[:count], np.arange(count))
    assert (len(found.cluster), found.n_images, found.n_clusters) == (count, 0, 0)
