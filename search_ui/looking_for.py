"""From what a search is given to vectors, and to the samples that are its own.

A query's own sample must not pass for an analog. For an indexed scan it is its record's. For a file
it is what ingest would make of it, together with that of every indexed scan of the same content.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from encoder.errors import printable
from encoder.object_keys import SCANS_PREFIX
from encoder.ranking import Origin
from infra.pictures import preview_key
from infra.stored_scans import file_name, read_options
from search_ui.encoding import FilePart
from search_ui.file_identity import Identifier
from search_ui.places import size_um
from search_ui.requests import FileQuery, ObjectQuery, Query, SearchError, UploadQuery
from search_ui.results import QueryFacts
from search_ui.rock_properties import of_file, of_rows, predicted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.inference import Encoded
    from encoder.regions import Region
    from infra.indexing.records import ScanRecord, SliceRow
    from infra.site import Site
    from search_ui.catalogue import Catalogue
    from search_ui.encoding import QueryEncoder
    from search_ui.fetched_files import FetchedFiles
    from search_ui.kept_queries import KeptFile, KeptQueries
    from search_ui.live import LiveModel
    from search_ui.stopwatch import Stopwatch


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
        kept: Uploaded files.
        fetched: Local copies of indexed scans.
        live: The live model, or why there is none.
        watch: Measures what is done to files.
    """

    site: Site
    catalogue: Catalogue
    encoder: QueryEncoder
    kept: KeptQueries
    fetched: FetchedFiles
    live: LiveModel
    watch: Stopwatch

    def find(self, query: Query) -> Sought:
        """Look one thing up.

        Raises:
            LithoscopeError: There is no such file or scan, or it can't be used.
        """
        if isinstance(query, UploadQuery):
            with self.kept.open(query.token) as file:
                return self._file(of_upload(query, file))
        return self._file(query) if isinstance(query, FileQuery) else self._object(query)

    def _object(self, query: ObjectQuery) -> Sought:
        record, pairs = self._indexed(query)
        rows = [row for row, _ in pairs]
        shown = rows[len(rows) // 2]
        size = size_um(shown)
        number = "" if query.slice_index is None else f"#{query.slice_index}"
        name = f"{query.object_key}{number}"
        vectors, properties = np.stack([vector for _, vector in pairs]), of_rows(rows)
        if query.region is not None:
            encoded = self._part_of(query, record, rows=rows)
            vectors, properties = encoded.vectors, predicted(properties, encoded)
        facts = QueryFacts(
            name=name,
            n_slices=len(vectors),
            reservoir=record.reservoir,
            sample=record.sample,
            object_keys=(query.object_key,),
            properties=properties,
            picture_key=preview_key(
                shown.object_key, shown.generation, slice_index=shown.slice_index
            ),
            picture_width_um=None if size is None else size[0],
        )
        notes = () if record.sample else (_unknown_sample(query.object_key),)
        return Sought(
            facts=facts,
            vectors=vectors,
            origins=(_origin(record),),
            row_ids=frozenset(row.row_id for row in rows),
            notes=(*notes, *_part_notes(name, query.region)),
        )

    def _indexed(
        self, query: ObjectQuery
    ) -> tuple[ScanRecord, Sequence[tuple[SliceRow, NDArray[np.float32]]]]:
        """An indexed scan, and the slices that are meant with their vectors."""
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
        return record, wanted

    def _part_of(
        self, query: ObjectQuery, record: ScanRecord, *, rows: Sequence[SliceRow]
    ) -> Encoded:
        """Encode a part of an indexed scan, which is fetched as ingest does."""
        version = self.live.required()
        key, objects = query.object_key, self.site.objects
        limit = self.site.settings.decode.download_mib << 20

        def fetch(folder: Path) -> Path:
            target = folder / file_name(key)
            objects.get(key, target, max_bytes=limit, etag=record.etag)
            return target

        part = FilePart(
            read=read_options(key, objects.stat(key).user_metadata),
            slice_index=query.slice_index,
            region=query.region,
        )
        pixel_size_um = rows[0].numbers.get("pixel_size_um")
        with self.fetched.at_hand(f"{key}\0{record.etag}", fetch) as path:
            return self.encoder.encode(
                path, version, part=part, pixel_size_um=pixel_size_um, watch=self.watch
            )

    def _file(self, query: FileQuery) -> Sought:
        _check_file(query.path)
        version = self.live.required()
        identifier = Identifier(site=self.site, catalogue=self.catalogue)
        identity = identifier.identify(query)
        metadata, notes = identity.metadata, identity.notes
        encoded = self.encoder.encode(
            query.path,
            version,
            part=FilePart(read=query.read, slice_index=query.slice_index, region=query.region),
            pixel_size_um=identifier.pixel_size_um(query, identity),
            watch=self.watch,
        )
        twins = identifier.twins(query.path)
        told = identity.origin
        # A path that names nothing must not cast doubt on what the indexed copy is known to be.
        says_something = told is not None and (told.reservoir or told.sample or not twins)
        origins = dict.fromkeys(
            [*map(_origin, twins), *([told] if told and says_something else [])]
        )
        known = _known_origin(query, told, origins=tuple(origins))
        name = query.name or str(query.path)
        if all(each.sample is None for each in origins):
            notes = (*notes, _unknown_sample(name, is_upload=query.name is not None))
        rows = [
            row for twin in twins for row, _ in self.catalogue.collection.slices(twin.object_key)
        ]
        facts = QueryFacts(
            name=name if query.slice_index is None else f"{name}#{query.slice_index}",
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
            row_ids=frozenset(
                row.row_id for row in rows if query.slice_index in (None, row.slice_index)
            ),
            notes=(*notes, *_part_notes(name, query.region)),
        )


def of_upload(query: UploadQuery, file: KeptFile) -> FileQuery:
    """An uploaded file as one that is looked for: its path tells nothing of it."""
    return FileQuery(
        path=file.path,
        read=file.read,
        name=printable(file.name),
        told=query.told,
        slice_index=query.slice_index,
        region=query.region,
    )


def _known_origin(query: FileQuery, told: Origin | None, *, origins: Sequence[Origin]) -> Origin:
    """What an answer tells of a file: its asker's word first."""
    if query.told is not None and told is not None and told.sample is not None:
        return told
    named = next((each for each in origins if each.sample is not None), None)
    known = named or next(iter(origins), Origin(None, None, ""))
    if query.told is not None and query.told.reservoir is not None:
        known = replace(known, reservoir=query.told.reservoir)
    return known


def _part_notes(name: str, region: Region | None) -> tuple[str, ...]:
    if region is None or region.is_whole:
        return ()
    width, height = region.right - region.left, region.bottom - region.top
    return (
        printable(
            f"{name}: a part of {width:.0%} by {height:.0%} is looked for; what it is compared "
            "with are whole slices"
        ),
    )


def _origin(record: ScanRecord) -> Origin:
    return Origin(record.reservoir, record.sample, record.object_key)


def _unknown_sample(name: str, *, is_upload: bool = False) -> str:
    remedy = (
        "tell its reservoir and sample, or leave its neighbours out by name"
        if is_upload
        else "leave others of its sample out by name (--exclude-sample), or name its library "
        "(--library)"
    )
    return printable(
        f"{name}: its sample is not known, so only what is the same scan could be hidden; {remedy}"
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
