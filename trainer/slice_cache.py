"""From scans to a slice set: each scan is decoded once, whatever is trained on it and how often.

The cache holds pixels only, keyed by the content of the scans and all that changes pixels. What is
known of a scan (its names, its properties) is taken from the scan itself each time: a corrected
table needs no decoding, a changed file always does.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from filelock import FileLock

from encoder.decoding import DecoderPool
from encoder.errors import LithoscopeError, OutputError, ScanError, ScanFault
from encoder.preprocess import ALGORITHM_VERSION
from encoder.progress import progress_bar
from trainer.cache_files import CachedScan, CacheIndex, cache_writer, read_cached, write_index
from trainer.scan_decoding import decode_scans
from trainer.slice_set import SliceSet
from trainer.training_scan import RefusedScan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.decoding import DecodeLimits
    from encoder.preprocess import Preprocessing
    from trainer.scan_decoding import Decoded
    from trainer.training_scan import TrainingScan

_PASSING = (ScanFault.DECODER_TIMED_OUT, ScanFault.OUT_OF_MEMORY, ScanFault.DECODER_CRASHED)
"""Faults that another machine, or a quieter one, may not have: not remembered."""


class DataError(LithoscopeError):
    """Data that can't be trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How slices are made, and where they are kept.

    Attributes:
        folder: The cache; it may be deleted whenever nothing is using it.
        preprocessing: Size, slicing and window count; mean and standard deviation don't.
        label: What makes two slices similar: one sample, or one class (reservoir).
        workers: Decoding processes; None for one per CPU.
        limits: What each may take; None for the defaults.
    """

    folder: Path
    preprocessing: Preprocessing
    label: Literal["sample", "class"] = "sample"
    workers: int | None = None
    limits: DecodeLimits | None = None

    @property
    def settings(self) -> str:
        """Names what changes pixels: 16 hexadecimal digits."""
        told = {
            "algorithm": ALGORITHM_VERSION,
            "size": self.preprocessing.size,
            "window": self.preprocessing.window,
            "slicing": asdict(self.preprocessing.slicing),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSlices:
    """Slices of some scans.

    Attributes:
        slices: The slices.
        refused: Scans that gave none.
    """

    slices: SliceSet
    refused: tuple[RefusedScan, ...]


def build_slice_set(scans: Sequence[TrainingScan], options: CacheOptions) -> BuiltSlices:
    """Take the slices of scans from the cache; what is not in it is decoded first.

    Args:
        scans: The scans, in the order that their slices shall have.
        options: How, and where they are kept.

    Raises:
        DataError: No scan gives a slice.
        OutputError: The cache can't be written.
        StoreAwayError: Content can't be fetched for now.
    """
    content = _content_of(scans, options)
    stem = options.folder / options.settings / content[:32]
    with _alone(stem.parent):
        cached = read_cached(stem)
        if cached is None or not _is_final(cached[0], scans):
            write_index(stem, _Builder(scans, options).build(stem))
            cached = read_cached(stem)
    if cached is None:
        raise DataError(f"slice cache {stem}: was lost while it was made; run it again")
    index, pixels = cached
    refused = tuple(
        RefusedScan(scan.name, entry.refused, entry.fault)
        for scan, entry in zip(scans, index.scans, strict=True)
        if entry.refused is not None
    )
    if not len(pixels):
        first = f", such as {refused[0]}" if refused else ""
        raise DataError(f"none of {len(scans)} scans gives a slice{first}")
    used = [(scan, entry) for scan, entry in zip(scans, index.scans, strict=True) if entry.slices]
    slices = _slice_set(used, pixels, label=options.label, content=content)
    return BuiltSlices(slices=slices, refused=refused)


def _alone(folder: Path) -> FileLock:
    """Let one process at a time decode: of several that train together, the others wait."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"slice cache {folder}: can't be made ({error.strerror}); choose another folder "
            "(data.cache)"
        ) from error
    return FileLock(folder / ".lock")


def _content_of(scans: Iterable[TrainingScan], options: CacheOptions) -> str:
    lines = [options.settings, *(scan.content for scan in scans)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _is_final(index: CacheIndex, scans: Sequence[TrainingScan]) -> bool:
    """Whether every scan was cut, or refused for good."""
    return len(index.scans) == len(scans) and not any(entry.passing for entry in index.scans)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Slices of a scan, in memory or in a file of the cache."""

    entry: CachedScan
    pixels: NDArray[np.uint8]


@dataclass
class _Builder:
    """Makes one file of the cache, out of what others hold and what is decoded."""

    scans: Sequence[TrainingScan]
    options: CacheOptions

    def build(self, stem: Path) -> CacheIndex:
        """Write the pixels."""
        size = self.options.preprocessing.size
        cut = _known_scans(stem.parent)
        first = {scan.content: scan for scan in reversed(self.scans) if scan.content not in cut}
        missing = [scan for scan in self.scans if first.get(scan.content) is scan]
        left = Counter(scan.content for scan in self.scans)
        entries = []
        with (
            DecoderPool(self.options.workers, self.options.limits) as pool,
            cache_writer(stem, size) as writer,
            progress_bar() as progress,
        ):
            bar = progress.add_task("Decoding scans", total=len(self.scans))
            decoded = decode_scans(missing, pool, preprocessing=self.options.preprocessing)
            for scan in self.scans:
                if scan.content not in cut:
                    cut[scan.content] = _cut(next(decoded), size)
                writer.append(cut[scan.content].pixels)
                entries.append(cut[scan.content].entry)
                left[scan.content] -= 1
                if not left[scan.content]:
                    del cut[scan.content]  # pixels of few scans stay in memory
                progress.advance(bar)
        return CacheIndex(size=size, scans=tuple(entries))


def _known_scans(folder: Path) -> dict[str, _Cut]:
    """What the files of a folder hold, by content."""
    found: dict[str, _Cut] = {}
    for path in sorted(folder.glob("*.json")):
        cached = read_cached(path.with_suffix(""))
        if cached is None:
            continue
        index, pixels = cached
        start = 0
        for entry in index.scans:
            if not entry.passing:
                found[entry.content] = _Cut(entry, pixels[start : start + entry.slices])
            start += entry.slices
    return found


def _cut(decoded: Decoded, size: int) -> _Cut:
    scan, result = decoded
    if isinstance(result, ScanError):
        entry = CachedScan(
            content=scan.content,
            slices=0,
            refused=result.reason,
            fault=result.fault,
            passing=result.fault in _PASSING,
        )
        return _Cut(entry, np.empty((0, size, size, 3), dtype=np.uint8))
    pixels = np.stack([piece.pixels for piece in result.slices])
    entry = CachedScan(
        content=scan.content, slices=len(pixels), pixel_size_um=result.info.pixel_size_um
    )
    return _Cut(entry, pixels)


def _slice_set(
    used: Sequence[tuple[TrainingScan, CachedScan]],
    pixels: NDArray[np.uint8],
    *,
    label: Literal["sample", "class"],
    content: str,
) -> SliceSet:
    """Put pixels and what is known of their scans together."""
    counts = np.array([entry.slices for _, entry in used])
    starts = np.cumsum(counts) - counts
    sample_names, sample = np.unique([scan.sample for scan, _ in used], return_inverse=True)
    reservoir_names, reservoir = np.unique(
        [scan.reservoir for scan, _ in used], return_inverse=True
    )
    label_names = sample_names if label == "sample" else reservoir_names

    def rows(values: NDArray[np.generic]) -> NDArray[np.int64]:
        return np.repeat(values, counts).astype(np.int64)

    def numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
        known = [np.nan if value is None else value for value in values]
        return np.repeat(np.array(known, dtype=np.float64), counts)

    permeability = numbers(scan.permeability_md for scan, _ in used)
    return SliceSet(
        pixels=pixels,
        scan=rows(np.arange(len(used))),
        number=np.arange(len(pixels)) - rows(starts),
        sample=rows(sample),
        reservoir=rows(reservoir),
        label=rows(sample if label == "sample" else reservoir),
        scan_names=tuple(scan.name for scan, _ in used),
        scan_sha256=tuple(scan.sha256 for scan, _ in used),
        sample_names=tuple(map(str, sample_names)),
        reservoir_names=tuple(map(str, reservoir_names)),
        label_names=tuple(map(str, label_names)),
        porosity=numbers(scan.porosity for scan, _ in used),
        permeability_md=np.where(permeability > 0, permeability, np.nan),
        pixel_size_um=numbers(
            entry.pixel_size_um if scan.pixel_size_um is None else scan.pixel_size_um
            for scan, entry in used
        ),
        content=content,
    )
