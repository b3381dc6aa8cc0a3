"""What a library's tables say, as one table in the bucket; and which of its files has which key.

A library's own tables name files by path, by name or by sample, and lie where the bucket has no
folders. So what they say of each scan is stored as one table keyed by object key,
``metadata/<library>.csv``; a scan that its key alone describes needs no row.
``libraries/<library>.json`` says which file each key was copied from: a scan whose reservoir or
sample was corrected gets another key, and its former object is found there. What is moved within
the bucket is followed by both (`ingest_worker.following`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import LithoscopeError
from encoder.metadata.columns import Field
from encoder.metadata.header import read_header
from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError
from encoder.object_keys import ObjectKey, ObjectKeyError
from infra.store_errors import ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from encoder.metadata.records import Scalar, ScanMetadata
    from infra.object_store import ObjectStore

TABLES_PREFIX = "metadata/"
MAPS_PREFIX = "libraries/"
OWNER_NAME = "lithoscope-library"
"""User metadata that marks a table as written here."""

_FIXED = (
    Field.OBJECT_KEY,
    Field.RESERVOIR,
    Field.SAMPLE,
    Field.MODALITY,
    Field.POROSITY,
    Field.PERMEABILITY_MD,
    Field.PIXEL_SIZE_UM,
)
_MAX_BYTES = 256 << 20
_NAME_LENGTH = 60

Row = dict[str, str]
"""Cells of a row by the header of their column, the key left out."""


@dataclass(frozen=True, slots=True)
class Library:
    """A folder that scans are copied from.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def name(self) -> str:
        """The folder's name, and what tells it from others of the same name."""
        place = Path(os.path.realpath(self.root))
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", place.name).strip("._-") or "library"
        return f"{plain[:_NAME_LENGTH]}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"

    @property
    def table_key(self) -> str:
        """Key of its table."""
        return f"{TABLES_PREFIX}{self.name}.csv"

    @property
    def map_key(self) -> str:
        """Key of the list of its keys."""
        return f"{MAPS_PREFIX}{self.name}.json"


class FileMap(NamedTuple):
    """Which files of a library objects were copied from.

    Attributes:
        root: The library's folder.
        files: Paths relative to that, by object key.
    """

    root: str
    files: Mapping[str, str]


def write_table(
    objects: ObjectStore,
    library: Library,
    *,
    scans: Mapping[str, ScanMetadata],
    gone: Iterable[str] = (),
) -> bool:
    """Store what a library says of its scans; rows of scans that are not given stay.

    A scan is described by the library that it was ingested from last: rows for it in other
    tables that were written here are taken out.

    Args:
        objects: The bucket.
        library: The library.
        scans: What is known of scans, by object key.
        gone: Keys that its scans no longer have.

    Returns:
        Whether a table changed.
    """
    taken = {*scans, *gone}
    changed = False
    for key in tables_of_ours(objects) - {library.table_key}:
        rows = read_rows(objects, key)
        kept = {each: row for each, row in rows.items() if each not in scans}
        if len(kept) < len(rows):
            changed |= store_rows(objects, key, rows=kept)
    rows = {
        key: row for key, row in read_rows(objects, library.table_key).items() if key not in taken
    }
    rows |= {key: row for key, metadata in scans.items() if (row := _row(key, metadata))}
    return store_rows(objects, library.table_key, rows=rows) or changed


def read_map(objects: ObjectStore, library: Library) -> dict[str, str]:
    """Give the files of a library by object key: paths relative to its folder.

    Raises:
        LithoscopeError: The list is damaged.
    """
    return dict(_read_map(objects, library.map_key).files)


def write_map(objects: ObjectStore, library: Library, *, files: Mapping[str, str]) -> None:
    """Store which file of a library each object key was copied from, if that changed."""
    store_map(objects, library.map_key, told=FileMap(str(library.root), files))


def read_maps(objects: ObjectStore) -> dict[str, FileMap]:
    """Give what is known of all libraries' files, by the key of each list.

    Raises:
        LithoscopeError: A list is damaged.
    """
    keys = [entry.key for page in objects.pages(MAPS_PREFIX) for entry in page]
    return {key: _read_map(objects, key) for key in keys}


def store_map(objects: ObjectStore, key: str, *, told: FileMap) -> None:
    """Store which file each object key was copied from, if that changed."""
    scans = dict(sorted(told.files.items()))
    content = json.dumps({"library": told.root, "scans": scans}, indent=0).encode()
    if content != _read(objects, key):
        objects.put(key, content)


def owners(objects: ObjectStore, *, besides: Library) -> dict[str, str]:
    """Give the paths that objects were copied from out of other libraries, by object key."""
    found: dict[str, str] = {}
    for map_key, (root, files) in read_maps(objects).items():
        if map_key != besides.map_key:
            found |= {key: os.path.join(root, inside) for key, inside in files.items()}  # noqa: PTH118  many
    return found


def _read_map(objects: ObjectStore, key: str) -> FileMap:
    content = _read(objects, key)
    if content is None:
        return FileMap("", {})
    try:
        told = json.loads(content)
        files = {str(each): str(path) for each, path in told["scans"].items()}
        return FileMap(str(told["library"]), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LithoscopeError(
            f"{key}: is damaged ({error!r}); remove it from the bucket and ingest its library again"
        ) from error


def _row(key: str, metadata: ScanMetadata) -> Row | None:
    """Cells of a scan; None where its key tells as much."""
    values = metadata.values()
    if values == MetadataIndex().resolve(key).values():
        return None
    fixed = set(map(str, _FIXED))
    return {
        name if name in fixed else _free_header(name): _cell(value)
        for name, value in values.items()
    }


def _cell(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _free_header(name: str) -> str:
    """Header that a free property is read back from as such: ``file`` alone would be an image."""
    headers = (*map(str, _FIXED), name)
    try:
        is_same = read_header(headers, source=name)[-1].name == name
    except MetadataError:
        is_same = False
    return name if is_same else f"property_{name}"


def row_key(key: str) -> str:
    """Give the spelling by which a row names a key, which may be stored less escaped."""
    try:
        return str(ObjectKey.parse(key))
    except ObjectKeyError:
        return key


def tables_of_ours(objects: ObjectStore) -> set[str]:
    """Keys of tables that were written here."""
    return {
        entry.key
        for page in objects.pages(TABLES_PREFIX)
        for entry in page
        if re.search(r"-[0-9a-f]{8}\.csv$", entry.key)
        and OWNER_NAME in objects.stat(entry.key).user_metadata
    }


def _read(objects: ObjectStore, key: str) -> bytes | None:
    try:
        return objects.read(key, max_bytes=_MAX_BYTES)
    except ObjectMissingError:
        return None


def read_rows(objects: ObjectStore, key: str) -> dict[str, Row]:
    """Rows of a table of ours, by object key; none where there is no such table."""
    content = _read(objects, key) or b""
    lines = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    rows = {}
    for line in lines:
        cells = {
            name: cell for name, cell in line.items() if isinstance(name, str) and cell
        }  # cells beyond the header have no name
        if object_key := cells.pop(str(Field.OBJECT_KEY), None):
            rows[object_key] = cells
    return rows


def store_rows(objects: ObjectStore, key: str, *, rows: Mapping[str, Row]) -> bool:
    """Store a table if it changed; one without rows is removed."""
    former = _read(objects, key)
    if not rows:
        if former is not None:
            objects.delete(key)
        return former is not None
    fixed = list(map(str, _FIXED))
    free = sorted({name for row in rows.values() for name in row} - set(fixed))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*fixed, *free], lineterminator="\n")
    writer.writeheader()
    for object_key in sorted(rows):
        writer.writerow({fixed[0]: object_key, **rows[object_key]})
    content = text.getvalue().encode()
    if content == former:
        return False
    owner = key.removeprefix(TABLES_PREFIX).removesuffix(".csv")
    objects.put(key, content, user_metadata={OWNER_NAME: owner})
    return True
