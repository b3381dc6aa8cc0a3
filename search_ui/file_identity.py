"""Whose a file is that is looked for: what its library tells, its asker, and its content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.commands.collect import ScanFile, collect_scans
from encoder.commands.reading import Libraries
from encoder.errors import printable
from encoder.metadata.problems import MetadataError
from encoder.metadata.records import ScanMetadata
from encoder.object_keys import SCANS_PREFIX, ObjectKeyError, key_of_file
from encoder.ranking import Origin
from infra.bucket_metadata import BucketMetadata
from infra.filters import In
from search_ui.requests import FileQuery, SearchError, Told

if TYPE_CHECKING:
    from infra.indexing.records import ScanRecord
    from infra.site import Site
    from search_ui.catalogue import Catalogue

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose a file is.

    Attributes:
        origin: The rock that it shows; None where that can't be told.
        metadata: What is known of it; None likewise.
        notes: What its asker should know.
    """

    origin: Origin | None
    metadata: ScanMetadata | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """Tells whose files are.

    Attributes:
        site: The installation.
        catalogue: What is indexed.
    """

    site: Site
    catalogue: Catalogue

    def identify(self, query: FileQuery) -> Identity:
        """Tell whose a file is; what its asker tells wins."""
        found = self._found(query)
        if query.told is None:
            return found
        name = query.name or str(query.path)
        metadata = _with_told(found.metadata or ScanMetadata(object_key=name), query.told)
        key = "" if found.origin is None else found.origin.object_key
        if (query.told.reservoir, query.told.sample) != (None, None):
            key = ""  # the key is made of other names then
        notes = () if query.told.sample else found.notes
        origin = Origin(metadata.reservoir, metadata.sample, key)
        return Identity(origin=origin, metadata=metadata, notes=notes)

    def pixel_size_um(self, query: FileQuery, known: Identity) -> float | None:
        """Size of a file's pixels, but for what the file itself tells.

        Args:
            query: The file.
            known: Whose it is.

        Returns:
            In micrometres, as its asker or library tells it, else as an indexed scan of the same
            content has it; None where none does.

        Raises:
            SearchError: The file can't be read.
        """
        metadata, raw = known.metadata, None if query.read is None else query.read.raw
        for told in (metadata, raw):
            if told is not None and told.pixel_size_um is not None:
                return told.pixel_size_um
        sizes = (
            row.numbers.get("pixel_size_um")
            for twin in self.twins(query.path)
            for row, _ in self.catalogue.collection.slices(twin.object_key)[:1]
        )
        return next((size for size in sizes if size is not None), None)

    def twins(self, path: Path) -> list[ScanRecord]:
        """Indexed scans of the same content: by their etag, a content's hash in most stores."""
        records = self.catalogue.collection.records(In("etag", hashes(path)))
        found = {record.object_key: record for record in records}
        key = self._key_in_bucket(path)
        record = self.catalogue.collection.record(key) if key else None
        if record is not None:
            found[record.object_key] = record
        return sorted(found.values(), key=lambda each: each.object_key)

    def _found(self, query: FileQuery) -> Identity:
        """Whose the file is as ingest would say: by tables and its path."""
        if query.name is not None:
            return Identity(origin=Origin(None, None, ""), metadata=None)
        key = self._key_in_bucket(query.path)
        try:
            if key is not None:
                found = BucketMetadata.read(self.site.objects).resolve(key)
                origin = Origin(found.reservoir, found.sample, key)
                return Identity(origin=origin, metadata=found)
            files = collect_scans([query.path], library=query.library)
            file = files[0]
            metadata = Libraries.of(files).resolve(file, strict=True)
        except MetadataError as error:
            problem = "; ".join(map(str, error.problems))
            note = printable(f"{query.path}: whose it is can't be told ({problem})")
            return Identity(origin=None, metadata=None, notes=(note,))
        key = _key_of(file, metadata.reservoir, sample=metadata.sample)
        origin = Origin(metadata.reservoir, metadata.sample, key)
        return Identity(origin=origin, metadata=metadata)

    def _key_in_bucket(self, path: Path) -> str | None:
        """Key of a file that lies in the bucket's own folder."""
        settings = self.site.settings
        if settings.store.kind != "folder":
            return None
        folder = os.path.realpath(settings.bucket_folder)
        inside = os.path.relpath(os.path.realpath(path), folder)
        key = inside.replace(os.sep, "/")
        return key if key.startswith(f"{SCANS_PREFIX}/") else None


def hashes(path: Path) -> tuple[str, ...]:
    """What stores may take for etags: SHA-256 (folders), MD5 (S3, of what was put at once).

    Raises:
        SearchError: The file can't be read.
    """
    try:
        found = path.stat()
        return _hashes(str(path), (found.st_ino, found.st_size, found.st_mtime_ns))
    except OSError as error:
        raise SearchError(
            f"{printable(path.name)}: can't be read ({error.strerror}); give a file that can be"
        ) from error


@lru_cache(maxsize=64)
def _hashes(path: str, as_of: tuple[int, ...]) -> tuple[str, ...]:  # noqa: ARG001  a key
    digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
    return tuple(digest.hexdigest() for digest in digests)


def _with_told(metadata: ScanMetadata, told: Told) -> ScanMetadata:
    properties = metadata.properties
    if told.porosity is not None:
        properties = replace(properties, porosity=told.porosity)
    if told.permeability_md is not None:
        properties = replace(properties, permeability_md=told.permeability_md)
    return replace(
        metadata,
        reservoir=told.reservoir or metadata.reservoir,
        sample=told.sample or metadata.sample,
        pixel_size_um=told.pixel_size_um or metadata.pixel_size_um,
        properties=properties,
    )


def _key_of(file: ScanFile, reservoir: str | None, *, sample: str | None) -> str:
    """The key that ingest would store the file under; empty where it would refuse it."""
    try:
        return str(key_of_file(file.inside, reservoir=reservoir, sample=sample))
    except ObjectKeyError:
        return ""
