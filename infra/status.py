"""What a site holds, and how much of it is indexed."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infra.bucket_metadata import BucketMetadata
from infra.coverage import compare
from infra.index_server import ServerFiles
from infra.model_versions import ModelRegistryError
from infra.unused_rows import note_on_unused_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.coverage import Coverage
    from infra.model_versions import ModelVersion
    from infra.quarantine import QuarantineRecord
    from infra.settings import Settings
    from infra.site import Site

SCANS = "scans"
"""Part of the store that scans are in."""


class Size(NamedTuple):
    """How much there is of something."""

    objects: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus:
    """What a site holds.

    Attributes:
        store: Where its objects are.
        index: Where its vectors are.
        model: The live model; None if none is, or it can't be told.
        model_problem: Why it can't be.
        coverage: What that has indexed of the scans; None without a live model.
        failed: Why scans are not indexed that never will be as they are.
        problems: What is wrong with metadata tables.
        notes: What else is odd about them, a line each.
        sizes: Objects and bytes of each part of the store, by the first part of their keys.
        index_bytes: Bytes of the embedded index on disk; None for a server's.
    """

    store: str
    index: str
    model: ModelVersion | None
    model_problem: str | None
    coverage: Coverage | None
    failed: tuple[QuarantineRecord, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    sizes: Mapping[str, Size]
    index_bytes: int | None

    @property
    def scans(self) -> int:
        """Number of scans in the store."""
        found = self.sizes.get(SCANS, Size(0, 0)).objects
        return found if self.coverage is None else self.coverage.objects


class ModelStatus(NamedTuple):
    """A published model, and what it has indexed: None if nothing was ever."""

    version: ModelVersion
    is_live: bool
    coverage: Coverage | None


def site_status(site: Site) -> SiteStatus:
    """Look at everything; what is indexed is compared scan by scan.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    model, model_problem = None, None
    try:
        model = site.models.live(site.index) if has_index(site) else None
    except ModelRegistryError as error:  # what else there is can be told all the same
        model_problem = str(error)
    metadata = BucketMetadata.read(site.objects)
    coverage = None if model is None else covered(site, model, metadata=metadata)
    records = site.quarantine.records()
    if coverage is not None:
        refused = set(coverage.quarantined)
        records = (record for record in records if record.object_key in refused)
    note = None if coverage is None else note_on_unused_rows(metadata, coverage)
    settings = site.settings
    return SiteStatus(
        store=store_place(settings),
        index=settings.index.address or str(site.index_folder),
        model=model,
        model_problem=model_problem,
        coverage=coverage,
        failed=tuple(records),
        problems=metadata.problems,
        notes=() if note is None else (note,),
        sizes=_sizes(site),
        index_bytes=None if settings.index.address else folder_bytes(site.index_folder),
    )


def model_statuses(site: Site) -> tuple[list[ModelStatus], tuple[str, ...]]:
    """Look at every published model.

    Returns:
        The models, newest last, and what is wrong with damaged ones, a line each.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    survey = site.models.survey()
    there = set(site.index.collections()) if has_index(site) else set()
    live = site.index.live() if there else None
    metadata = BucketMetadata.read(site.objects) if there else None
    found = []
    for version in survey.versions:
        name = version.collection
        is_filled = metadata is not None and name in there
        coverage = covered(site, version, metadata=metadata) if is_filled and metadata else None
        found.append(ModelStatus(version, name == live, coverage))
    return found, survey.problems


def covered(
    site: Site, version: ModelVersion, *, metadata: BucketMetadata | None = None
) -> Coverage:
    """Compare the scans with what a model has indexed.

    Args:
        site: The site.
        version: The model; it has a collection.
        metadata: The store's tables; None to read them.

    Raises:
        LithoscopeError: The store or the index is away, or there is no such collection.
    """
    return compare(
        site.objects,
        site.index.open(version.collection),
        fingerprint=version.fingerprint,
        metadata=metadata or BucketMetadata.read(site.objects),
        quarantine=site.quarantine,
    )


def has_index(site: Site) -> bool:
    """Whether there is an index: to look at an empty site, no server need be started."""
    is_open = "index" in vars(site)
    data = ServerFiles(site.index_folder).data
    return is_open or site.settings.index.address is not None or data.exists()


def store_place(settings: Settings) -> str:
    """Say where the objects are."""
    store = settings.store
    return f"{store.endpoint}/{store.bucket}" if store.kind == "s3" else str(settings.bucket_folder)


def folder_bytes(folder: Path) -> int:
    """Bytes of a folder's files; what is removed meanwhile is passed over."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _sizes(site: Site) -> dict[str, Size]:
    objects: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for page in site.objects.pages():
        for entry in page:
            part = entry.key.split("/", 1)[0]
            objects[part] += 1
            sizes[part] += entry.size
    return {part: Size(objects[part], sizes[part]) for part in sorted(objects)}
