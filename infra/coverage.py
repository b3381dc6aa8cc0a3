"""What is indexed of what there is: the one comparison that "all indexed" is ever told from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.object_keys import SCANS_PREFIX
from infra.coverage_pages import Comparison, CoveragePage
from infra.moves import find_moves
from infra.store_keys import key_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.bucket_metadata import BucketMetadata
    from infra.object_store import ObjectStore
    from infra.quarantine import Quarantine
    from infra.vector_index import Collection

SCANS = f"{SCANS_PREFIX}/"
"""What the keys of scans begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a comparison found. Each object is counted once; keys are in the store's order.

    Attributes:
        objects: Objects in the store.
        indexed: Those that are committed with the content, fingerprint and metadata that they
            have now.
        slices: Slices of those.
        missing: Not indexed, and to be.
        changed: Indexed with another content.
        stale: Indexed with another slicing or preprocessing, or headerless with another layout.
        corrected: Indexed, but for their metadata.
        unresolved: Indexed with the metadata that they had: what the tables and the object say now
            contradicts itself or can't be read. They stay as they are until that is corrected.
        quarantined: Refused with the content that they have now, and not indexed.
        orphaned: Indexed, and not in the store any more.
        lapsed: Not objects but quarantine records that say nothing any more: of an object that is
            gone, has other content, is indexed after all, or whose metadata was corrected. What
            another model refused, and this one has indexed, is that one's to clear.
        moved: Scans whose object is gone, with the missing object that has their content
            (`infra.moves.find_moves`): what is known of them by their key is about that one now.
    """

    objects: int
    indexed: int
    slices: int
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every object is indexed or quarantined, and nothing else is indexed."""
        return self.indexed + len(self.quarantined) == self.objects and not self.orphaned


def compare(
    objects: ObjectStore,
    collection: Collection,
    *,
    fingerprint: str,
    metadata: BucketMetadata,
    quarantine: Quarantine,
    prefix: str = SCANS,
) -> Coverage:
    """Compare the scans of a store with a collection.

    They are compared part by part (`infra.coverage_pages`); in memory are the keys of all that is
    not indexed as it is now.

    Args:
        objects: The store.
        collection: What one bundle has indexed.
        fingerprint: That bundle's preprocessing.
        metadata: The store's tables.
        quarantine: The store's quarantine records.
        prefix: What the keys begin with that are compared.

    Raises:
        StoreError: The store is away, or may not be read: nothing is taken for gone.
        VectorIndexError: The index is away, or refuses.
    """
    comparison = Comparison(
        objects=objects,
        collection=collection,
        fingerprint=fingerprint,
        metadata=metadata,
        quarantine=quarantine,
        prefix=prefix,
    )
    whole = CoveragePage(up_to=None)
    for page in comparison.pages():
        whole.add(page)
    keys = {name: tuple(found) for name, found in whole.keys.items()}
    return Coverage(
        objects=whole.objects,
        indexed=whole.indexed,
        slices=whole.slices,
        orphaned=tuple(sorted(whole.orphaned, key=key_bytes)),
        lapsed=tuple(sorted(whole.lapsed, key=key_bytes)),
        moved=find_moves(whole.gone, whole.new),
        **keys,
    )
