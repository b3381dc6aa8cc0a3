from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from encoder.errors import OutputError
from slice_samples import make_slices
from trainer.splits import (
    Split,
    SplitConfig,
    SplitError,
    check_leaks,
    read_split,
    split_slices,
    stored_samples,
)
from trainer.splits import write_split as write

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.slice_set import SliceSet
    from trainer.splits import SplitBy

SLICES = make_slices(reservoirs=4, samples=10, slices=3, size=32)
PARTS = ("train", "val", "test")


def parts_of(split: Split) -> list[NDArray[np.int64]]:
    return [getattr(split, name) for name in PARTS]


@pytest.mark.parametrize("by", ["sample", "reservoir", "image"])
def test_every_slice_is_in_one_part(by: SplitBy) -> None:
    split = split_slices(SLICES, SplitConfig(by=by, train=0.5, val=0.25, test=0.25))
    assert sorted(np.concatenate(parts_of(split))) == list(range(len(SLICES)))
    assert [len(part) for part in parts_of(split)] == [60, 30, 30]
    assert all((np.diff(part) > 0).all() for part in parts_of(split))


@pytest.mark.parametrize("by", ["sample", "reservoir"])
def test_what_is_split_by_stays_together(by: SplitBy) -> None:
    split = split_slices(SLICES, SplitConfig(by=by, train=0.5, val=0.25, test=0.25))
    kept = [set(getattr(SLICES, by)[part]) for part in parts_of(split)]
    assert not kept[0] & kept[1]
    assert not kept[0] & kept[2]
    assert not kept[1] & kept[2]


def test_every_reservoir_has_its_share_of_each_part() -> None:
    split = split_slices(SLICES, SplitConfig(train=0.7, val=0.1, test=0.2))
    for part, share in zip(parts_of(split), (7, 1, 2), strict=True):
        samples = SLICES.sample[part[::3]]
        assert np.bincount(samples // 10, minlength=4).tolist() == [share] * 4


def test_few_samples_a_reservoir_fill_the_shares_together() -> None:
    """One sample of each of 40 reservoirs: none can be divided, all together must be."""
    slices = make_slices(reservoirs=40, samples=1, slices=2, size=4)
    split = split_slices(slices, SplitConfig(near_duplicates=False))
    assert [len(part) for part in parts_of(split)] == [56, 8, 16]


def test_images_are_divided_within_every_label() -> None:
    slices = make_slices(reservoirs=2, samples=3, slices=10, size=4)
    split = split_slices(slices, SplitConfig(by="image", near_duplicates=False))
    for part, count in zip(parts_of(split), (7, 1, 2), strict=True):
        assert np.bincount(slices.sample[part]).tolist() == [count] * 6


def test_the_seed_decides() -> None:
    first, again, other = (
        split_slices(SLICES, SplitConfig(seed=seed)).test.tolist() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def with_twins(slices: SliceSet) -> SliceSet:
    """Give every even sample one image of the next odd one."""
    texture = np.random.default_rng(5).integers(0, 256, slices.pixels.shape[:3])
    pixels = np.repeat(texture[..., np.newaxis], 3, axis=3).astype(np.uint8)
    for sample in range(0, 40, 2):
        pixels[sample * 3] = pixels[sample * 3 + 5]
    return replace(slices, pixels=pixels)


def test_samples_that_share_an_image_are_kept_on_one_side() -> None:
    slices = with_twins(SLICES)
    split = split_slices(slices, SplitConfig(train=0.5, val=0.2, test=0.3))
    (note,) = split.notes
    assert note == (
        "40 images of different samples are near-duplicates, in 20 clusters that join up to "
        "2 samples: each kept on one side"
    )
    pairs = [set(slices.sample[part] // 2) for part in parts_of(split)]
    assert sum(map(len, pairs)) == 20
    apart = split_slices(slices, SplitConfig(train=0.5, val=0.2, test=0.3, near_duplicates=False))
    assert sum(len(set(slices.sample[part] // 2)) for part in parts_of(apart)) > 20
    assert apart.notes == ()


def noise_of(slices: SliceSet) -> SliceSet:
    texture = np.random.default_rng(6).integers(0, 256, slices.pixels.shape[:3])
    return replace(slices, pixels=np.repeat(texture[..., np.newaxis], 3, axis=3).astype(np.uint8))


@pytest.mark.parametrize("by", ["sample", "reservoir"])
def test_a_blank_plane_of_every_sample_joins_none(by: SplitBy) -> None:
    slices = noise_of(make_slices(reservoirs=6, samples=3, slices=4, size=32))
    config = SplitConfig(by=by, train=0.5, val=0.25, test=0.25)
    whole = [len(part) for part in parts_of(split_slices(slices, config))]
    slices.pixels[slices.number == 0] = 0
    assert [len(part) for part in parts_of(split_slices(slices, config))] == whole


def test_near_duplicates_that_leave_a_part_empty_are_told() -> None:
    slices = noise_of(make_slices(reservoirs=6, samples=3, slices=4, size=32))
    slices.pixels[slices.number == 0] = slices.pixels[0]
    told = r"val, test would be empty.*18 images .* in 1 clusters that join up to 18 samples"
    with pytest.raises(SplitError, match=told):
        split_slices(slices, SplitConfig())


def test_folders_decide_where_asked() -> None:
    folders = ["train"] * 24 + ["val"] * 6 + ["db_test"] * 6 + ["test"] * 2 + ["spare"] * 2
    names = tuple(f"{folder}/{number}.png" for number, folder in enumerate(folders))
    slices = replace(SLICES, scan_names=names)
    split = split_slices(slices, SplitConfig(by="folder"))
    assert [len(part) for part in parts_of(split)] == [72, 18, 24]
    assert split.notes == ("6 slices are in no folder of train, val, db_test, test: left out",)
    with pytest.raises(SplitError, match="no slice is in a folder named train"):
        split_slices(SLICES, SplitConfig(by="folder"))


def test_images_of_training_folders_in_the_test_folder_are_told() -> None:
    slices = noise_of(make_slices(reservoirs=1, samples=6, slices=2, size=32))
    folders = ("train", "train", "val", "test", "test", "spare")
    slices = replace(slices, scan_names=tuple(f"{name}/{n}" for n, name in enumerate(folders)))
    left_out = "2 slices are in no folder of train, val, db_test, test: left out"
    slices.pixels[3] = slices.pixels[5]  # training and validation may share images
    slices.pixels[9] = slices.pixels[11]  # what is left out is not learnt from
    assert split_slices(slices, SplitConfig(by="folder")).notes == (left_out,)
    slices.pixels[[6, 7]] = slices.pixels[[0, 4]]
    told = "2 of 4 test images are near-duplicates of training or validation images: results on"
    notes = split_slices(slices, SplitConfig(by="folder")).notes
    assert notes == (left_out, f"{told} them flatter")
    apart = split_slices(slices, SplitConfig(by="folder", near_duplicates=False))
    assert apart.notes == (left_out,)


def test_a_sample_in_two_parts_is_refused_with_the_list() -> None:
    """RockIR's validation images may be of training samples; test images may not."""
    folders = ("train/a", "val/b", "db_test/c", "train/d")
    slices = replace(
        make_slices(reservoirs=1, samples=4, slices=1),
        scan_names=folders,
        sample=np.array([0, 0, 0, 1]),
    )
    told = r"train and test share 1 samples: R0/S0; val and test share 1 samples: R0/S0"
    with pytest.raises(SplitError, match=told):
        split_slices(slices, SplitConfig(by="folder"))
    fine = replace(slices, sample=np.array([0, 0, 2, 1]))
    assert len(split_slices(fine, SplitConfig(by="folder")).val) == 1


def test_leaks_of_other_splits_are_found() -> None:
    one, two, none = np.arange(4), np.arange(4, 9), np.arange(0)
    leaking = Split(train=one, val=two, test=none)
    with pytest.raises(SplitError, match="train and val share 1 samples: R0/S1"):
        check_leaks(leaking, SLICES)
    check_leaks(replace(leaking, by="image"), SLICES)
    with pytest.raises(SplitError, match="train and test share slices"):
        check_leaks(Split(train=one, val=none, test=one, by="image"), SLICES)


def test_empty_parts_are_refused() -> None:
    few = make_slices(reservoirs=1, samples=3, slices=3, size=4)
    with pytest.raises(SplitError, match=r"val would be empty.*set split\.val=0"):
        split_slices(few, SplitConfig(near_duplicates=False))
    split = split_slices(few, SplitConfig(train=0.7, val=0, test=0.3, near_duplicates=False))
    assert [len(part) for part in parts_of(split)] == [6, 0, 3]


def test_a_split_is_read_back(tmp_path: Path) -> None:
    split = split_slices(SLICES, SplitConfig(seed=3))
    write(tmp_path / "split.json", split, slices=SLICES)
    read = read_split(tmp_path / "split.json", SLICES)
    assert [part.tolist() for part in parts_of(read)] == [part.tolist() for part in parts_of(split)]
    assert (read.by, read.notes) == (split.by, split.notes)
    told = json.loads((tmp_path / "split.json").read_text())["samples"]["test"]
    assert told == [
        SLICES.sample_names[number] for number in sorted(set(SLICES.sample[split.test]))
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]


def test_names_that_are_no_unicode_are_read_back(tmp_path: Path) -> None:
    """A folder's name may be any bytes; Python reads those that are no UTF-8 as surrogates."""
    names = ("R0/S\udcff0", *SLICES.sample_names[1:])
    slices = replace(SLICES, sample_names=names)
    split = split_slices(slices, SplitConfig())
    write(tmp_path / "split.json", split, slices=slices)
    read = read_split(tmp_path / "split.json", slices)
    assert [part.tolist() for part in parts_of(read)] == [part.tolist() for part in parts_of(split)]
    told = json.loads((tmp_path / "split.json").read_text())["samples"].values()
    assert any("R0/S\\xff0" in part for part in told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slices": "0" * 64}, "is of other slices"),
        ({"train": [0, 1, 1]}, "train is damaged"),
        ({"test": [9999]}, "test is damaged"),
        ({"val": [-1]}, "no split"),
        ({"by": "luck"}, "no split"),
        ({"val": [0], "train": [1], "test": []}, "train and val share 1 samples"),
    ],
)
def test_stored_splits_that_are_wrong_are_refused(
    tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    path = tmp_path / "split.json"
    write(path, split_slices(SLICES, SplitConfig()), slices=SLICES)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(SplitError, match=told):
        read_split(path, SLICES)


def test_files_that_are_no_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="can't be read"):
        read_split(tmp_path / "none.json", SLICES)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SplitError, match="no split"):
        read_split(tmp_path / "broken.json", SLICES)
    with pytest.raises(OutputError, match="can't be written"):
        write(tmp_path / "missing/split.json", split_slices(SLICES, SplitConfig()), slices=SLICES)


def test_shares_must_add_up() -> None:
    with pytest.raises(ValidationError, match="must add up to 1"):
        SplitConfig(train=0.5)


def test_a_stored_split_names_its_samples_in_other_slices(tmp_path: Path) -> None:
    """Also where a folder's name is no UTF-8."""
    names = ("r0/a", "r1/b\udcff", "r2/c")
    slices = make_slices(reservoirs=3, samples=1, slices=4, size=8)
    split = Split(train=np.arange(4), val=np.arange(4, 8), test=np.arange(8, 12))
    write(tmp_path / "split.json", split, slices=replace(slices, sample_names=names))
    other = replace(slices, sample_names=("r2/c", "r1/b\udcff", "r9/z"))
    assert stored_samples(tmp_path / "split.json", other) == [0, 1]
    assert stored_samples(tmp_path / "split.json", other, parts=("train", "val")) == [1]
