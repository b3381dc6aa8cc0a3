"""What the index and the pictures hold beside the scan records, counted row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.coverage import SCANS, Coverage
from infra.deep_pages import picture_pages, row_pages

if TYPE_CHECKING:
    from infra.object_store import ObjectStore
    from infra.vector_index import Collection, VectorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepCoverage:
    """What a deep comparison found.

    Attributes:
        coverage: What `infra.coverage.compare` found.
        short_of_rows: Scans whose record promises another number of rows than there is.
        short_of_pictures: Scans of which thumbnails or previews are missing or empty.
        uncommitted: Keys with rows that no record vouches for: `Collection.sweep` removes them.
        orphaned_pictures: Keys of pictures that no record vouches for.
    """

    coverage: Coverage
    short_of_rows: tuple[str, ...] = ()
    short_of_pictures: tuple[str, ...] = ()
    uncommitted: tuple[str, ...] = ()
    orphaned_pictures: tuple[str, ...] = ()

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Scans to be ingested anew, although content, fingerprint and metadata are right."""
        return tuple(dict.fromkeys((*self.short_of_rows, *self.short_of_pictures)))

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, and nothing is there that should not be."""
        extra = (*self.incomplete, *self.uncommitted, *self.orphaned_pictures)
        return self.coverage.is_complete and not extra


def compare_deep(
    coverage: Coverage,
    collection: Collection,
    *,
    index: VectorIndex,
    objects: ObjectStore,
    prefix: str = SCANS,
) -> DeepCoverage:
    """Count the rows and pictures of a collection that was compared.

    Nothing else may be ingesting meanwhile: rows and pictures that are just being written look
    like those that a crash left.

    Args:
        coverage: What `infra.coverage.compare` found.
        collection: The collection that it was about.
        index: All collections: a picture that any of them vouches for is no orphan.
        objects: The store.
        prefix: What the keys of scans begin with that are compared. Pictures that are of no
            indexed scan are told in any case: their keys don't tell what they were of.

    Raises:
        StoreError: The store is away, or may not be read.
        VectorIndexError: The index is away, or refuses.
    """
    short_of_rows: list[str] = []
    short_of_pictures: set[str] = set()
    uncommitted: set[str] = set()
    orphaned: list[str] = []
    for page in row_pages(collection, objects, prefix=prefix):
        short_of_rows += page.short_of_rows
        uncommitted.update(page.uncommitted)
    for page in picture_pages(collection, index=index, objects=objects, prefix=prefix):
        short_of_pictures.update(page.short_of_pictures)
        orphaned += (entry.key for entry in page.orphaned)
    return DeepCoverage(
        coverage=coverage,
        short_of_rows=tuple(sorted(short_of_rows)),
        short_of_pictures=tuple(sorted(short_of_pictures)),
        uncommitted=tuple(sorted(uncommitted)),
        orphaned_pictures=tuple(orphaned),
    )
