"""What libraries say of scans follows them when they are moved within the bucket.

Only what was written here follows: the tables that `library_table` stores, and its lists of files.
Tables of the users' own are theirs to correct; `infra.bucket_metadata` tells rows that name no
scan. Each table is replaced whole, tables come before lists, and both before the index is changed:
whatever breaks off in between is found and done by the next run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.commands.inspection import count_text
from encoder.metadata.columns import Field
from encoder.object_keys import ObjectKey
from infra.coverage import SCANS
from ingest_worker.library_table import (
    FileMap,
    Row,
    read_maps,
    read_rows,
    row_key,
    store_map,
    store_rows,
    tables_of_ours,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager

    from infra.bucket_metadata import BucketMetadata
    from infra.object_store import ObjectStore


@dataclass(slots=True)
class Following:
    """Tables and lists as they are once they follow; only those that change.

    Attributes:
        scans: Former keys of the scans that they are about.
        tables: Rows by object key, by the table's key.
        maps: Files of libraries, by the list's key.
    """

    scans: set[str] = field(default_factory=set)
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    maps: dict[str, FileMap] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.tables or self.maps)

    def store(self, objects: ObjectStore) -> None:
        """Store what changes.

        Raises:
            StoreError: The store is away, or may not be written; the next run goes on.
        """
        for key, rows in self.tables.items():
            store_rows(objects, key, rows=rows)
        for key, told in self.maps.items():
            store_map(objects, key, told=told)

    def told(self) -> str:
        """Say what follows, in a line."""
        names = sorted(self.tables or self.maps)
        verb = "follows" if len(names) == 1 else "follow"
        return f"{self._moved()}: {' and '.join(names)} {verb} {self._them()}"

    def foretold(self) -> str:
        """Say what would follow, in a line."""
        names = " and ".join(sorted(self.tables or self.maps))
        return f"{self._moved()}: `lithoscope reconcile` has {names} follow {self._them()}"

    def _moved(self) -> str:
        return f"{count_text(len(self.scans), 'scan')} moved"

    def _them(self) -> str:
        return "it" if len(self.scans) == 1 else "them"


def plan_following(
    objects: ObjectStore, moved: Mapping[str, str], *, metadata: BucketMetadata
) -> Following:
    """Work out what follows moved scans. What is told of a new key already stays as it is.

    Args:
        objects: The bucket.
        moved: New keys of scans by former ones (`infra.coverage.Coverage.moved`).
        metadata: The bucket's tables: those that are broken are left to their owner.

    Raises:
        StoreError: The store is away, or may not be read.
        LithoscopeError: A list is damaged.
    """
    following = Following()
    if not moved:
        return following
    maps = read_maps(objects)
    listed = {key for told in maps.values() for key in told.files}
    broken = {problem.source for problem in metadata.faults}
    tables = {key: read_rows(objects, key) for key in tables_of_ours(objects) - broken}
    described = {key for rows in tables.values() for key in rows}
    to_list = {key: there for key, there in moved.items() if there not in listed}
    to_describe = {
        row_key(key): there for key, there in to_list.items() if row_key(there) not in described
    }
    former_of = {row_key(key): key for key in moved}
    for name, rows in tables.items():
        if here := rows.keys() & to_describe.keys():
            following.tables[name] = _followed_rows(rows, to_describe)
            following.scans.update(former_of[key] for key in here)
    for name, told in maps.items():
        if inside := told.files.keys() & to_list.keys():
            files = {to_list.get(key, key): file for key, file in told.files.items()}
            following.maps[name] = told._replace(files=files)
            following.scans |= inside
    return following


def follow(
    objects: ObjectStore,
    moved: Mapping[str, str],
    *,
    metadata: BucketMetadata,
    lock: AbstractContextManager[object],
) -> Following:
    """Have tables and lists follow moved scans.

    Args:
        objects: The bucket.
        moved: New keys of scans by former ones.
        metadata: The bucket's tables.
        lock: The site's `infra.site.Site.library_lock`; taken only where something follows.

    Returns:
        What followed.

    Raises:
        StoreError: The store is away, or may not be read or written; the next run goes on.
        LithoscopeError: A list is damaged.
    """
    if not (following := plan_following(objects, moved, metadata=metadata)):
        return following
    with lock:
        following = plan_following(objects, moved, metadata=metadata)
        following.store(objects)
    return following


def names_what_is_gone(objects: ObjectStore) -> bool:
    """Whether what libraries say is about scans that are not in the bucket: they may have moved.

    Raises:
        StoreError: The store is away, or may not be read.
        LithoscopeError: A list is damaged.
    """
    named = {key for told in read_maps(objects).values() for key in told.files}
    described = {key for name in tables_of_ours(objects) for key in read_rows(objects, name)}
    return bool(named or described) and not _are_there(objects, named, rows=described)


def _are_there(objects: ObjectStore, keys: Collection[str], *, rows: Collection[str]) -> bool:
    there = {entry.key for page in objects.pages(SCANS) for entry in page}
    return there.issuperset(keys) and (
        there.issuperset(rows) or {row_key(key) for key in there}.issuperset(rows)
    )


def _followed_rows(rows: Mapping[str, Row], moved: Mapping[str, str]) -> dict[str, Row]:
    found = {}
    for key, row in rows.items():
        if (there := moved.get(key)) is None:
            found[key] = row
        else:
            place = ObjectKey.parse(there)
            found[str(place)] = _renamed(row, place)
    return found


def _renamed(row: Row, place: ObjectKey) -> Row:
    """Cells of a scan that is in another place: its reservoir and sample are what that says."""
    told = {str(Field.RESERVOIR): place.reservoir, str(Field.SAMPLE): place.sample}
    kept = {name: cell for name, cell in row.items() if name not in told}
    return kept | {name: text for name, text in told.items() if text is not None}
