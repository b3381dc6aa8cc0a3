"""From what a search is given to vectors, and to the samples that are its own.

A query's own sample must not pass for an analog. For an indexed scan it is its record's. For a file
it is what ingest would make of it, together with that of every indexed scan of the same content.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.commands.collect import ScanFile, collect_scans
from encoder.commands.reading import Libraries
from encoder.errors import printable
from encoder.metadata.problems import MetadataError
from encoder.object_keys import SCANS_PREFIX, ObjectKeyError, key_of_file
from encoder.ranking import Origin
from infra.bucket_metadata import BucketMetadata
from infra.filters import In
from infra.pictures import preview_key
from search_ui.requests import FileQuery, ObjectQuery, Query, SearchError, UploadQuery
from search_ui.results import QueryFacts
from search_ui.rock_properties import of_file, of_rows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.metadata.records import ScanMetadata
    from infra.indexing.records import ScanRecord
    from infra.model_versions import ModelVersion
    from infra.site import Site
    from search_ui.catalogue import Catalogue
    from search_ui.encoding import QueryEncoder

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sought:
    """One of the things that are looked for.

    Attributes:
        facts: What is told of it.
        vectors: (Q, D), one for each of its slices.
        origins: The samples that are its own.
        row_ids: Rows that are its own slices.
        notes: What its asker should know.
    """

    facts: QueryFacts
    vectors: NDArray[np.float32]
    origins: tuple[Origin, ...]
    row_ids: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Looks up what searches are given.

    Attributes:
        site: The installation.
        catalogue: What is indexed.
        encoder: Encodes files.
        version: The live model; None where it is not published.
        problem: Then, why.
    """

    site: Site
    catalogue: Catalogue
    encoder: QueryEncoder
    version: ModelVersion | None
    problem: str

    def find(self, query: Query) -> Sought:
        """Look one thing up.

        Raises:
            LithoscopeError: There is no such file or scan, or it can't be used.
        """
        if isinstance(query, UploadQuery):
            raise NotImplementedError
        return self._file(query) if isinstance(query, FileQuery) else self._object(query)

    def _object(self, query: ObjectQuery) -> Sought:
        collection = self.catalogue.collection
        record = collection.record(query.object_key)
        pairs = collection.slices(query.object_key) if record else []
        if record is None or not pairs:
            raise self.catalogue.unknown_object(query.object_key)
        wanted = [
            (row, vector)
            for row, vector in pairs
            if query.slice_index is None or row.slice_index == query.slice_index
        ]
        if not wanted:
            raise SearchError(
                f"{query.object_key}#{query.slice_index}: no such slice; it has "
                f"{pairs[0][0].slice_index} to {pairs[-1][0].slice_index}"
            )
        shown = wanted[len(wanted) // 2][0]
        number = "" if query.slice_index is None else f"#{query.slice_index}"
        facts = QueryFacts(
            name=f"{query.object_key}{number}",
            n_slices=len(wanted),
            reservoir=record.reservoir,
            sample=record.sample,
            object_keys=(query.object_key,),
            properties=of_rows(row for row, _ in wanted),
            picture_key=preview_key(
                shown.object_key, shown.generation, slice_index=shown.slice_index
            ),
        )
        notes = () if record.sample else (_unknown_sample(query.object_key),)
        return Sought(
            facts=facts,
            vectors=np.stack([vector for _, vector in wanted]),
            origins=(_origin(record),),
            row_ids=frozenset(row.row_id for row, _ in wanted),
            notes=notes,
        )

    def _file(self, query: FileQuery) -> Sought:
        _check_file(query.path)
        if self.version is None:
            raise SearchError(f"{self.problem}; until then, ask by object key")
        told, metadata, notes = self._told(query)
        encoded = self.encoder.encode(
            query.path,
            self.version,
            read=query.read,
            pixel_size_um=None if metadata is None else metadata.pixel_size_um,
        )
        twins = self._twins(query.path)
        # A path that names nothing must not cast doubt on what the indexed copy is known to be.
        says_something = told is not None and (told.reservoir or told.sample or not twins)
        origins = dict.fromkeys(
            [*map(_origin, twins), *([told] if told and says_something else [])]
        )
        named = next((each for each in origins if each.sample is not None), None)
        if named is None:
            notes = (*notes, _unknown_sample(str(query.path)))
        known = named or next(iter(origins), Origin(None, None, ""))
        rows = [
            row for twin in twins for row, _ in self.catalogue.collection.slices(twin.object_key)
        ]
        facts = QueryFacts(
            name=str(query.path),
            n_slices=len(encoded.vectors),
            reservoir=known.reservoir,
            sample=known.sample,
            object_keys=tuple(twin.object_key for twin in twins),
            properties=of_file(metadata, encoded, indexed=of_rows(rows)),
        )
        return Sought(
            facts=facts,
            vectors=encoded.vectors,
            origins=tuple(origins),
            row_ids=frozenset(row.row_id for row in rows),
            notes=notes,
        )

    def _twins(self, path: Path) -> list[ScanRecord]:
        """Indexed scans of the same content: by their etag, a content's hash in most stores."""
        records = self.catalogue.collection.records(In("etag", _hashes(path)))
        found = {record.object_key: record for record in records}
        key = self._key_in_bucket(path)
        record = self.catalogue.collection.record(key) if key else None
        if record is not None:
            found[record.object_key] = record
        return sorted(found.values(), key=lambda each: each.object_key)

    def _key_in_bucket(self, path: Path) -> str | None:
        """Key of a file that lies in the bucket's own folder."""
        settings = self.site.settings
        if settings.store.kind != "folder":
            return None
        folder = os.path.realpath(settings.bucket_folder)
        inside = os.path.relpath(os.path.realpath(path), folder)
        key = inside.replace(os.sep, "/")
        return key if key.startswith(f"{SCANS_PREFIX}/") else None

    def _told(self, query: FileQuery) -> tuple[Origin | None, ScanMetadata | None, tuple[str, ...]]:
        """Whose the file is and what was measured, as ingest would say: by tables and its path."""
        key = self._key_in_bucket(query.path)
        try:
            if key is not None:
                found = BucketMetadata.read(self.site.objects).resolve(key)
                return Origin(found.reservoir, found.sample, key), found, ()
            files = collect_scans([query.path], library=query.library)
            file = files[0]
            metadata = Libraries.of(files).resolve(file, strict=True)
        except MetadataError as error:
            problem = "; ".join(map(str, error.problems))
            note = printable(f"{query.path}: whose it is can't be told ({problem})")
            return None, None, (note,)
        key = _key_of(file, metadata.reservoir, sample=metadata.sample)
        return Origin(metadata.reservoir, metadata.sample, key), metadata, ()


def look_up(lookup: Lookup, queries: tuple[Query, ...]) -> list[Sought]:
    """Look up everything that a search is given, in order."""
    return [lookup.find(query) for query in queries]


def _key_of(file: ScanFile, reservoir: str | None, *, sample: str | None) -> str:
    """The key that ingest would store the file under; empty where it would refuse it."""
    try:
        return str(key_of_file(file.inside, reservoir=reservoir, sample=sample))
    except ObjectKeyError:
        return ""


def _origin(record: ScanRecord) -> Origin:
    return Origin(record.reservoir, record.sample, record.object_key)


def _unknown_sample(name: str) -> str:
    return printable(
        f"{name}: its sample is not known, so only what is the same scan could be hidden; "
        "name others of its sample with --exclude-sample, or its library with --library"
    )


def _check_file(path: Path) -> None:
    name = printable(str(path))
    if path.is_dir():
        raise SearchError(f"{name}: is a folder; name one of its files")
    if not path.exists():
        raise SearchError(
            f"{name}: no such file, and no object key (those begin with {SCANS_PREFIX}/); "
            "check the path"
        )


def _hashes(path: Path) -> tuple[str, ...]:
    """What stores may take for etags: SHA-256 (folders), MD5 (S3, of what was put at once)."""
    digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                for digest in digests:
                    digest.update(chunk)
    except OSError as error:
        raise SearchError(f"{path}: can't be read ({error.strerror})") from error
    return tuple(digest.hexdigest() for digest in digests)
