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
    from collections.abc import Iterator
    from pathlib import Path

    from infra.object_store import ObjectEntry, ObjectStore

pytest_plugins = ["object_stores"]


def copied(library: Path, store: ObjectStore, cache: Path) -> Upload:
    plan = plan_scans([library], ReadOptions())
    assert plan.refused == []
    bucket = Bucket(objects=store, cache=cache, lock=nullcontext())
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


def test_of_a_large_bucket_only_what_is_written_is_looked_at(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("scans/E1/S2/other.png", "scans/E1/a.png", "scans/E10/S1/a.png", "scans/E2/S1/z"):
        store.put(key, b"of other libraries")
    library = tmp_path / "rocks"
    for name in ("E1/S1/a.png", "E1/S1/deep/b.png", "E3/S1/c.png"):
        path = library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    listed: list[str] = []
    pages = store.pages

    def watched(prefix: str = "") -> Iterator[list[ObjectEntry]]:
        for page in pages(prefix):
            listed.extend(entry.key for entry in page if entry.key.startswith("scans/"))
            yield page

    monkeypatch.setattr(store, "pages", watched)
    first = copied(library, store, tmp_path / "cache")
    assert listed == []
    assert len(first.keys) == 3
    again = copied(library, store, tmp_path / "cache")
    assert (first.copied, again.copied, again.unchanged) == (3, 0, 3)
    assert sorted(listed) == sorted(first.keys)


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
