from __future__ import annotations

import contextlib
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from encoder.cutting import DecodeOptions
from encoder.decoding import DecodeLimits, decode_scan
from encoder.errors import OutputError
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing
from infra.store_errors import LocalFileError, ObjectMissingError, StoreAwayError
from trainer.scan_content import ContentHashes
from trainer.slice_cache import CacheOptions, DataError, build_slice_set
from trainer.training_scan import FetchContent, TrainingScan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREPROCESSING = Preprocessing(size=16, slicing=Slicing(planes=3, margin=0.0))


@pytest.fixture
def scans(tmp_path: Path) -> list[TrainingScan]:
    """Three volumes, a picture and a text that is none, of two reservoirs."""
    folder = tmp_path / "library"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        volume = generator.integers(0, 4000, (4 + number, 20, 24)).astype(np.uint16)
        np.save(folder / f"v{number}.npy", volume)
    Image.fromarray(generator.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(folder / "p.png")
    (folder / "t.tif").write_text("no picture")
    return scans_in(folder)


def scans_in(folder: Path) -> list[TrainingScan]:
    with ContentHashes(folder / "cache") as hashes:
        return [
            TrainingScan(
                name=path.name,
                content=hashes.content_of(path),
                sample=f"R{number % 2}/{path.stem}",
                reservoir=f"R{number % 2}",
                path=path,
                porosity=0.1 * number if number else None,
                permeability_md=10.0 * number,
                pixel_size_um=None if number % 2 else 2.0,
            )
            for number, path in enumerate(sorted(folder.glob("?*.*")))
        ]


@pytest.fixture
def options(tmp_path: Path) -> CacheOptions:
    return CacheOptions(folder=tmp_path / "cache", preprocessing=PREPROCESSING, workers=1)


def unusable(scan: TrainingScan) -> TrainingScan:
    """The same content without a file: decoding it once more fails."""
    assert scan.path is not None
    return replace(scan, path=scan.path.with_name("removed"))


def test_slices_are_those_of_the_decoder(scans: list[TrainingScan], options: CacheOptions) -> None:
    built = build_slice_set(scans, options)
    slices = built.slices
    assert slices.scan_names == ("p.png", "v0.npy", "v1.npy", "v2.npy")
    assert slices.scan.tolist() == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert slices.number.tolist() == [0, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    for number, name in enumerate(slices.scan_names):
        scan = next(scan for scan in scans if scan.name == name)
        assert scan.path is not None
        direct = decode_scan(scan.path, DecodeOptions.for_encoding(PREPROCESSING))
        np.testing.assert_array_equal(
            slices.pixels[slices.scan == number], [piece.pixels for piece in direct.slices]
        )
    assert [scan.name for scan in built.refused] == ["t.tif"]
    assert "t.tif: " in str(built.refused[0])


def test_what_is_known_of_scans_is_with_their_slices(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    slices = build_slice_set(scans, options).slices
    assert slices.sample_names == ("R0/p", "R0/v0", "R0/v2", "R1/v1")
    assert slices.reservoir_names == ("R0", "R1")
    for row in range(len(slices)):
        scan = next(s for s in scans if s.name == slices.scan_names[slices.scan[row]])
        assert slices.sample_names[slices.sample[row]] == scan.sample
        assert slices.reservoir_names[slices.reservoir[row]] == scan.reservoir
        assert slices.label_names[slices.label[row]] == scan.sample
    np.testing.assert_array_equal(slices.permeability_md[:4], [np.nan, 20.0, 20.0, 20.0])
    by_class = build_slice_set(scans, replace(options, label="class")).slices
    assert by_class.label_names == ("R0", "R1")
    np.testing.assert_array_equal(by_class.label, by_class.reservoir)


def test_a_file_may_tell_the_pixel_size(tmp_path: Path, options: CacheOptions) -> None:
    folder = tmp_path / "tiffs"
    folder.mkdir()
    picture = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    picture.save(folder / "a.tif", resolution=10000.0, resolution_unit=3)  # per cm: 1 µm
    (scan,) = scans_in(folder)
    for _ in range(2):  # decoded, then from the cache
        told = build_slice_set([replace(scan, pixel_size_um=None)], options).slices
        assert told.pixel_size_um.tolist() == pytest.approx([1.0])
    corrected = build_slice_set([replace(scan, pixel_size_um=3.0)], options).slices
    assert corrected.pixel_size_um.tolist() == [3.0]


def test_a_second_run_decodes_nothing(scans: list[TrainingScan], options: CacheOptions) -> None:
    first = build_slice_set(scans, options)
    second = build_slice_set([unusable(scan) for scan in scans], options)
    np.testing.assert_array_equal(first.slices.pixels, second.slices.pixels)
    assert isinstance(second.slices.pixels, np.memmap)
    assert not second.slices.pixels.flags.writeable
    assert (first.refused, first.slices.content) == (second.refused, second.slices.content)


def test_corrected_metadata_needs_no_decoding(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    build_slice_set(scans, options)
    corrected = [replace(unusable(scan), porosity=0.25, sample="one") for scan in scans]
    slices = build_slice_set(corrected, options).slices
    assert slices.sample_names == ("one",)
    assert (slices.porosity == 0.25).all()


def test_only_new_scans_are_decoded(scans: list[TrainingScan], options: CacheOptions) -> None:
    first = build_slice_set(scans[:3], options)
    grown = [*scans[3:], *map(unusable, scans[:3])]
    second = build_slice_set(grown, options)
    assert second.slices.content != first.slices.content
    assert len(second.refused) == 1
    np.testing.assert_array_equal(second.slices.pixels[-len(first.slices) :], first.slices.pixels)


def test_a_changed_file_is_decoded_again(scans: list[TrainingScan], options: CacheOptions) -> None:
    """A feature cache that ignores a changed folder is the classic complaint."""
    before = build_slice_set(scans, options)
    path = scans[2].path
    assert path is not None
    status = path.stat()
    np.save(path, np.load(path)[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = build_slice_set(scans_in(path.parent), options)
    assert before.slices.content != after.slices.content
    assert (before.slices.pixels != after.slices.pixels).any()


@pytest.mark.parametrize(
    "changed",
    [
        replace(PREPROCESSING, size=8),
        replace(PREPROCESSING, window="none"),
        replace(PREPROCESSING, slicing=Slicing(planes=2, margin=0.0)),
    ],
    ids=["size", "window", "slicing"],
)
def test_other_settings_give_other_pixels(
    scans: list[TrainingScan], options: CacheOptions, changed: Preprocessing
) -> None:
    pictures = [scan for scan in scans if scan.name in ("p.png", "v0.npy")]
    build_slice_set(pictures, options)
    other = build_slice_set(
        pictures[:1] if changed.window == "none" else pictures,
        replace(options, preprocessing=changed),
    )
    assert other.slices.size == changed.size
    assert len({path.parent for path in options.folder.rglob("*.npy")}) == 2


def test_mean_and_deviation_change_no_pixels(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    build_slice_set(scans, options)
    scaled = replace(PREPROCESSING, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    build_slice_set([unusable(scan) for scan in scans], replace(options, preprocessing=scaled))
    assert len(list(options.folder.rglob("*.npy"))) == 1


def test_equal_files_are_decoded_once(scans: list[TrainingScan], options: CacheOptions) -> None:
    twins = [scans[2], replace(unusable(scans[2]), name="copy", sample="R1/copy")]
    slices = build_slice_set(twins, options).slices
    np.testing.assert_array_equal(slices.pixels[:3], slices.pixels[3:])
    assert slices.sample_names == ("R0/v0", "R1/copy")


@pytest.mark.parametrize("damage", ["cut", "index", "empty", "gone"])
def test_a_damaged_cache_is_made_again(
    scans: list[TrainingScan], options: CacheOptions, damage: str
) -> None:
    expected = np.array(build_slice_set(scans, options).slices.pixels)
    (pixels,) = options.folder.rglob("*.npy")
    if damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "empty":
        pixels.write_bytes(b"")
    elif damage == "gone":
        pixels.unlink()
    else:
        pixels.with_suffix(".json").write_text('{"size": 16')
    np.testing.assert_array_equal(build_slice_set(scans, options).slices.pixels, expected)


def test_a_refusal_that_may_pass_is_tried_again(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    hasty = replace(options, limits=DecodeLimits(memory_bytes=1 << 30, seconds=1e-6))
    with pytest.raises(DataError, match=r"none of 5 scans gives a slice, such as p\.png: "):
        build_slice_set(scans, hasty)
    assert [scan.name for scan in build_slice_set(scans, options).refused] == ["t.tif"]


def test_processes_that_train_together_decode_once(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    with ThreadPoolExecutor(3) as threads:
        built = list(threads.map(lambda _: build_slice_set(scans, options), range(3)))
    assert len({each.slices.content for each in built}) == 1
    inodes = {path.stat().st_ino for path in options.folder.rglob("*.npy")}
    assert len(inodes) == 1
    assert not list(options.folder.rglob("*.part"))


def test_a_cache_that_cannot_be_written_is_told(
    scans: list[TrainingScan], tmp_path: Path, options: CacheOptions
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match=r"can't be made.*data\.cache"):
        build_slice_set(scans, replace(options, folder=blocked))


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a few slices: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_that_is_read(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    told = r"make room, or choose another folder \(data\.cache\)"
    with full_disk(), pytest.raises(OutputError, match=told):
        build_slice_set(scans, options)
    assert [path.name for path in options.folder.rglob("*") if path.is_file()] == [".lock"]


def stored(scan: TrainingScan, fetch: FetchContent) -> TrainingScan:
    return replace(scan, path=None, fetch=fetch)


def test_stored_scans_are_fetched_to_be_decoded(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    fetched = []

    def fetch(scan: TrainingScan) -> FetchContent:
        def copy(folder: Path) -> Path:
            assert scan.path is not None
            fetched.append(folder)
            (folder / scan.name).write_bytes(scan.path.read_bytes())
            return folder / scan.name

        return copy

    expected = build_slice_set(scans, replace(options, folder=options.folder / "other"))
    built = build_slice_set([stored(scan, fetch(scan)) for scan in scans], options)
    np.testing.assert_array_equal(built.slices.pixels, expected.slices.pixels)
    assert len(set(fetched)) == 5
    assert not any(folder.exists() for folder in fetched)


@pytest.mark.parametrize("error", [StoreAwayError("away"), LocalFileError("full")])
def test_a_store_that_is_away_stops_the_run(
    scans: list[TrainingScan], options: CacheOptions, error: Exception
) -> None:
    def fail(folder: Path) -> Path:
        assert folder.is_dir()
        raise error

    with pytest.raises(type(error)):
        build_slice_set([scans[0], stored(scans[1], fail)], options)


def test_an_object_that_is_gone_is_refused(
    scans: list[TrainingScan], options: CacheOptions
) -> None:
    def fail(folder: Path) -> Path:
        raise ObjectMissingError(f"{folder.name}: gone")

    built = build_slice_set([scans[0], stored(scans[1], fail)], options)
    assert [scan.name for scan in built.refused] == [scans[1].name]
