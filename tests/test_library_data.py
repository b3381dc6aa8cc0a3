"""From each kind of place to scans with their names, and from settings to slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from infra.folder_store import FolderStore
from infra.settings import Settings, StoreSettings
from trainer.bucket_data import bucket_scans
from trainer.config import DataConfig, load_config
from trainer.library_data import find_training_scans, load_slices
from trainer.scan_content import ContentHashes
from trainer.slice_cache import DataError
from trainer.splits import split_slices

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.training_scan import FoundScans, TrainingScan


def picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (20, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def pictures(folder: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        picture(folder / name, seed=seed)
    return folder


def find(folder: Path, source: str = "library", **more: str) -> FoundScans:
    told = {"source": source, "path": folder, **more}
    return find_training_scans(DataConfig.model_validate(told), cache=folder.parent / "cache")


def by_name(found: FoundScans) -> dict[str, TrainingScan]:
    return {scan.name: scan for scan in found.scans}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = pictures(
        tmp_path / "lib", "E1/S1/a.png", "E1/S1/b.png", "E1/S2/a.png", "E2/S1/a.png", "c.png"
    )
    (folder / "metadata.csv").write_text(
        "Image,Porosity,Permeability_mD,Pixelsize_um,modality\n"
        "E1/S1/a.png,0.2,150,2.5,micro_ct\nE1/S2/a.png,0.3,0,,thin_section\n"
    )
    return folder


def test_a_library_is_read_with_its_metadata(library: Path) -> None:
    scans = by_name(find(library))
    names = {name: (scan.reservoir, scan.sample) for name, scan in scans.items()}
    assert names == {
        "E1/S1/a.png": ("E1", "E1/S1"),
        "E1/S1/b.png": ("E1", "E1/S1"),
        "E1/S2/a.png": ("E1", "E1/S2"),
        "E2/S1/a.png": ("E2", "E2/S1"),  # another sample: names count within their reservoir
        "c.png": ("c.png", "c.png"),  # unknown: like nothing but itself
    }
    first = scans["E1/S1/a.png"]
    assert (first.porosity, first.permeability_md, first.pixel_size_um) == (0.2, 150, 2.5)
    assert scans["E2/S1/a.png"].porosity is None


def test_a_modality_can_be_chosen(library: Path) -> None:
    found = find(library, modality="thin_section")
    assert [scan.name for scan in found.scans] == ["E1/S2/a.png"]
    assert "4 scans are not known to be thin_section: left out" in found.notes
    (library / "metadata.csv").write_text("Image,Porosity\nE1/S1/a.png,0.2\n")
    with pytest.raises(DataError, match="no scan of modality thin_section among 5 to train on"):
        find(library, modality="thin_section")


def test_a_part_of_a_library_keeps_its_names(library: Path) -> None:
    assert list(by_name(find(library / "E1" / "S1"))) == ["E1/S1/a.png", "E1/S1/b.png"]


def test_class_folders_are_classes(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", "gneiss/a.png", "gneiss/b.png", "marble/one/c.png")
    scans = by_name(find(folder, "classes"))
    assert [(scan.reservoir, scan.sample) for scan in scans.values()] == [
        ("gneiss", "gneiss/a.png"),
        ("gneiss", "gneiss/b.png"),
        ("marble", "marble/one"),
    ]


def test_the_layout_of_rockir_is_understood(tmp_path: Path) -> None:
    """Folders train, val and db_test are no reservoirs; sample folders are named at random."""
    folder = pictures(
        tmp_path / "data",
        "train/AA01/E002M0_slice0.png",
        "train/AA02/x.png",
        "val/AA03/y.png",
        "db_test/E003M1_slice0_cropped.png",
        "db_test/E003M1_slice7_cropped.png",
        "db_test/Z00001_slice1.png",
    )
    (folder / "labels.csv").write_text(
        "Image,Label,Created_label,Porosity,Permeability,Pixelsize\n"
        "a.png,E,AA01,0.21,150,2.5\nb.png,F,AA03,0.11,5,2.5\n"
        "E003M1_slice0_cropped.png,G,BB01,0.3,70,2\n"
    )
    scans = by_name(find(folder, "rockir"))
    assert {name: (scan.reservoir, scan.sample, scan.porosity) for name, scan in scans.items()} == {
        "train/AA01/E002M0_slice0.png": ("E", "E/AA01", 0.21),
        "train/AA02/x.png": ("AA02", "AA02", None),
        "val/AA03/y.png": ("F", "F/AA03", 0.11),
        "db_test/E003M1_slice0_cropped.png": ("G", "G/BB01", 0.3),
        "db_test/E003M1_slice7_cropped.png": ("G", "G/BB01", None),  # of the same volume
        "db_test/Z00001_slice1.png": ("Z00001", "Z00001", None),
    }


def test_files_without_a_row_are_of_the_sample_that_other_files_rows_tell(tmp_path: Path) -> None:
    """A split would find no leak between E1/E1M0 and E1M0 of an unknown reservoir."""
    folder = pictures(
        tmp_path / "data",
        "train/E1M0/a_slice0.png",
        "train/E2M0/b.png",
        "train/E2M0/c.png",
        "train/E4/a_slice7.png",  # its folder tells its sample, not its volume
        "db_test/E1M0_slice9.png",
        "db_test/E3_slice0.png",
    )
    rows = "E1M0/a_slice0.png,E1,E1M0\nE2M0/b.png,E2,\n"
    (folder / "labels.csv").write_text("Image,Reservoir,Sample\n" + rows)
    found = find(folder, "rockir")
    assert {name: (scan.reservoir, scan.sample) for name, scan in by_name(found).items()} == {
        "train/E1M0/a_slice0.png": ("E1", "E1/E1M0"),
        "train/E2M0/b.png": ("E2", "E2/E2M0"),
        "train/E2M0/c.png": ("E2", "E2/E2M0"),
        "train/E4/a_slice7.png": ("E4", "E4"),
        "db_test/E1M0_slice9.png": ("E1", "E1/E1M0"),
        "db_test/E3_slice0.png": ("E3", "E3"),
    }
    filled, alone = found.notes
    assert filled == "2 scans have no row that tells their reservoir: rows of their samples do"
    assert alone.startswith("2 of 6 scans have no row that tells their reservoir: each sample of")


def test_a_file_without_a_row_that_may_be_of_two_samples_is_refused(tmp_path: Path) -> None:
    folder = pictures(
        tmp_path / "data", "train/A/V_slice0.png", "train/B/V_slice1.png", "db_test/V_slice2.png"
    )
    (folder / "labels.csv").write_text("Label,Created_label\nE,A\nF,B\n")
    found = find(folder, "rockir")
    assert list(by_name(found)) == ["train/A/V_slice0.png", "train/B/V_slice1.png"]
    assert "db_test/V_slice2.png: no row tells whether it is of E/A or F/B" in str(found.refused[0])


def test_what_no_table_of_rockir_tells_and_what_is_passed_over_is_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "data", "train/A/x.png", "train/B/x.png")
    (folder / "notes.doc").write_text("")
    (folder / "labels.csv").write_text("Label,Created_label\nE,A\n")
    alone = "scans have no row that tells their reservoir: each sample of theirs counts as a"
    assert find(folder, "rockir").notes == [
        f"{folder}: 1 file is not named like a scan or a table: passed over",
        f"1 of 2 {alone} reservoir of its own",
    ]
    (folder / "notes.doc").unlink()
    (folder / "labels.csv").unlink()
    assert find(folder, "rockir").notes == [f"2 of 2 {alone} reservoir of its own"]


def test_a_wrong_table_of_rockir_is_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "data", "train/AA01/a.png")
    (folder / "labels.csv").write_text("Created_label,Porosity\nAA01,21\n")
    with pytest.raises(DataError, match=r"data/labels\.csv.*not per cent"):
        find(folder, "rockir")


def test_wrong_metadata_is_told(library: Path) -> None:
    (library / "metadata.csv").write_text("Image,Porosity\nE1/S1/a.png,20\n")
    with pytest.raises(DataError, match=r"metadata\.csv.*not per cent"):
        find(library)
    (library / "metadata.csv").write_text("Image,Porosity\nE1/S1/a.png,0.2\nE1/S1/a.png,0.3\n")
    found = find(library)
    assert len(found.scans) == 4
    assert "0.3" in str(found.refused[0])


def test_a_missing_or_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is no folder"):
        find(tmp_path / "none")
    with pytest.raises(DataError, match="found nothing; name the folder"):
        find_training_scans(DataConfig(), cache=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no scan to train on; refused: .*no scan found in it"):
        find(tmp_path / "empty")


def test_content_is_all_that_is_read(tmp_path: Path) -> None:
    """Voxels beside a header, and what tells the layout of a headerless volume, count."""
    header, raw = tmp_path / "v.mhd", tmp_path / "v.raw"
    text = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
    header.write_text(text)
    seen = set()
    with ContentHashes(tmp_path / "cache") as hashes:
        seen.add(hashes.content_of(header))  # its voxels are missing
        raw.write_bytes(bytes(24))
        seen.add(hashes.content_of(header))
        raw.write_bytes(bytes(23) + b"\1")
        seen.add(hashes.content_of(header))
        assert hashes.content_of(header) in seen
        header.unlink()
        seen.add(hashes.content_of(raw))
        (tmp_path / "v.json").write_text('{"shape": [2, 3, 4], "dtype": "uint8"}')
        seen.add(hashes.content_of(raw))
        other = raw.rename(tmp_path / "v_4x3x2.raw")
        seen.add(hashes.content_of(other))
    assert len(seen) == 6


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bucket").mkdir()
    return Settings(home=tmp_path / "home", store=StoreSettings(folder=tmp_path / "bucket"))


SMALL = ("model.size=8", "run.workers=1", "split.val=0", "split.test=0.3")


def test_slices_are_loaded_by_settings(library: Path, settings: Settings) -> None:
    (library / "E2/S1/d.png").write_text("none")
    config = load_config(None, [f"data.path={library}", *SMALL])
    loaded = load_slices(config, settings)
    assert loaded.summary == (
        "5 slices of 5 scans, 4 samples, 3 reservoirs or classes; 1 scans refused"
    )
    assert [scan.name for scan in loaded.refused] == ["E2/S1/d.png"]
    assert loaded.notes == ("3 of 4 samples have a single slice: no pair of one label",)
    assert list((settings.home / "cache" / "slices").rglob("*.npy"))
    again = load_slices(config, settings)
    assert again.slices.content == loaded.slices.content
    assert len(split_slices(again.slices, config.split).train) == 3


def fill(store: FolderStore, tmp_path: Path) -> None:
    for seed, key in enumerate(["scans/E1/S1/a.png", "scans/E1/_/b.png", "scans/E%201/S1/c.png"]):
        picture(tmp_path / "one.png", seed=seed)
        store.put(key, tmp_path / "one.png", user_metadata={"modality": "thin_section"})
    volume = np.random.default_rng(9).integers(0, 256, (2, 3, 4)).astype(np.uint8)
    layout = {"shape": "2,3,4", "dtype": "u1", "pixel-size-um": "1.5"}
    store.put("scans/E2/S9/v.raw", volume.tobytes(), user_metadata=layout)
    store.put("scans/E2/S9/w.raw", volume.tobytes(), user_metadata={"shape": "2", "dtype": "u1"})
    store.put("scans/stray.png", b"x")
    store.put("metadata/lab.csv", b"Reservoir,Sample,Porosity\nE1,S1,0.2\nE2,S9,0.1\nE 1,S1,0.4\n")


def test_the_bucket_is_a_library_too(tmp_path: Path, settings: Settings) -> None:
    store = FolderStore(settings.bucket_folder)
    fill(store, tmp_path)
    config = load_config(None, ["data.source=bucket", *SMALL, "data.planes=2", "data.margin=0"])
    loaded = load_slices(config, settings)
    slices = loaded.slices
    assert slices.scan_names == (
        "scans/E%201/S1/c.png",
        "scans/E1/S1/a.png",
        "scans/E1/_/b.png",
        "scans/E2/S9/v.raw",
    )
    assert slices.sample_names == ("E 1/S1", "E1/S1", "E2/S9", "scans/E1/_/b.png")
    np.testing.assert_array_equal(slices.porosity, [0.4, 0.2, np.nan, 0.1, 0.1])
    np.testing.assert_array_equal(slices.pixel_size_um[3:], 1.5)
    assert [scan.name for scan in loaded.refused] == ["scans/E2/S9/w.raw", "scans/stray.png"]
    picture(tmp_path / "library/E1/_/b.png", seed=1)
    here = load_slices(
        load_config(None, [f"data.path={tmp_path / 'library'}", *SMALL[:2]]), settings
    )
    assert here.slices.scan_sha256 == (slices.scan_sha256[2],)  # the same scan
    thin = load_config(None, ["data.source=bucket", "data.modality=thin_section", *SMALL])
    assert len(load_slices(thin, settings).slices) == 3
    store.close()


def test_another_layout_of_the_same_bytes_is_other_content(
    tmp_path: Path, settings: Settings
) -> None:
    store = FolderStore(settings.bucket_folder)
    fill(store, tmp_path)
    before = by_name(bucket_scans(store, max_bytes=1 << 20))["scans/E2/S9/v.raw"]
    layout = {"shape": "3,2,4", "dtype": "u1"}
    store.put("scans/E2/S9/v.raw", store.read("scans/E2/S9/v.raw"), user_metadata=layout)
    after = by_name(bucket_scans(store, max_bytes=1 << 20))["scans/E2/S9/v.raw"]
    assert before.content != after.content
    store.close()


def test_a_broken_table_of_the_bucket_stops_the_run(tmp_path: Path, settings: Settings) -> None:
    store = FolderStore(settings.bucket_folder)
    fill(store, tmp_path)
    store.put("metadata/bad.csv", b"Sample,Porosity\nS1,25\n")
    with pytest.raises(DataError, match=r"metadata/bad\.csv.*not per cent"):
        bucket_scans(store, max_bytes=1 << 20)
    store.close()


def test_an_object_beyond_the_limit_is_refused(tmp_path: Path, settings: Settings) -> None:
    store = FolderStore(settings.bucket_folder)
    picture(tmp_path / "one.png")
    store.put("scans/E1/S1/small.png", tmp_path / "one.png")
    noise = np.random.default_rng(0).integers(0, 256, (900, 1500)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    store.put("scans/E1/S1/large.png", tmp_path / "large.png")
    store.close()
    decode = settings.decode.model_copy(update={"download_mib": 1})
    config = load_config(None, ["data.source=bucket", *SMALL])
    loaded = load_slices(config, settings.model_copy(update={"decode": decode}))
    assert loaded.slices.scan_names == ("scans/E1/S1/small.png",)
    assert "LITHOSCOPE_DECODE__DOWNLOAD_MIB" in str(loaded.refused[0])
