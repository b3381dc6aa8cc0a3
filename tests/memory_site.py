"""Sites whose index is in memory: scans are put, indexed and refused by hand."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.bucket_metadata import BucketMetadata
from infra.folder_store import FolderStore
from infra.generations import generation_of
from infra.indexing.memory import MemoryStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.quarantine import QuarantineRecord
from infra.settings import Settings
from infra.site import Site
from infra.store_errors import StoreAwayError
from infra.stored_scans import stored_content
from infra.vector_index import VectorIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class AwayStore(FolderStore):
    """A folder that a test can take away."""

    is_away = False
    stores_before_it_is_away = 99

    def put(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  the store's own
        self.stores_before_it_is_away -= 1
        if self.stores_before_it_is_away < 0:
            raise StoreAwayError(f"{self.root}: the object store does not answer; try again later")
        return super().put(*arguments, **options)

    def pages(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  the store's own
        if self.is_away:
            raise StoreAwayError(f"{self.root}: the object store does not answer; try again later")
        return super().pages(*arguments, **options)


@contextmanager
def memory_site(home: Path, objects: FolderStore | None = None) -> Iterator[Site]:
    """Open a site.

    Args:
        home: Its folder.
        objects: Its store; None for the folder ``bucket`` in it.
    """
    (home / "bucket").mkdir(parents=True, exist_ok=True)
    with Site(Settings(home=home), objects or FolderStore(home / "bucket")) as site:
        site.index = VectorIndex(MemoryStore())
        yield site


def put_scans(site: Site, *names: str) -> list[str]:
    keys = [f"scans/E1/S1/{name}.png" for name in names]
    for key in keys:
        site.objects.put(key, key.encode())
    return keys


def index_scan(site: Site, version: ModelVersion, *, key: str, n_slices: int = 3) -> None:
    stat = site.objects.stat(key)
    generation = generation_of(stored_content(stat), version.fingerprint)
    record = ScanRecord(
        object_key=key,
        etag=stat.etag,
        generation=generation,
        metadata_hash=BucketMetadata.read(site.objects).resolve(key).metadata_hash(),
        n_slices=n_slices,
    )
    rows = [
        SliceRow(object_key=key, generation=generation, slice_index=number)
        for number in range(n_slices)
    ]
    vectors = np.zeros((n_slices, version.dimension), np.float32)
    site.index.open(version.collection).commit(
        [IndexedScan(record=record, slices=rows, vectors=vectors)]
    )


def refuse(
    site: Site,
    key: str,
    *,
    reason: str = "ends early; copy it again",
    fault: str = "truncated",
    model: str = "m",
) -> None:
    site.quarantine.put(
        QuarantineRecord(
            object_key=key,
            etag=site.objects.stat(key).etag,
            fault=fault,
            reason=reason,
            model=model,
            attempts=1,
            first_attempt=NOW,
            last_attempt=NOW,
            trace_id="0123abcd",
        )
    )
