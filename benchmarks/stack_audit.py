"""What a stack holds against what it is to hold, by reading store and index raw.

Nothing of ours that compares, counts or lists is asked: objects are listed through MinIO's SDK,
rows and records read through pymilvus, vectors held against an encoding in this process.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import urllib3
from minio import Minio
from pymilvus import MilvusClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from numpy.typing import NDArray
    from pydantic import SecretStr

    from infra.settings import Settings

SCANS, QUARANTINE = "scans/", "quarantine/"
PICTURES = ("thumbnails/", "previews/")

LEFTOVERS = ("orphaned rows", "orphaned pictures")
"""What a killed worker may leave, which no search sees and the daily deep sweep removes."""

_LIMIT = 16_384
_NOT_MEASURED = -1e29
_ALIKE = 0.02
"""Vectors of one content in bf16 and float32 differ by less, of two contents by more."""

_NEAREST = 16
_QUERIES = 100
_ANSWER_SECONDS = 60.0
"""Longer than a store hangs: a request that is given up may be carried out after later ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A scan as it is to be.

    Attributes:
        vectors: (N, D) of its slices; none for a scan that is to be quarantined.
        porosity: What is to be known of it, or None.
    """

    vectors: NDArray[np.float32]
    porosity: float | None


class Row(NamedTuple):
    """A row of the index, as far as it is looked at."""

    id: str
    generation: str
    slice_index: int
    reservoir: str
    sample: str
    porosity: float | None
    vector: NDArray[np.float32]


@dataclass(slots=True)
class Found:
    """What a stack holds.

    Attributes:
        etags: Etags of scans by key.
        records: Scan records by key.
        rows: Rows of slices by key.
        refused: Etags of quarantine records by key.
        pictures: Number of pictures by the scan's record id and its generation, of either kind.
        repeated: Keys that the index counts more rows of than there are ids.
    """

    etags: dict[str, str] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    pictures: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeated: int = 0


class Audit:
    """What is wrong, by words.

    Attributes:
        wrong: Keys by what is wrong with them.
        scans: Scans that are indexed.
        rows: Their slices.
        quarantined: Scans that are in quarantine.
    """

    def __init__(self, found: Found) -> None:
        """Begin with nothing wrong."""
        self.wrong: dict[str, list[str]] = {}
        self.scans = len(found.records)
        self.rows = sum(map(len, found.rows.values()))
        self.quarantined = len(found.refused)

    def note(self, word: str, key: str) -> None:
        """Note that something is wrong with a scan."""
        self.wrong.setdefault(word, []).append(key)

    @property
    def problems(self) -> dict[str, list[str]]:
        """What is wrong, but for what a search never sees and the deep sweep removes."""
        return {word: keys for word, keys in self.wrong.items() if word not in LEFTOVERS}

    @property
    def counts(self) -> dict[str, int]:
        """Number of scans by what may be wrong with them."""
        return {word: len(self.wrong.get(word, ())) for word in WORDS}


WORDS = (
    "lost by the store",
    "unexpected in the store",
    "lost",
    "stale etag",
    "duplicated",
    "half-written",
    "wrong vectors",
    "wrong metadata",
    "not found by a search",
    "orphaned records",
    "wrongly quarantined",
    "not quarantined",
    *LEFTOVERS,
)
"""All that can be wrong."""


def raw_store(settings: Settings) -> tuple[Minio, urllib3.PoolManager]:
    """Make a client of the store that tries nothing twice, and the connections to be closed."""
    store = settings.store
    pool = urllib3.PoolManager(timeout=_ANSWER_SECONDS, retries=False)
    client = Minio(
        store.endpoint or "",
        access_key=_plain(store.access_key),
        secret_key=_plain(store.secret_key),
        secure=store.secure,
        http_client=pool,
    )
    return client, pool


class StackReader:
    """Reads a stack's store and index raw. A context manager."""

    def __init__(self, settings: Settings, collection: str) -> None:
        """Connect.

        Args:
            settings: A client's.
            collection: Name of the live collection.
        """
        self._objects, self._pool = raw_store(settings)
        self._bucket = settings.store.bucket
        address, token = settings.index.address, _plain(settings.index.token)
        self._index = MilvusClient(uri=address or "", token=token)
        self._collection = collection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()
        self._pool.clear()

    def read(self) -> Found:
        """Read everything."""
        found = Found()
        found.etags = dict(self._listed(SCANS))
        for key, _ in self._listed(QUARANTINE):
            record = json.loads(self._content(key))
            found.refused[record["object_key"]] = record["etag"]
        for prefix in PICTURES:
            for key, _ in self._listed(prefix):
                _, scan, generation, _ = key.split("/")
                found.pictures[scan, generation] += 1
        records = self._all(f"{self._collection}_scans", ["*"])
        for record in records:
            found.records.setdefault(record["object_key"], []).append(record)
        rows = self._all(self._collection, ["*"])
        for row in rows:
            found.rows.setdefault(row["object_key"], []).append(_row(row))
        counted = self._count(self._collection) + self._count(f"{self._collection}_scans")
        found.repeated = counted - len(records) - len(rows)
        return found

    def nearest(self, vectors: NDArray[np.float32]) -> list[set[str]]:
        """Ids of the rows nearest to each vector."""
        found: list[set[str]] = []
        for start in range(0, len(vectors), _QUERIES):
            hits = self._index.search(
                self._collection,
                data=vectors[start : start + _QUERIES].tolist(),
                limit=_NEAREST,
                output_fields=["id"],
                consistency_level="Strong",
            )
            found += [{hit["id"] for hit in each} for each in hits]
        return found

    def _listed(self, prefix: str) -> Iterator[tuple[str, str]]:
        for entry in self._objects.list_objects(self._bucket, prefix=prefix, recursive=True):
            yield entry.object_name or "", (entry.etag or "").strip('"')

    def _content(self, key: str) -> bytes:
        answer = self._objects.get_object(self._bucket, key)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    def _all(self, table: str, columns: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._index.query(
            table, 'id != ""', columns, limit=_LIMIT, consistency_level="Strong"
        )
        if len(rows) >= _LIMIT:
            raise ValueError(f"{table}: more rows than can be read at once; take fewer scans")
        return rows

    def _count(self, table: str) -> int:
        (answer,) = self._index.query(table, 'id != ""', ["count(*)"], consistency_level="Strong")
        return int(answer["count(*)"])


def audit(reader: StackReader, wanted: Mapping[str, Wanted]) -> Audit:
    """Hold what a stack has against what it is to have.

    Args:
        reader: Reads the stack.
        wanted: Every scan as it is to be.
    """
    found = reader.read()
    told = Audit(found)
    for key in wanted.keys() - found.etags.keys():
        told.note("lost by the store", key)
    for key in found.etags.keys() - wanted.keys():
        told.note("unexpected in the store", key)
    if found.repeated:
        told.note("duplicated", f"{found.repeated} rows more than ids")
    for key in found.refused.keys() - found.etags.keys():
        told.note("wrongly quarantined", key)
    for key in sorted(wanted.keys() & found.etags.keys()):
        _look(key, wanted[key], found, note=told.note)
    _look_for_orphans(found, note=told.note)
    _search(reader, found, wanted, note=told.note)
    return told


def _look(key: str, wanted: Wanted, found: Found, *, note: Callable[[str, str], None]) -> None:
    """Look at one scan that is in the store."""
    records, refused = found.records.get(key, []), found.refused.get(key)
    if not len(wanted.vectors):
        if records or refused != found.etags[key]:
            note("not quarantined", key)
        return
    if refused is not None:
        note("wrongly quarantined", key)
    if not records:
        note("lost", key)
        return
    if len(records) > 1:
        note("duplicated", key)
    (record, *_) = records
    if record["etag"] != found.etags[key]:
        note("stale etag", key)
        return
    rows = [row for row in found.rows.get(key, []) if row.generation == record["generation"]]
    _look_at_rows(key, wanted, rows, note=note)
    if len(rows) != record["n_slices"] or found.pictures[record["id"], record["generation"]] != len(
        PICTURES
    ) * len(rows):
        note("half-written", key)
    _, reservoir, sample, _ = key.split("/", 3)
    names = {(each["reservoir"], each["sample"]) for each in records}
    names |= {(row.reservoir, row.sample) for row in rows}
    if names != {(reservoir, sample)} or {row.porosity for row in rows} != {wanted.porosity}:
        note("wrong metadata", key)


def _look_at_rows(
    key: str, wanted: Wanted, rows: list[Row], *, note: Callable[[str, str], None]
) -> None:
    numbers = Counter(row.slice_index for row in rows)
    if any(count > 1 for count in numbers.values()):
        note("duplicated", key)
    if set(numbers) != set(range(len(wanted.vectors))):
        note("half-written", key)
        return
    stored = np.stack([row.vector for row in sorted(rows, key=lambda row: row.slice_index)])
    if stored.shape != wanted.vectors.shape or not _are_alike(stored, wanted.vectors):
        note("wrong vectors", key)


def _are_alike(stored: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    away = np.linalg.norm(stored - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return bool((away < _ALIKE).all())


def _look_for_orphans(found: Found, *, note: Callable[[str, str], None]) -> None:
    """Look for what is indexed of nothing that is there."""
    vouched: dict[tuple[str, str], str] = {}
    for key, records in found.records.items():
        vouched |= {(record["id"], record["generation"]): key for record in records}
        if key not in found.etags:
            note("orphaned records", key)
    for key, rows in found.rows.items():
        generations = {record["generation"] for record in found.records.get(key, [])}
        if {row.generation for row in rows} - generations:
            note("orphaned rows", key)
    for pair in found.pictures.keys() - vouched.keys():
        note("orphaned pictures", "/".join(pair))


def _search(
    reader: StackReader,
    found: Found,
    wanted: Mapping[str, Wanted],
    *,
    note: Callable[[str, str], None],
) -> None:
    """Search for every slice: it is to be among the nearest to itself."""
    rows = [(key, row) for key, each in found.rows.items() if key in wanted for row in each]
    if not rows:
        return
    hits = reader.nearest(np.stack([row.vector for _, row in rows]))
    alike = Counter(row.vector.tobytes() for _, row in rows)
    for (key, row), nearest in zip(rows, hits, strict=True):
        if row.id not in nearest and alike[row.vector.tobytes()] <= _NEAREST:
            note("not found by a search", key)


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _row(row: Mapping[str, Any]) -> Row:
    porosity = float(row["porosity"])
    return Row(
        id=row["id"],
        generation=row["generation"],
        slice_index=int(row["slice_index"]),
        reservoir=row["reservoir"],
        sample=row["sample"],
        porosity=porosity if porosity > _NOT_MEASURED else None,
        vector=np.asarray(row["embedding"], np.float32),
    )
