"""What the index keeps of a scan: its record, which is the commit, and a row for every slice."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.filters import MEASURED_ABOVE
from infra.indexing.errors import VectorIndexError
from infra.indexing.schema import JSON_BYTES, KEY, TEXT_BYTES, VECTOR, Column, ColumnKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

NUMBER_COLUMNS = (
    "porosity",
    "permeability_md",
    "pixel_size_um",
    "predicted_porosity",
    "predicted_permeability_md",
)
"""Numbers that every collection keeps of a slice."""

_SLICE_TEXTS = ("object_key", "generation", "reservoir", "sample", "modality")
_RECORD_TEXTS = (
    "object_key",
    "etag",
    "generation",
    "metadata_hash",
    "reservoir",
    "sample",
    "modality",
)
_OPTIONAL = frozenset({"reservoir", "sample", "modality"})

RECORD_COLUMNS = (
    *(Column(name, ColumnKind.TEXT) for name in _RECORD_TEXTS),
    Column("n_slices", ColumnKind.INTEGER),
)
"""Columns of a table of scan records."""

RECORD_VECTOR = np.ones(2, np.float32)
"""Milvus wants a vector in every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRecord:
    """What is indexed of one scan. Only rows of its generation are seen.

    Attributes:
        object_key: Key in the object store.
        etag: The object's change token.
        generation: Name of this content under this slicing and preprocessing.
        metadata_hash: Hash of the metadata in its rows.
        n_slices: Number of its rows.
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        modality: How it was imaged, or None.
    """

    object_key: str
    etag: str
    generation: str
    metadata_hash: str
    n_slices: int
    reservoir: str | None = None
    sample: str | None = None
    modality: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """What is kept of one slice beside its vector.

    Attributes:
        object_key: Its scan's key.
        generation: Its scan's generation.
        slice_index: Its number in the scan, from 0.
        position: Where it lies in the scan: JSON.
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        modality: How it was imaged, or None.
        numbers: Number columns; one that is left out, or None, was not measured.
        extra: What is shown, not filtered: JSON.
    """

    object_key: str
    generation: str
    slice_index: int
    position: Mapping[str, Any] = field(default_factory=dict)
    reservoir: str | None = None
    sample: str | None = None
    modality: str | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row_id(self) -> str:
        """Key of its row: the same slice of the same content is always the same row."""
        return _hash(self.object_key, self.generation, str(self.slice_index))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndexedScan:
    """A scan to be committed.

    Attributes:
        record: Its record.
        slices: Its slices, of the record's key and generation.
        vectors: Their vectors, (N, D) float32.
    """

    record: ScanRecord
    slices: Sequence[SliceRow]
    vectors: NDArray[np.float32]

    def check(self, dimension: int) -> None:
        """Refuse what must not enter the index.

        Args:
            dimension: D of the collection.

        Raises:
            VectorIndexError: Vectors of another shape or not finite, slices of another key or
                generation, twice the same slice, or another number than the record says.
        """
        key = self.record.object_key
        expected = (len(self.slices), dimension)
        if self.vectors.shape != expected:
            raise VectorIndexError(
                f"{key}: vectors of shape {self.vectors.shape}, expected {expected}; "
                "use the collection's own encoder"
            )
        if not is_finite(self.vectors):
            raise VectorIndexError(f"{key}: a vector is not finite; check the scan's pixels")
        if self.record.n_slices != len(self.slices):
            raise VectorIndexError(
                f"{key}: {len(self.slices)} slices, its record says {self.record.n_slices}; "
                "make both from one decoding"
            )
        if len({row.slice_index for row in self.slices}) != len(self.slices):
            raise VectorIndexError(f"{key}: a slice index appears twice; number slices from 0")
        for row in self.slices:
            check_owner(row, self.record)


def is_finite(vectors: NDArray[np.float32]) -> bool:
    """Whether every number is finite as float32."""
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused
        return bool(np.isfinite(np.asarray(vectors).astype(np.float32)).all())


def check_owner(row: SliceRow, record: ScanRecord) -> None:
    """Refuse a slice of another scan or generation.

    Raises:
        VectorIndexError: It is.
    """
    found, expected = ((owner.object_key, owner.generation) for owner in (row, record))
    if found != expected:
        raise VectorIndexError(
            f"{record.object_key}: slice {row.slice_index} is of {found}, expected {expected}; "
            "commit each scan with its own slices"
        )


def slice_columns(properties: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns of a table of slices.

    Args:
        properties: Declared number columns beside `NUMBER_COLUMNS`.

    Raises:
        VectorIndexError: A name that is no plain identifier, or is taken.
    """
    columns = (
        *(Column(name, ColumnKind.TEXT) for name in _SLICE_TEXTS),
        Column("slice_index", ColumnKind.INTEGER),
        Column("position", ColumnKind.JSON),
        *(Column(name, ColumnKind.NUMBER) for name in NUMBER_COLUMNS),
        Column("extra", ColumnKind.JSON),
    )
    taken = {KEY, VECTOR, *(column.name for column in columns)}
    for name in properties:
        if not (name.isidentifier() and name.isascii()) or name in taken:
            raise VectorIndexError(
                f"property {name!r} can't be a column; use a name of ASCII letters, digits and _ "
                f"that is none of {', '.join(sorted(taken))}"
            )
        taken.add(name)
    return (*columns, *(Column(name, ColumnKind.NUMBER) for name in properties))


def record_id(object_key: str) -> str:
    """Key of a scan's record."""
    return _hash(object_key)


def record_to_row(record: ScanRecord) -> dict[str, Any]:
    """A scan record as a row.

    Raises:
        VectorIndexError: A text that is not Unicode, or too long.
    """
    texts = {
        name: _text(record.object_key, name, value=getattr(record, name)) for name in _RECORD_TEXTS
    }
    return {
        KEY: record_id(record.object_key),
        VECTOR: RECORD_VECTOR,
        **texts,
        "n_slices": record.n_slices,
    }


def record_from_row(row: Mapping[str, Any]) -> ScanRecord:
    """A row as a scan record."""
    return ScanRecord(**{name.name: _value(row, name.name) for name in fields(ScanRecord)})


def slice_to_row(
    row: SliceRow, vector: NDArray[np.float32], *, numbers: Sequence[str]
) -> dict[str, Any]:
    """A slice as a row.

    Args:
        row: The slice.
        vector: (D,) its vector.
        numbers: Number columns of the collection.

    Raises:
        VectorIndexError: A text that is not Unicode or too long, a number that is not finite, not
            above `MEASURED_ABOVE` or no column, JSON that is none or too long.
    """
    key = row.object_key
    texts = {name: _text(key, name, value=getattr(row, name)) for name in _SLICE_TEXTS}
    if unknown := sorted(row.numbers.keys() - set(numbers)):
        raise VectorIndexError(
            f"{key}: no number column {unknown[0]!r}; declare it in LITHOSCOPE_PROPERTIES before "
            "the collection is made, or put it into extra"
        )
    return {
        KEY: row.row_id,
        VECTOR: vector,
        **texts,
        "slice_index": row.slice_index,
        "position": _json(key, "position", value=row.position),
        "extra": _json(key, "extra", value=row.extra),
        **{name: _number(key, name, value=row.numbers.get(name)) for name in numbers},
    }


def slice_from_row(row: Mapping[str, Any], numbers: Sequence[str]) -> SliceRow:
    """A row as a slice."""
    plain = [name.name for name in fields(SliceRow) if name.name != "numbers"]
    return SliceRow(
        **{name: _value(row, name) for name in plain}, numbers={name: row[name] for name in numbers}
    )


def _value(row: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  a cell of any column
    return None if name in _OPTIONAL and row[name] == "" else row[name]


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _text(key: str, name: str, *, value: str | None) -> str:
    text = value or ""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise VectorIndexError(
            f"{key!r}: {name} {text[:60]!r} is not valid Unicode; mend it where it was read"
        ) from None
    if size > TEXT_BYTES:
        raise VectorIndexError(
            f"{key[:200]}: {name} has {size} bytes, at most {TEXT_BYTES} are allowed; shorten it"
        )
    return text


def _number(key: str, name: str, *, value: float | None) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value) or value <= MEASURED_ABOVE:
        raise VectorIndexError(
            f"{key}: {name} is {value!r}, expected a finite number above {MEASURED_ABOVE:g}, or "
            "None where it was not measured"
        )
    return float(value)


def _json(key: str, name: str, *, value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(dict(value), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise VectorIndexError(
            f"{key}: {name} is not JSON ({error}); give texts, finite numbers, lists and objects"
        ) from error
    if size > JSON_BYTES:
        raise VectorIndexError(
            f"{key}: {name} has {size} bytes as JSON, at most {JSON_BYTES} are allowed; shorten it"
        )
    return dict(value)
