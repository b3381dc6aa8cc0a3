"""From a scan and its vectors to what the index keeps of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.generations import generation_of
from infra.indexing.errors import VectorIndexError
from infra.indexing.records import NUMBER_COLUMNS, IndexedScan, ScanRecord, SliceRow
from infra.indexing.schema import ColumnKind
from infra.stored_scans import stored_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from encoder.decoding import DecodedScan
    from encoder.metadata.records import ScanMetadata
    from encoder.slicing import SlicePlace
    from infra.indexing.schema import TableSchema
    from ingest_worker.steps import Filled, Rekeying

FILE_PIXEL_SIZE = "file_pixel_size_um"
"""Name in a row's ``extra`` of the pixel size that the scan's own file tells."""

_PREDICTED_PERMEABILITY = "predicted_permeability_md"


def indexed_scan(filled: Filled, schema: TableSchema, *, fingerprint: str) -> IndexedScan:
    """Make what is committed of a scan.

    Args:
        filled: The scan, encoded.
        schema: What the collection keeps.
        fingerprint: Names the preprocessing.
    """
    prepared, encoded = filled.prepared, filled.encoded
    scan, metadata = prepared.scan, prepared.metadata
    file_size = scan.info.pixel_size_um
    generation = generation_of(stored_content(prepared.stat), fingerprint)
    properties = declared_properties(schema)
    numbers = _numbers(metadata, properties, file_pixel_size_um=file_size)
    extra = {**_facts(scan), **_extra(metadata, properties, file_pixel_size_um=file_size)}
    predicted = zip(
        _predictions(encoded.porosity, len(scan.slices)),
        _predictions(encoded.permeability_md, len(scan.slices)),
        strict=True,
    )
    rows = [
        SliceRow(
            object_key=prepared.object_key,
            generation=generation,
            slice_index=piece.index,
            position=position_of(piece),
            numbers={
                **numbers,
                "predicted_porosity": porosity,
                _PREDICTED_PERMEABILITY: permeability,
            },
            extra=extra,
            **_names(metadata),
        )
        for piece, (porosity, permeability) in zip(scan.slices, predicted, strict=True)
    ]
    record = ScanRecord(
        object_key=prepared.object_key,
        etag=prepared.stat.etag,
        generation=generation,
        metadata_hash=metadata.metadata_hash(),
        n_slices=len(rows),
        **_names(metadata),
    )
    return IndexedScan(record=record, slices=rows, vectors=encoded.vectors)


def rekeyed_record(rekeying: Rekeying) -> ScanRecord:
    """Give a scan's record its new metadata."""
    metadata = rekeying.metadata
    return replace(rekeying.former, metadata_hash=metadata.metadata_hash(), **_names(metadata))


def rekeyed_row(
    row: SliceRow, metadata: ScanMetadata, *, schema: TableSchema, scales_permeability: bool
) -> SliceRow:
    """Give a slice's row its scan's new metadata; facts of the file stay.

    Args:
        row: The row as it is.
        metadata: What is known of the scan now, without what its own file tells.
        schema: What the collection keeps.
        scales_permeability: Whether predicted permeability is per pixel's area.

    Raises:
        VectorIndexError: Its permeability can be predicted now, but only by encoding it.
    """
    file_size = row.extra.get(FILE_PIXEL_SIZE)
    properties = declared_properties(schema)
    numbers = _numbers(metadata, properties, file_pixel_size_um=file_size)
    if scales_permeability:
        numbers[_PREDICTED_PERMEABILITY] = _rescaled(row, numbers["pixel_size_um"])
    kept = {name: row.extra[name] for name in ("scan",) if name in row.extra}
    return replace(
        row,
        numbers={**row.numbers, **numbers},
        extra={**kept, **_extra(metadata, properties, file_pixel_size_um=file_size)},
        **_names(metadata),
    )


def _rescaled(row: SliceRow, pixel_size_um: float | None) -> float | None:
    """Predicted permeability under another pixel size: it grows with the pixel's area."""
    former, predicted = row.numbers["pixel_size_um"], row.numbers[_PREDICTED_PERMEABILITY]
    if former is None and pixel_size_um is not None:
        raise VectorIndexError(f"{row.object_key}: its pixel size became known; encode it anew")
    if former is None or pixel_size_um is None or predicted is None:
        return None
    return predicted * (pixel_size_um / former) ** 2


def declared_properties(schema: TableSchema) -> tuple[str, ...]:
    """Free properties that are columns of a collection."""
    return tuple(name for name in schema.names(ColumnKind.NUMBER) if name not in NUMBER_COLUMNS)


def position_of(place: SlicePlace) -> dict[str, Any]:
    """Where a slice lies in its scan, as JSON: axis, plane, position, tile; None is left out."""
    tile = place.tile
    found = {
        "axis": place.axis,
        "plane": place.plane,
        "position": place.position,
        "tile": None if tile is None else [tile.x, tile.y, tile.width, tile.height],
    }
    return {name: value for name, value in found.items() if value is not None}


def _names(metadata: ScanMetadata) -> dict[str, Any]:
    modality = metadata.modality
    return {
        "reservoir": metadata.reservoir,
        "sample": metadata.sample,
        "modality": None if modality is None else str(modality),
    }


def _numbers(
    metadata: ScanMetadata, properties: Sequence[str], *, file_pixel_size_um: float | None
) -> dict[str, float | None]:
    known = metadata.with_file_pixel_size(file_pixel_size_um)
    return {
        "porosity": known.properties.porosity,
        "permeability_md": known.properties.permeability_md,
        "pixel_size_um": known.pixel_size_um,
        **{name: known.properties.number(name) for name in properties},
    }


def _extra(
    metadata: ScanMetadata, properties: Sequence[str], *, file_pixel_size_um: float | None
) -> dict[str, Any]:
    """What is shown, not filtered; a declared property that is no number is shown as well."""
    free = {
        name: value
        for name, value in metadata.properties.extra.items()
        if name not in properties or metadata.properties.number(name) is None
    }
    extra: dict[str, Any] = {"properties": free} if free else {}
    if file_pixel_size_um is not None:
        extra[FILE_PIXEL_SIZE] = file_pixel_size_um
    return extra


def _facts(scan: DecodedScan) -> dict[str, Mapping[str, Any]]:
    info, window = scan.info, scan.window
    return {
        "scan": {
            "format": info.format,
            "n_planes": info.n_planes,
            "height": info.height,
            "width": info.width,
            "dtype": info.dtype,
            "window": [window.low, window.high, window.rule],
        }
    }


def _predictions(values: Any, count: int) -> list[float | None]:  # noqa: ANN401  an array or None
    if values is None:
        return [None] * count
    return [float(value) if math.isfinite(value) else None for value in values]
