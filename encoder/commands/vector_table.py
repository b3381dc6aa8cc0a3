"""Vectors on disk: one Parquet file, a row for each slice."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from encoder.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from encoder.decoding import DecodedScan
    from encoder.metadata.records import ScanMetadata
    from encoder.neural_encoder import Encoder

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorTable:
    """A Parquet file of vectors that is being written.

    Attributes:
        schema: Columns, and what the vectors were made by.
        writer: Open Parquet writer.
    """

    schema: pa.Schema
    writer: pq.ParquetWriter

    def append(
        self, scan: DecodedScan, vectors: NDArray[np.float32], *, metadata: ScanMetadata
    ) -> None:
        """Write the slices of one scan.

        Args:
            scan: The decoded scan, with n slices.
            vectors: (n, D), in the order of the slices.
            metadata: What is known about the scan.
        """
        rows = [
            _row(scan, number) | _scan_columns(scan, metadata) | {"embedding": vector}
            for number, vector in enumerate(vectors)
        ]
        self.writer.write_table(pa.Table.from_pylist(rows, schema=self.schema))


@contextmanager
def vector_table(path: Path, encoder: Encoder) -> Iterator[VectorTable]:
    """Write a Parquet file of vectors, which appears under its name only when it is whole.

    Args:
        path: File to write; what was there is replaced.
        encoder: What makes the vectors; named in the file's own metadata.

    Yields:
        The table to append scans to.

    Raises:
        OutputError: The file can't be written there.
    """
    schema = _schema(encoder)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            yield VectorTable(schema=schema, writer=writer)
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: can't be written ({error.strerror or error}); "
            "name a file in a folder that exists, can be written to and has room"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _schema(encoder: Encoder) -> pa.Schema:
    vector = pa.list_(pa.float32(), encoder.dimension)
    about = {
        "encoder": encoder.name,
        "init": encoder.init,
        "metric": encoder.metric,
        "preprocessing": json.dumps(encoder.preprocessing.to_dict(), sort_keys=True),
    }
    return pa.schema(
        [*_COLUMNS, ("embedding", vector)],
        metadata={f"lithoscope.{key}": value for key, value in about.items()},
    )


def _row(scan: DecodedScan, number: int) -> dict[str, Any]:
    place = scan.slices[number]
    tile = place.tile and {
        "x": place.tile.x,
        "y": place.tile.y,
        "width": place.tile.width,
        "height": place.tile.height,
    }
    return {
        "slice_index": place.index,
        "axis": place.axis,
        "plane": place.plane,
        "position": place.position,
        "tile": tile,
    }


def _scan_columns(scan: DecodedScan, metadata: ScanMetadata) -> dict[str, Any]:
    properties = metadata.properties
    pixel_size_um = metadata.pixel_size_um or scan.info.pixel_size_um
    return {
        "path": str(scan.path),
        "window_low": scan.window.low,
        "window_high": scan.window.high,
        "reservoir": metadata.reservoir,
        "sample": metadata.sample,
        "modality": metadata.modality,
        "pixel_size_um": pixel_size_um,
        "porosity": properties.porosity,
        "permeability_md": properties.permeability_md,
        "extra": json.dumps(properties.extra, sort_keys=True) if properties.extra else None,
    }
