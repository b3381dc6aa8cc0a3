"""How a headerless volume is laid out is a part of its content: the same bytes are read anew."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from encoder.planes import ReadOptions
from infra.indexing.memory import MemoryStore
from infra.s3_store import S3Store
from infra.settings import Settings
from infra.site import Site
from infra.stored_scans import stored_content
from infra.vector_index import VectorIndex
from ingest_site import IngestSite, MeanColour, compared
from ingest_worker.outcomes import Indexed, Outcome, Quarantined, Unchanged
from ingest_worker.pipeline import ingest_object
from ingest_worker.planning import plan_scans
from ingest_worker.reconcile import reconcile
from ingest_worker.upload import Bucket, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from encoder.decoding import DecoderPool
    from infra.coverage import Coverage
    from infra.object_store import ObjectStore
    from ingest_worker.context import IngestContext

pytest_plugins = ("ingest_site", "object_stores")

KEY = "scans/E1/S1/rock.raw"
VOXELS = np.random.default_rng(7).integers(0, 255, 480, dtype=np.uint8).tobytes()


@dataclass
class Place:
    """A bucket, and what ingest needs to index it."""

    context: IngestContext

    def put(self, shape: str | None, key: str = KEY) -> None:
        """Store always the same bytes."""
        told = {} if shape is None else {"shape": shape, "dtype": "|u1"}
        self.context.site.objects.put(key, VOXELS, user_metadata=told)

    def ingest(self, key: str = KEY) -> Outcome:
        return ingest_object(key, self.context)

    def compare(self) -> Coverage:
        return compared(self.context)

    def heights(self) -> list[int]:
        """Heights of the slices that are indexed."""
        return [row.extra["scan"]["height"] for row, _ in self.context.collection.slices(KEY)]


@pytest.fixture
def place(store: ObjectStore, tmp_path: Path, decoders: DecoderPool) -> Iterator[Place]:
    with Site(Settings(home=tmp_path / "home"), store) as site:
        site.index = VectorIndex(MemoryStore())
        yield Place(IngestSite.context_for(site, MeanColour(), pool=decoders))


def test_a_corrected_layout_is_indexed_anew(place: Place) -> None:
    place.put("2,12,20")
    assert place.ingest() == Indexed(object_key=KEY, n_slices=2)
    place.put("3,16,10")
    assert place.compare().stale == (KEY,)
    assert place.ingest() == Indexed(object_key=KEY, n_slices=3)
    assert place.heights() == [16, 16, 16]
    assert place.compare().is_complete
    assert place.ingest() == Unchanged(object_key=KEY)
    place.put("3,10,16")
    assert list(reconcile(place.context, place.compare())) == [Indexed(object_key=KEY, n_slices=3)]
    assert place.heights() == [10, 10, 10]


def test_a_layout_that_comes_later_ends_the_quarantine(place: Place) -> None:
    place.put(None)
    for shape in ("2,12,21", "2,12,20"):
        assert isinstance(place.ingest(), Quarantined)
        assert place.compare().quarantined == (KEY,)
        place.put(shape)
        found = place.compare()
        assert (found.missing, found.lapsed) == ((KEY,), (KEY,))
    assert place.ingest() == Indexed(object_key=KEY, n_slices=2)
    assert place.context.site.quarantine.get(KEY) is None
    assert place.compare().is_complete


def test_a_wrong_layout_removes_what_was_indexed_and_waits_for_the_next(place: Place) -> None:
    place.put("2,12,20")
    place.ingest()
    place.put("2,12,21")
    assert isinstance(place.ingest(), Quarantined)
    assert place.compare().quarantined == (KEY,)
    assert place.heights() == []
    place.put("2,12,20")
    assert place.ingest() == Indexed(object_key=KEY, n_slices=2)


def test_deaths_of_one_layout_are_not_those_of_another(place: Place) -> None:
    place.put("2,12,20")
    site = place.context.site
    for _ in range(3):
        site.attempts.begin({KEY: stored_content(site.objects.stat(KEY))})
    place.put("3,16,10")
    assert place.ingest() == Indexed(object_key=KEY, n_slices=3)


def test_what_tells_its_own_format_is_not_read_again(place: Place) -> None:
    """Nor is each object looked at to find out, in a bucket of ten million."""
    key = "scans/E1/S1/rock.npy"
    voxels = np.frombuffer(VOXELS, np.uint8).reshape(2, 12, 20)
    path = place.context.site.settings.home / "rock.npy"
    path.parent.mkdir(exist_ok=True)
    np.save(path, voxels)
    place.context.site.objects.put(key, path)
    assert place.ingest(key) == Indexed(object_key=key, n_slices=2)
    place.context.site.objects.put(key, path, user_metadata={"shape": "many"})
    assert place.compare().is_complete
    assert place.ingest(key) == Unchanged(object_key=key)


def test_upload_corrects_the_layout_of_what_another_tool_stored(
    place: Place, tmp_path: Path
) -> None:
    objects = place.context.site.objects
    place.put("2,12,20")
    if isinstance(objects, S3Store):  # as `mc cp` does: without a SHA-256
        objects._client.put_object(  # noqa: SLF001  ours always tells a SHA-256
            objects.bucket,
            KEY,
            io.BytesIO(VOXELS),
            len(VOXELS),
            metadata={"shape": "2,12,20", "dtype": "|u1"},
        )
        assert objects.stat(KEY).sha256 is None
    assert place.ingest() == Indexed(object_key=KEY, n_slices=2)
    library = tmp_path / "rocks"
    (library / "E1/S1").mkdir(parents=True)
    (library / "E1/S1/rock.raw").write_bytes(VOXELS)
    side_car = {"shape": [3, 16, 10], "dtype": "uint8"}
    (library / "E1/S1/rock.json").write_text(json.dumps(side_car))
    bucket = Bucket(objects=objects, cache=tmp_path / "cache", lock=nullcontext())
    scans = plan_scans([library], ReadOptions()).scans
    assert upload(scans, bucket, tick=lambda: None).copied == 1
    assert place.compare().stale == (KEY,)
    assert place.ingest() == Indexed(object_key=KEY, n_slices=3)
    assert upload(scans, bucket, tick=lambda: None).unchanged == 1
    assert place.ingest() == Unchanged(object_key=KEY)
