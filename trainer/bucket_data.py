"""Scans of the bucket, with their metadata, to train on what is indexed."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from encoder.errors import ScanError
from encoder.metadata.problems import MetadataError
from encoder.object_keys import SCANS_PREFIX, ObjectKey, ObjectKeyError
from encoder.planes import ReadOptions
from infra.bucket_metadata import BucketMetadata
from infra.store_errors import StoreError
from infra.stored_scans import file_name, read_options
from trainer.slice_cache import DataError
from trainer.training_scan import FoundScans, RefusedScan, TrainingScan, known_of

if TYPE_CHECKING:
    from pathlib import Path

    from infra.object_store import ObjectEntry, ObjectStat, ObjectStore

_LOOKING_THREADS = 8


def bucket_scans(objects: ObjectStore, *, max_bytes: int) -> FoundScans:
    """List a bucket's scans with what is known of them; none is fetched.

    Args:
        objects: The store; it must stay open until they are decoded.
        max_bytes: Largest object that may be fetched.

    Raises:
        DataError: A metadata table is wrong.
        StoreAwayError: The store is away.
    """
    metadata = BucketMetadata.read(objects)
    if metadata.problems:
        raise DataError("; ".join(metadata.problems))
    found = FoundScans()
    with ThreadPoolExecutor(_LOOKING_THREADS) as threads:
        for page in objects.pages(f"{SCANS_PREFIX}/"):
            look = partial(_look, objects, metadata=metadata, max_bytes=max_bytes)
            for result in threads.map(look, page):
                if isinstance(result, RefusedScan):
                    found.refused.append(result)
                else:
                    found.scans.append(result)
    return found


def _look(
    objects: ObjectStore, entry: ObjectEntry, *, metadata: BucketMetadata, max_bytes: int
) -> TrainingScan | RefusedScan:
    try:
        ObjectKey.parse(entry.key)
        stat = objects.stat(entry.key)
        known = known_of(metadata.resolve(entry.key, stat.user_metadata))
        read = read_options(entry.key, stat.user_metadata)
    except MetadataError as error:
        return RefusedScan(entry.key, "; ".join(map(str, error.problems)))
    except ScanError as error:
        return RefusedScan(entry.key, error.reason)
    except ObjectKeyError as error:
        return RefusedScan(entry.key, str(error))
    except StoreError as error:
        if error.retryable:
            raise
        return RefusedScan(entry.key, str(error))
    layout = "" if read == ReadOptions() else repr(read.raw)
    name = file_name(entry.key)
    return TrainingScan(
        name=entry.key,
        content=hashlib.sha256(f"{stat.etag}\n{layout}".encode()).hexdigest(),
        sha256=stat.sha256 or "",
        size_bytes=stat.size,
        fetch=partial(_fetch, objects, stat=stat, name=name, max_bytes=max_bytes),
        read=read,
        **known,
    )


def _fetch(
    objects: ObjectStore, folder: Path, *, stat: ObjectStat, name: str, max_bytes: int
) -> Path:
    path = folder / name
    objects.get(stat.key, path, max_bytes=max_bytes, etag=stat.etag)
    return path
