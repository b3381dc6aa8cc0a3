from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]  # has no types

from encoder.errors import LithoscopeError
from encoder.preprocess import Preprocessing, bound_slice, resize_slice
from encoder.slicing import Slicing

if TYPE_CHECKING:
    from numpy.typing import NDArray


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "shape", [(28, 28, 3), (484, 646, 3), (1000, 1000), (224, 224), (9, 700), (1, 1), (2500, 3000)]
)
def test_resizing_equals_torchvisions_antialiased_bilinear(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    resized = resize_slice(pixels, 224)
    assert resized.shape == (224, 224, 3)
    assert resized.dtype == np.uint8
    channels = torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)
    expected = functional.resize(channels, [224, 224], antialias=True).numpy()
    difference = np.abs(resized.transpose(2, 0, 1).astype(int) - expected)  # grey broadcasts
    assert difference.max() <= 1


def test_resizing_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (512, 512))
    assert np.ptp(resize_slice(stripes, 100)[:, 2:-2]) < 40


def test_resized_slice_can_be_written_to() -> None:
    resized = resize_slice(noise(224, 224), 224)
    assert resized.flags.writeable
    torch.from_numpy(resize_slice(noise(30, 30, 3), 224))  # would warn of a read-only array


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1000, 500), (256, 128)),
        ((500, 1000, 3), (128, 256, 3)),
        ((5000, 2), (256, 1)),
        ((256, 100), (256, 100)),
        ((20, 30, 3), (20, 30, 3)),
    ],
)
def test_bounding_keeps_the_aspect(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert bound_slice(noise(*shape), 256).shape == expected


def test_settings_survive_json() -> None:
    settings = Preprocessing(
        size=128, mean=(0.1, 0.2, 0.3), window="none", slicing=Slicing(planes=7, margin=0.1)
    )
    restored = Preprocessing.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert restored == settings
    assert restored.fingerprint() == settings.fingerprint()


def test_fingerprint_is_the_same_everywhere() -> None:
    """A change here makes every index stale: raise ALGORITHM_VERSION knowingly."""
    assert Preprocessing().fingerprint() == (
        "2e78dd35532792d02d87d993d46edfbd9e1eae55486c50d7ad8b685daf16e9e7"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"size": 225},
        {"mean": (0.485, 0.456, 0.407)},
        {"std": (0.229, 0.224, 0.226)},
        {"window": "none"},
        {"slicing": Slicing(planes=91)},
        {"slicing": Slicing(margin=0.06)},
        {"slicing": Slicing(tiles=59)},
        {"slicing": Slicing(tile_min_side=1025)},
    ],
)
def test_every_setting_is_part_of_the_fingerprint(change: dict[str, Any]) -> None:
    assert replace(Preprocessing(), **change).fingerprint() != Preprocessing().fingerprint()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 0}, "size must be"),
        ({"size": 224.5}, "integer"),
        ({"size": "224"}, "integer"),
        ({"window": "minmax"}, "window must be"),
        ({"std": [0.2, 0.2, 0.0]}, "std positive"),
        ({"mean": [0.2, float("nan"), 0.2]}, "finite"),
        ({"mean": [0.2, 0.2]}, "unpack"),
        ({"mean": 0.5}, "iterable"),
        ({"slicing": {"planes": 9}}, "expected"),
        ({"slicing": None}, "iterable"),
        ({"crop": 3}, "expected"),
    ],
)
def test_settings_of_another_kind_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LithoscopeError, match=rf"preprocessing settings: .*{reason}"):
        Preprocessing.from_dict({**Preprocessing().to_dict(), **change})


def test_missing_setting_is_refused() -> None:
    settings = Preprocessing().to_dict()
    del settings["window"]
    with pytest.raises(LithoscopeError, match="expected"):
        Preprocessing.from_dict(settings)
