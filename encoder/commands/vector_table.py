"""Vectors on disk: one Parquet file, a row for each slice."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from encoder.commands.outputs import unwritable, written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from encoder.decoding import DecodedScan
    from encoder.inference import EncodingSession
    from encoder.metadata.records import ScanMetadata
    from encoder.slicing import SlicePlace

_PIXEL = pa.int32()
_TILE = pa.struct([(name, _PIXEL) for name in ("x", "y", "width", "height")])
_COLUMNS = [
    ("path", pa.string()),
    ("slice_index", pa.int32()),
    ("axis", pa.int8()),
    ("plane", pa.int32()),
    ("position", pa.float64()),
    ("tile", _TILE),
    ("window_low", pa.float64()),
    ("window_high", pa.float64()),
    ("reservoir", pa.string()),
    ("sample", pa.string()),
    ("modality", pa.string()),
    ("pixel_size_um", pa.float64()),
    ("porosity", pa.float64()),
    ("permeability_md", pa.float64()),
    ("extra", pa.string()),
]


ROWS_AT_A_TIME = 4096
"""Rows of a row group, at least: each costs the file and its readers a few kilobytes."""


class VectorTable:
    """A Parquet file of vectors that is being written.

    Args:
        writer: Open Parquet writer.
        path: Name of the file, for errors.
    """

    def __init__(self, writer: pq.ParquetWriter, path: Path) -> None:
        self._writer = writer
        self._path = path
        self._rows: list[dict[str, Any]] = []

    def append(
        self, scan: DecodedScan, vectors: NDArray[np.float32], *, metadata: ScanMetadata
    ) -> None:
        """Write the slices of one scan.

        Args:
            scan: The decoded scan, with n slices.
            vectors: (n, D), in the order of the slices.
            metadata: What is known about the scan.
        """
        about_scan = _scan_columns(scan, metadata)
        for piece, vector in zip(scan.slices, vectors, strict=True):
            self._rows.append(_place_columns(piece) | about_scan | {"embedding": vector})
        if len(self._rows) >= ROWS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._rows:
            table = pa.Table.from_pylist(self._rows, schema=self._writer.schema)
            try:
                self._writer.write_table(table)
            except OSError as error:
                raise unwritable(self._path, error) from error
            self._rows = []


@contextmanager
def vector_table(path: Path, session: EncodingSession) -> Iterator[VectorTable]:
    """Write a Parquet file of vectors, which appears under its name only when it is whole.

    Args:
        path: File to write; what was there is replaced.
        session: What makes the vectors; told in the file's own metadata.

    Yields:
        The table to append scans to.

    Raises:
        OutputError: The file can't be written there.
    """
    with written_whole(path) as partial, _writer(partial, path, schema=_schema(session)) as writer:
        table = VectorTable(writer, path)
        yield table
        table.flush()


@contextmanager
def _writer(partial: Path, path: Path, *, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet writer; its own faults are told of the file that the user named."""
    try:
        writer = pq.ParquetWriter(partial, schema, compression="zstd")
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield writer
    except BaseException:
        with suppress(OSError):  # what is told is why it was given up
            writer.close()
        raise
    try:
        writer.close()
    except OSError as error:
        raise unwritable(path, error) from error


def _schema(session: EncodingSession) -> pa.Schema:
    encoder = session.encoder
    vector = pa.list_(pa.float32(), encoder.dimension)
    about = {
        "encoder": encoder.name,
        "bundle": encoder.bundle_id or "",
        "init": encoder.init,
        "computed_in": str(session.dtype).removeprefix("torch."),
        "metric": encoder.metric,
        "preprocessing": json.dumps(encoder.preprocessing.to_dict(), sort_keys=True),
    }
    return pa.schema(
        [*_COLUMNS, ("embedding", vector)],
        metadata={f"lithoscope.{key}": value for key, value in about.items()},
    )


def _place_columns(place: SlicePlace) -> dict[str, Any]:
    return {
        "slice_index": place.index,
        "axis": place.axis,
        "plane": place.plane,
        "position": place.position,
        "tile": place.tile and asdict(place.tile),
    }


def _scan_columns(scan: DecodedScan, metadata: ScanMetadata) -> dict[str, Any]:
    properties = metadata.properties
    return {
        "path": os.fsencode(scan.path).decode("utf-8", "backslashreplace"),
        "window_low": scan.window.low,
        "window_high": scan.window.high,
        "reservoir": metadata.reservoir,
        "sample": metadata.sample,
        "modality": metadata.modality,
        "pixel_size_um": metadata.pixel_size_um,
        "porosity": properties.porosity,
        "permeability_md": properties.permeability_md,
        "extra": json.dumps(properties.extra, sort_keys=True) if properties.extra else None,
    }
