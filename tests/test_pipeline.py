from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from infra.pictures import preview_key, thumbnail_key
from ingest_site import SIDE, IngestSite, MeanColour, flat
from ingest_worker.outcomes import Indexed, Rekeyed, Removed, Unchanged
from ingest_worker.pipeline import GROUP_SLICES, ingest_object

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.decoding import DecoderPool

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"


def volume(*levels: int) -> NDArray[np.uint8]:
    """Planes of (nearly) one grey level each."""
    planes = [flat(level, level, level)[:, :, 0] for level in levels]
    return np.stack(planes)


def test_a_scan_is_indexed_once(world: IngestSite) -> None:
    world.put(KEY, flat(10, 20, 30))
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    ((row, vector),) = world.collection.slices(KEY)
    assert vector == pytest.approx(flat(10, 20, 30).mean(axis=(0, 1)), abs=0.5)
    assert (row.reservoir, row.sample, row.slice_index) == ("E1", "S1", 0)
    assert world.compare_deep().is_complete
    assert world.ingest(KEY) == {KEY: Unchanged(object_key=KEY)}
    assert world.encoder.n_encoded == 1


def test_one_object_is_ingested_as_many_are(world: IngestSite) -> None:
    world.put(KEY, flat())
    assert ingest_object(KEY, world.context) == Indexed(object_key=KEY, n_slices=1)


def test_every_scan_gets_its_own_vectors_across_groups(world: IngestSite) -> None:
    colours = {
        f"scans/E1/S{number % 7}/{number}.png": (number % 180, number // 2, 7)
        for number in range(GROUP_SLICES + 40)
    }
    for key, colour in colours.items():
        world.put(key, flat(*colour))
    outcomes = world.ingest(*colours)
    assert set(outcomes.values()) == {Indexed(object_key=key, n_slices=1) for key in colours}
    for key, colour in colours.items():
        ((_, vector),) = world.collection.slices(key)
        assert vector == pytest.approx(flat(*colour).mean(axis=(0, 1)), abs=0.01)
    assert world.compare_deep().is_complete
    assert world.compare().slices == len(colours)


def test_a_volume_is_indexed_plane_by_plane_with_its_pictures(
    world: IngestSite, tmp_path: Path
) -> None:
    key = "scans/E1/S1/volume.tif"
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, volume(20, 90, 180), photometric="minisblack")
    world.objects.put(key, path)
    assert world.ingest(key) == {key: Indexed(object_key=key, n_slices=3)}
    found = world.collection.slices(key)
    assert [row.position for row, _ in found] == [
        {"axis": 0, "plane": plane, "position": plane / 2} for plane in range(3)
    ]
    assert [round(float(vector[0])) for _, vector in found] == [21, 91, 181]
    assert found[0][0].extra["scan"]["n_planes"] == 3
    record = world.collection.record(key)
    assert record is not None
    keys = [
        key_of(key, record.generation, slice_index=index)
        for key_of in (thumbnail_key, preview_key)
        for index in range(3)
    ]
    assert sorted(world.pictures()) == sorted(keys)
    preview = Image.open(io.BytesIO(world.objects.read(keys[-1])))
    assert preview.size == (SIDE, SIDE)
    assert np.asarray(preview).mean() == pytest.approx(181, abs=3)


def test_an_overwritten_scan_leaves_nothing_of_what_it_was(world: IngestSite) -> None:
    world.put(KEY, flat(10, 20, 30))
    world.ingest(KEY)
    before = set(world.pictures())
    world.put(KEY, flat(60, 70, 80))
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    ((_, vector),) = world.collection.slices(KEY)
    assert vector == pytest.approx([61, 71, 81], abs=0.5)
    assert not before & set(world.pictures())
    assert list(world.collection.stored_generations().values()) == [1]
    assert world.compare_deep().is_complete


def test_pictures_that_another_collection_shows_stay(
    world: IngestSite, decoders: DecoderPool
) -> None:
    """Two models with different preprocessing: each has its own generation of a scan."""
    world.put(KEY, flat())
    world.ingest(KEY)
    other = MeanColour()
    other.preprocessing = replace(other.preprocessing, size=2 * SIDE)
    context = world.context_for(world.site, other, pool=decoders)
    assert ingest_object(KEY, context) == Indexed(object_key=KEY, n_slices=1)
    assert len(world.pictures()) == 4
    world.put(KEY, flat(50, 60, 70))
    ingest_object(KEY, context)
    assert len(world.pictures()) == 4
    world.ingest(KEY)
    assert len(world.pictures()) == 4
    assert world.compare_deep().is_complete
    world.objects.delete(KEY)
    world.ingest(KEY)
    assert len(world.pictures()) == 2
    ingest_object(KEY, context)
    assert world.pictures() == []


def test_a_removed_object_leaves_nothing(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.ingest(KEY)
    world.objects.delete(KEY)
    assert world.ingest(KEY) == {KEY: Removed(object_key=KEY)}
    assert world.collection.record(KEY) is None
    assert world.collection.stored_generations() == {}
    assert world.pictures() == []


def test_corrected_metadata_changes_rows_without_encoding(world: IngestSite) -> None:
    other = "scans/E2/S9/b.png"
    world.put(KEY, flat())
    world.put(other, flat(1, 2, 3))
    world.put_table(f"object_key,porosity,depth_m,core\n{KEY},0.1,1200,yes\n")
    world.ingest(KEY, other)
    ((row, before),) = world.collection.slices(KEY)
    assert (row.numbers["porosity"], row.numbers["depth_m"]) == (0.1, 1200.0)
    assert row.extra["properties"] == {"core": "yes"}
    world.put_table(
        f"object_key,porosity,permeability_md,depth_m,sample\n{KEY},0.2,15,unknown,S2\n"
    )
    world.encoder.n_encoded = 0
    assert world.ingest(KEY, other) == {
        KEY: Rekeyed(object_key=KEY),
        other: Unchanged(object_key=other),
    }
    assert world.encoder.n_encoded == 0
    ((row, vector),) = world.collection.slices(KEY)
    assert (row.numbers["porosity"], row.numbers["permeability_md"]) == (0.2, 15.0)
    assert row.numbers["depth_m"] is None
    assert row.extra["properties"] == {"depth_m": "unknown"}
    assert row.extra["scan"]["format"] == "PNG"
    assert row.sample == "S2"
    assert np.array_equal(vector, before)
    record = world.collection.record(KEY)
    assert record is not None
    assert record.sample == "S2"
    assert world.compare_deep().is_complete


def test_the_file_tells_its_pixel_size_where_nothing_else_does(
    world: IngestSite, tmp_path: Path
) -> None:
    key = "scans/E1/S1/a.tif"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, flat()[:, :, 0], resolution=(4000, 4000), resolutionunit="CENTIMETER")
    world.objects.put(key, path)

    def pixel_size() -> float | None:
        ((row, _),) = world.collection.slices(key)
        return row.numbers["pixel_size_um"]

    world.ingest(key)
    assert pixel_size() == pytest.approx(2.5)
    world.put_table(f"object_key,pixel_size_um\n{key},7\n")
    assert world.ingest(key) == {key: Rekeyed(object_key=key)}
    assert pixel_size() == 7.0
    world.put_table("object_key,pixel_size_um\nscans/E1/S1/other.tif,7\n")
    assert world.ingest(key) == {key: Rekeyed(object_key=key)}
    assert pixel_size() == pytest.approx(2.5)
    assert world.ingest(key) == {key: Unchanged(object_key=key)}


def test_user_metadata_tells_the_layout_of_a_headerless_volume(world: IngestSite) -> None:
    key = "scans/E1/S1/rock.raw"
    world.objects.put(
        key,
        b"head" + volume(20, 90).astype("<u2").tobytes(),
        user_metadata={
            "shape": f"2,{SIDE},{SIDE}",
            "dtype": "<u2",
            "header-bytes": "4",
            "porosity": "0.25",
        },
    )
    world.encoder.preprocessing = replace(world.encoder.preprocessing, window="percentile")
    assert world.ingest(key) == {key: Indexed(object_key=key, n_slices=2)}
    ((row, _), _) = world.collection.slices(key)
    assert row.numbers["porosity"] == 0.25
    assert "properties" not in row.extra


def test_names_of_files_are_read_as_their_owner_wrote_them(world: IngestSite) -> None:
    """The size in a name must not run into its escapes: '%20' before '2x8x8' is no 202x8x8."""
    key = f"scans/E1/S1/my%20rock%202x{SIDE}x{SIDE}%20uint8.raw"
    world.objects.put(key, volume(20, 90).tobytes())
    assert world.ingest(key) == {key: Indexed(object_key=key, n_slices=2)}


def test_a_changed_preprocessing_indexes_anew(world: IngestSite) -> None:
    world.put(KEY, flat())
    world.ingest(KEY)
    stale = replace(world.context)
    world.encoder.preprocessing = replace(world.encoder.preprocessing, size=4)
    world.context = stale
    assert world.compare().stale == (KEY,)
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    assert world.compare_deep().is_complete
