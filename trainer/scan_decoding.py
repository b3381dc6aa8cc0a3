"""Decoding the scans of a training set, wherever their content is."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.decoding import DecodeOptions
from encoder.errors import ScanError, ScanFault
from infra.store_errors import LocalFileError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from encoder.decoding import DecodedScan, DecoderPool
    from encoder.preprocess import Preprocessing
    from trainer.training_scan import TrainingScan

_FETCHED_AT_ONCE = 64
_FETCHED_BYTES = 4 << 30
_FETCHING_THREADS = 4

Decoded = tuple["TrainingScan", "DecodedScan | ScanError"]
"""A scan with its slices, or why it has none."""


def decode_scans(
    scans: Sequence[TrainingScan], pool: DecoderPool, *, preprocessing: Preprocessing
) -> Iterator[Decoded]:
    """Decode scans in their order, fetching those that must be, a handful at a time.

    Args:
        scans: The scans.
        pool: Decodes them.
        preprocessing: How slices are made.

    Yields:
        Each scan with its slices, or why it has none.

    Raises:
        StoreAwayError: Content can't be fetched for now.
        LocalFileError: What is fetched can't be written.
    """
    for is_local, group in groupby(scans, key=lambda scan: scan.path is not None):
        each = list(group)
        for batch in [each] if is_local else _handfuls(each):
            with tempfile.TemporaryDirectory(prefix="lithoscope-") as folder:
                files = _fetched(batch, Path(folder))
                yield from _decoded_files(files, pool, preprocessing=preprocessing)


def _decoded_files(
    files: Sequence[tuple[TrainingScan, Path | ScanError]],
    pool: DecoderPool,
    *,
    preprocessing: Preprocessing,
) -> Iterator[Decoded]:
    for read, group in groupby(files, key=lambda item: item[0].read):
        each = list(group)
        paths = [path for _, path in each if isinstance(path, Path)]
        options = DecodeOptions.for_encoding(preprocessing, read)
        results = pool.decode_many(paths, options)
        for scan, path in each:
            yield scan, next(results)[1] if isinstance(path, Path) else path


def _handfuls(scans: Iterable[TrainingScan]) -> Iterator[list[TrainingScan]]:
    """Part scans so that what is fetched at once is bounded."""
    handful: list[TrainingScan] = []
    for scan in scans:
        too_much = sum(each.size_bytes for each in handful) + scan.size_bytes > _FETCHED_BYTES
        if handful and (too_much or len(handful) >= _FETCHED_AT_ONCE):
            yield handful
            handful = []
        handful.append(scan)
    if handful:
        yield handful


def _fetched(
    scans: Sequence[TrainingScan], folder: Path
) -> list[tuple[TrainingScan, Path | ScanError]]:
    def fetch(number: int) -> Path | ScanError:
        scan = scans[number]
        if scan.path is not None:
            return scan.path
        if scan.fetch is None:
            raise ValueError(f"{scan.name}: neither a file nor to be fetched")
        own = folder / str(number)
        own.mkdir()
        try:
            return scan.fetch(own)
        except LocalFileError:
            raise  # our own disk's fault
        except StoreError as error:
            if error.retryable:
                raise
            return ScanError(
                scan.name, ScanFault.UNREADABLE, problem=str(error), remedy="store it again"
            )

    with ThreadPoolExecutor(_FETCHING_THREADS) as threads:
        return list(zip(scans, threads.map(fetch, range(len(scans))), strict=True))
