"""Counting rows and pictures part by part, in memory that grows with neither.

Rows are counted between two object keys, as records are compared (`infra.coverage_pages`). The keys
of pictures begin with the ids of scans' records, in whose order the store lists them: so pictures
are held against the records whose ids lie between those of a part.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from infra.coverage_pages import PART, last_of, parts_of
from infra.filters import Between, In
from infra.indexing.records import record_id
from infra.indexing.schema import KEY
from infra.pictures import PICTURE_PREFIXES, PictureKey
from infra.store_keys import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectEntry, ObjectStore
    from infra.vector_index import Collection, VectorIndex

_TOLD_AT_ONCE = 1000
_AFTER_SLASH = "0"
"""Comes next after the slash behind a scan's id."""

_LOG = logging.getLogger(__name__)

Generation = tuple[str, str]
"""A scan, by its record's id or its key, and a generation of it."""


@dataclass(slots=True, kw_only=True)
class DeepPage:
    """What was found in a part; see `infra.deep_coverage.DeepCoverage`.

    Attributes:
        short_of_rows: Scans whose record promises another number of rows than there is.
        short_of_pictures: Scans of which pictures of one kind are missing or empty.
        uncommitted: Keys with rows that no record vouches for.
        orphaned: Pictures that no record vouches for.
        up_to: What to go on after, of keys or of records' ids; None where more of the part, or
            nothing more, comes.
    """

    short_of_rows: list[str] = field(default_factory=list)
    short_of_pictures: list[str] = field(default_factory=list)
    uncommitted: list[str] = field(default_factory=list)
    orphaned: list[ObjectEntry] = field(default_factory=list)
    up_to: str | None = None


class _Picture(NamedTuple):
    key: PictureKey
    entry: ObjectEntry


def row_pages(
    collection: Collection, objects: ObjectStore, *, prefix: str, start_after: str = ""
) -> Iterator[DeepPage]:
    """Count the rows of scans.

    Args:
        collection: Their collection.
        objects: The store, by whose listing the index is cut into parts.
        prefix: What the keys of scans begin with.
        start_after: Only what comes after this key.

    Raises:
        StoreError: The store is away, or may not be read.
        VectorIndexError: The index is away, or refuses.
    """
    for part in parts_of(objects, prefix, start_after=start_after, first=PART):
        where = Between(
            field="object_key",
            after=part.after or prefix[:-1] or None,
            up_to=last_of(prefix) if part.up_to is None else part.up_to,
        )
        stored = collection.stored_generations(where)
        records = {record.object_key: record for record in collection.records(where)}
        page = DeepPage(up_to=part.up_to)
        for key, record in sorted(records.items()):
            is_short = stored.get((key, record.generation), 0) != record.n_slices
            if is_short and key.startswith(prefix):
                page.short_of_rows.append(key)
        page.uncommitted += sorted(
            {
                key
                for key, generation in stored
                if key.startswith(prefix)
                and (key not in records or records[key].generation != generation)
            }
        )
        yield page


def picture_pages(
    collection: Collection,
    *,
    index: VectorIndex,
    objects: ObjectStore,
    prefix: str,
    kinds: Sequence[str] = PICTURE_PREFIXES,
    start_after: str = "",
) -> Iterator[DeepPage]:
    """Hold pictures against scan records.

    Args:
        collection: What is asked whether its scans have all of theirs.
        index: All collections: a picture that any of them vouches for is no orphan.
        objects: The store.
        prefix: What the keys of scans begin with that are to have theirs.
        kinds: Kinds of pictures, by what their keys begin with.
        start_after: Only those of scans whose records' ids come after this.

    Raises:
        StoreError: The store is away, or may not be read.
        VectorIndexError: The index is away, or refuses.
    """
    others = [index.open(name) for name in index.collections() if name != collection.name]
    for kind in kinds:
        after: str | None = start_after or None
        for pictures, up_to in _picture_parts(objects, kind, start_after=start_after):
            where = Between(field=KEY, after=after, up_to=up_to)
            yield from _held(pictures, where, collection=collection, others=others, prefix=prefix)
            after = up_to


def owed(index: VectorIndex, scans: set[str]) -> dict[Generation, int]:
    """Slices of scans, by record id and generation, that any collection has.

    Args:
        index: All collections.
        scans: Ids of their records, a thousand or so at most.
    """
    found: dict[Generation, int] = {}
    for name in index.collections():
        for record in index.open(name).records(In(KEY, tuple(sorted(scans)))) if scans else ():
            found[record_id(record.object_key), record.generation] = record.n_slices
    return found


def _held(
    pictures: list[_Picture],
    where: Between,
    *,
    collection: Collection,
    others: list[Collection],
    prefix: str,
) -> Iterator[DeepPage]:
    """Hold the pictures of one kind against the records of a part."""
    counts = {(each.key.scan, each.key.generation): 0 for each in pictures}
    ours: dict[Generation, ScanRecord] = {}
    page = DeepPage()
    for pair, record in _by_generation(collection, where):
        if pair in counts:
            ours[pair] = record
        elif record.n_slices and record.object_key.startswith(prefix):
            page.short_of_pictures.append(record.object_key)
        if len(page.short_of_pictures) >= _TOLD_AT_ONCE:
            yield page
            page = DeepPage()
    slices = {pair: record.n_slices for pair, record in ours.items()}
    for pair, record in chain.from_iterable(_by_generation(other, where) for other in others):
        if pair in counts:
            slices[pair] = record.n_slices
    for key, entry in pictures:
        pair = (key.scan, key.generation)
        if key.slice_index >= slices.get(pair, 0):
            page.orphaned.append(entry)
        elif entry.size > 0:
            counts[pair] += 1
    whole = {pair for pair, record in ours.items() if counts[pair] == record.n_slices}
    short = [record.object_key for pair, record in ours.items() if pair not in whole]
    page.short_of_pictures += [key for key in short if key.startswith(prefix)]
    page.up_to = where.up_to
    yield page


def _by_generation(
    collection: Collection, where: Between
) -> Iterator[tuple[Generation, ScanRecord]]:
    for record in collection.records(where):
        yield (record_id(record.object_key), record.generation), record


def _picture_parts(
    objects: ObjectStore, kind: str, *, start_after: str
) -> Iterator[tuple[list[_Picture], str | None]]:
    """Pictures of one kind in parts of whole scans, with the last scan's id; None at the end."""
    pictures: list[_Picture] = []
    behind = f"{kind}{start_after}{_AFTER_SLASH}" if start_after else ""
    for page in objects.pages(kind, start_after=behind):
        for entry in page:
            key = PictureKey.parse(entry.key) if is_text(entry.key) else None
            if key is None:
                _LOG.warning("%s: no picture of ours; put it elsewhere", entry.key)
                continue
            if len(pictures) >= PART and pictures[-1].key.scan != key.scan:
                yield pictures, pictures[-1].key.scan
                pictures = []
            pictures.append(_Picture(key, entry))
    yield pictures, None
