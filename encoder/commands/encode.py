"""``lithoscope encode``: every slice of the scans to a vector, in one Parquet file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import typer

from encoder.commands.inspection import count_text
from encoder.commands.outputs import check_output
from encoder.commands.reading import Libraries, ReadingRequest
from encoder.commands.vector_table import vector_table
from encoder.decoding import DecodeOptions
from encoder.encoders import build_encoder
from encoder.encoding import encode_scans
from encoder.errors import ScanError, printable
from encoder.inference import EncodingSession
from encoder.metadata.problems import MetadataError
from encoder.progress import progress_bar
from encoder.registry import find_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from encoder.commands.collect import ScanFile
    from encoder.decoding import DecodedScan
    from encoder.metadata.records import ScanMetadata
    from encoder.neural_encoder import Encoder


class FindWeights(Protocol):
    """Finds the file with a backbone's weights."""

    def __call__(self, backbone: str, init: str) -> Path | None:
        """Return its path; None where ``init`` asks for an untrained start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeRequest:
    """What ``lithoscope encode`` was asked for.

    Attributes:
        reading: Paths and limits.
        encoder: Name of the encoder.
        init: Where its weights come from.
        out: Parquet file to write.
    """

    reading: ReadingRequest
    encoder: str
    init: str
    out: Path


def run_encode(request: EncodeRequest, *, find_weights: FindWeights) -> int:
    """Encode scans into a Parquet file and print what was done.

    Args:
        request: What to encode, with what, where to.
        find_weights: Finds an encoder's weights.

    Returns:
        0, or 1 where some input was refused.

    Raises:
        LithoscopeError: The request can't be carried out; nothing was written.
    """
    start = time.perf_counter()
    options = request.reading.read_options()
    files = request.reading.files()
    check_output(request.out, inputs=(file.path for file in files), suffix=".parquet")
    encoder = load_encoder(request.encoder, request.init, find_weights=find_weights)
    libraries = Libraries.of(files)
    for problem in libraries.problems:
        typer.echo(printable(problem), err=True)
    session = EncodingSession(encoder)
    reader = _Reader(libraries, {file.path: file for file in files})
    with vector_table(request.out, session) as table, request.reading.pool() as pool:
        wanted = DecodeOptions.for_encoding(encoder.preprocessing, options)
        results = pool.decode_many(reader.files, wanted)
        for scan, vectors in encode_scans(reader.good_scans(results), session):
            table.append(scan, vectors, metadata=reader.metadata_of(scan))
            reader.slices += len(vectors)
    for note in (*files.notes, *libraries.notes(request.reading.paths)):
        typer.echo(printable(f"note: {note}"), err=True)
    typer.echo(_summary(request.out, session, reader=reader, seconds=time.perf_counter() - start))
    return 1 if reader.refused or libraries.problems else 0


def load_encoder(name: str, init: str, *, find_weights: FindWeights) -> Encoder:
    """Build an encoder by name from wherever its weights are.

    Args:
        name: Name of the encoder.
        init: ``imagenet``, ``seed:N``, or the path of a bundle or weights file.
        find_weights: Finds a backbone's weights.

    Raises:
        LithoscopeError: There is no such encoder, or its weights can't be had.
    """
    return build_encoder(name, init, weights_path=find_weights(find_entry(name).backbone, init))


class _Reader:
    """Sorts out what can be encoded, tells what can't, and shows how far it is."""

    def __init__(self, libraries: Libraries, files: dict[Path, ScanFile]) -> None:
        self.files = files
        self.slices = 0
        self.refused = 0
        self._libraries = libraries
        self._known: dict[Path, ScanMetadata] = {}

    def good_scans(
        self, results: Iterable[tuple[Path, DecodedScan | ScanError]]
    ) -> Iterator[DecodedScan]:
        with progress_bar() as progress:
            bar = progress.add_task("Encoding scans", total=len(self.files))
            for path, result in results:
                if isinstance(result, ScanError):
                    self._refuse(path, self.files[path].problem or result.reason)
                elif self._knows(result):
                    yield result
                progress.advance(bar)

    def metadata_of(self, scan: DecodedScan) -> ScanMetadata:
        return self._known.pop(scan.path)

    def _knows(self, scan: DecodedScan) -> bool:
        """Look the scan's metadata up; what is contradictory is refused."""
        try:
            metadata = self._libraries.resolve(self.files[scan.path], strict=True)
        except MetadataError as error:
            self._refuse(scan.path, "; ".join(map(str, error.problems)))
            return False
        self._known[scan.path] = metadata.with_file_pixel_size(scan.info.pixel_size_um)
        return True

    def _refuse(self, path: Path, reason: str) -> None:
        self.refused += 1
        typer.echo(printable(f"{path}: {reason}"), err=True)


def _summary(out: Path, session: EncodingSession, *, reader: _Reader, seconds: float) -> str:
    encoder = session.encoder
    good = count_text(len(reader.files) - reader.refused, "scan")
    return (
        f"{out}: {count_text(reader.slices, 'vector')} of {good}, {reader.refused} refused\n"
        f"{encoder.bundle_id or encoder.name} ({encoder.init}), "
        f"{encoder.dimension}-d, {encoder.metric}; "
        f"{str(session.dtype).removeprefix('torch.')} on {session.device}; "
        f"{seconds:.1f} s, {reader.slices / seconds:.0f} slices/s"
    )
