"""Scans are copied once into every kind of bucket, and prefixes are told from paths."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from encoder.errors import LithoscopeError
from encoder.planes import ReadOptions
from infra.bucket_metadata import BucketMetadata
from ingest_worker.planning import plan_scans, prefix_inside
from ingest_worker.upload import Bucket, Upload, upload

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectStore

pytest_plugins = ["object_stores"]


def copied(library: Path, store: ObjectStore, cache: Path) -> Upload:
    plan = plan_scans([library], ReadOptions())
    assert plan.refused == []
    bucket = Bucket(objects=store, cache=cache, lock=nullcontext(), forget=lambda _: None)
    return upload(plan.scans, bucket, tick=lambda: None)


def test_every_store_takes_a_library_once(store: ObjectStore, tmp_path: Path) -> None:
    library = tmp_path / "Gesteine & Ü"
    (library / "E 1/S1").mkdir(parents=True)
    (library / "E 1/S1/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"large" * 2_000_000)
    (library / "E 1/S1/v.raw").write_bytes(bytes(120))
    side_car = {"shape": [4, 5, 6], "dtype": "uint8", "pixel_size_um": 2.5}
    (library / "E 1/S1/v.json").write_text(json.dumps(side_car))
    (library / "metadata.csv").write_text("Image,Reservoir,Sample,phi\nE 1/S1/a.png,E 1,S1,0.2\n")
    first = copied(library, store, tmp_path / "cache")
    assert sorted(first.keys) == ["scans/E%201/S1/a.png", "scans/E%201/S1/v.raw"]
    again = copied(library, store, tmp_path / "cache")
    assert (first.copied, again.copied, again.unchanged) == (2, 0, 2)
    found = BucketMetadata.read(store)
    assert found.resolve("scans/E%201/S1/a.png").properties.porosity == 0.2
    stat = store.stat("scans/E%201/S1/v.raw")
    assert (stat.user_metadata["shape"], stat.user_metadata["dtype"]) == ("4,5,6", "<u1")
    assert found.resolve(stat.key, stat.user_metadata).pixel_size_um == 2.5


def test_paths_in_the_bucket_are_told_by_their_prefix(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    (bucket / "scans/E1").mkdir(parents=True)
    (bucket / "scans/E1/a.png").touch()
    link = tmp_path / "link"
    link.symlink_to(bucket / "scans")
    expected = {
        bucket: "scans/",
        bucket / "scans": "scans/",
        link / "E1": "scans/E1/",
        bucket / "scans/E1/../E1/a.png": "scans/E1/a.png",
        tmp_path: None,
    }
    assert {path: prefix_inside(path, bucket) for path in expected} == expected
    with pytest.raises(LithoscopeError, match="scans"):
        prefix_inside(bucket / "metadata", bucket)
