"""Scans to train on: from a library's folder, RockIR's layout, class folders or the bucket."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from encoder.commands.collect import collect_scans, plain_path
from encoder.commands.reading import Libraries
from encoder.commands.walk import walk
from encoder.decoding import DecodeLimits
from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError
from encoder.metadata.records import SourceKind
from encoder.metadata.tables import TABLE_SUFFIXES, is_table_name
from infra.stores import open_object_store
from trainer.bucket_data import bucket_scans
from trainer.rockir_layout import Told, sample_by_path, settle_samples
from trainer.scan_content import ContentHashes
from trainer.slice_cache import CacheOptions, DataError, build_slice_set
from trainer.training_scan import FoundScans, RefusedScan, TrainingScan, known_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from encoder.commands.collect import ScanFile
    from encoder.metadata.records import Modality, ScanMetadata
    from infra.settings import Settings
    from trainer.config import DataConfig, TrainConfig
    from trainer.slice_set import SliceSet

Source = Literal["library", "rockir", "classes", "bucket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSlices:
    """What a run learns from.

    Attributes:
        slices: The slices.
        refused: Scans that gave no slices.
        notes: What else is worth telling, a line each.
    """

    slices: SliceSet
    refused: tuple[RefusedScan, ...]
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Counts, in a line."""
        slices = self.slices
        return (
            f"{len(slices)} slices of {len(slices.scan_names)} scans, "
            f"{len(slices.sample_names)} samples, {len(slices.reservoir_names)} reservoirs or "
            f"classes; {len(self.refused)} scans refused"
        )


def load_slices(config: TrainConfig, settings: Settings) -> LoadedSlices:
    """Find the scans that a run names, and take their slices from the cache or decode them.

    Args:
        config: The run's settings.
        settings: The site's: where its bucket and its cache are, and what a scan may take.

    Raises:
        LithoscopeError: The data is missing or can't be trained on, or the cache can't be written.
    """
    cache = config.data.cache or settings.home / "cache" / "slices"
    options = CacheOptions(
        folder=cache,
        preprocessing=config.preprocessing(),
        label=config.data.label,
        workers=config.run.workers,
        limits=DecodeLimits(
            memory_bytes=settings.decode.memory_mib << 20, seconds=settings.decode.seconds
        ),
    )
    if config.data.source == "bucket":
        objects = open_object_store(settings)
        try:
            limit = settings.decode.download_mib << 20
            found = _imaged_as(config.data.modality, bucket_scans(objects, max_bytes=limit))
            built = build_slice_set(found.scans, options)
        finally:
            objects.close()
    else:
        found = find_training_scans(config.data, cache=cache)
        built = build_slice_set(found.scans, options)
    return LoadedSlices(
        slices=built.slices,
        refused=(*found.refused, *built.refused),
        notes=(*found.notes, *_single_slices(built.slices, config.data.label)),
    )


def check_data_of_run(run: Path, data: DataConfig) -> None:
    """Check that a run's data is where the run says.

    Args:
        run: The run's folder.
        data: Its settings.

    Raises:
        DataError: It is not there, or not as seen from here.
    """
    if data.source != "bucket" and not (data.path and data.path.is_dir()):
        raise DataError(
            f"{run}: its data was in {data.path}, which is no folder (here); name the folder where "
            "it is now: --data"
        )


def _single_slices(slices: SliceSet, label: str) -> list[str]:
    """Tell how many samples or classes have nothing that is similar to them."""
    counts = np.bincount(slices.label)
    single = int((counts == 1).sum())
    what = "classes" if label == "class" else "samples"
    note = f"{single} of {int((counts > 0).sum())} {what} have a single slice: no pair of one label"
    return [note] if single else []


def find_training_scans(config: DataConfig, *, cache: Path) -> FoundScans:
    """List the scans of a folder with what is known of them; none is decoded.

    Args:
        config: Which folder, laid out how.
        cache: Folder where hashes of files are remembered.

    Raises:
        DataError: There is no such folder or no scan in it, or a metadata table is wrong.
    """
    folder = config.path
    if folder is None or not folder.is_dir():
        problem = "nothing" if folder is None else f"{folder}, which is no folder"
        raise DataError(f"data.path: found {problem}; name the folder to train on")
    is_library = config.source == "library"
    files = collect_scans([folder], library=None if is_library else folder)
    libraries = _rockir_library(folder, files) if config.source == "rockir" else Libraries.of(files)
    if libraries.problems:
        raise DataError("; ".join(libraries.problems))
    gathered = _Gathered(libraries, config.source)
    with ContentHashes(cache) as hashes:
        for file in files:
            gathered.take(file, hashes)
    found = gathered.found
    notes = files.notes
    if config.source == "rockir":
        found = settle_samples(found, gathered.told)
        notes = _passed_over(folder)
    found.notes[:0] = [*notes, *libraries.notes([folder])]
    return _imaged_as(config.modality, found)


def _rockir_library(folder: Path, files: Iterable[ScanFile]) -> Libraries:
    """Read every table beside train, val and db_test: RockIR's may have any name.

    Raises:
        DataError: A table is wrong.
    """
    root = plain_path(folder)
    try:
        tables = _tables_in(root)
        names = [file.inside.as_posix() for file in files if file.problem is None]
        index = MetadataIndex.read(tables, root=root, scans=names)
    except MetadataError as error:
        raise DataError("; ".join(f"{root}/{problem}" for problem in error.problems)) from error
    except OSError as error:
        raise DataError(
            f"{folder}: can't be listed ({error.strerror}); check its permissions"
        ) from error
    return Libraries(indexes={root: index})


def _passed_over(folder: Path) -> list[str]:
    """Tell how many files were not looked at: tables were, whatever their names."""
    named_otherwise = sum(not is_table_name(path.name) for path in _tables_in(plain_path(folder)))
    count = walk(folder).passed_over - named_otherwise
    files = "file is" if count == 1 else "files are"
    note = f"{folder}: {count} {files} not named like a scan or a table: passed over"
    return [note] if count else []


def _tables_in(root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if _is_table(path)]


def _is_table(path: Path) -> bool:
    name = path.name.casefold()
    return name.endswith(TABLE_SUFFIXES) and not name.startswith(".") and path.is_file()


def _imaged_as(modality: Modality | None, found: FoundScans) -> FoundScans:
    """Leave out scans that were imaged otherwise, or that don't tell.

    Raises:
        DataError: None is left.
    """
    scans = [scan for scan in found.scans if modality in (None, scan.modality)]
    left_out = len(found.scans) - len(scans)
    if not scans:
        refused = f"; refused: {found.refused[0]}" if found.refused else ""
        of_kind = f" of modality {modality} among {left_out}" if left_out else ""
        raise DataError(f"no scan{of_kind} to train on{refused}; check data.path, data.modality")
    note = f"{left_out} scans are not known to be {modality}: left out"
    return replace(found, scans=scans, notes=[*found.notes, *[note][: bool(left_out)]])


@dataclass
class _Gathered:
    """Turns files into scans with what is known of them."""

    libraries: Libraries
    source: Source
    found: FoundScans = field(default_factory=FoundScans)
    told: dict[str, Told] = field(default_factory=dict)

    def take(self, file: ScanFile, hashes: ContentHashes) -> None:
        if file.problem is not None:
            self._refuse(file, file.problem)
            return
        try:
            metadata = self._as_laid_out(self.libraries.resolve(file), file)
            content = hashes.content_of(file.path)
            sha256 = hashes.stored_sha256(file.path)
            size_bytes = file.path.stat().st_size
        except MetadataError as error:
            self._refuse(file, "; ".join(map(str, error.problems)))
        except OSError as error:
            self._refuse(file, f"can't be read ({error.strerror}); check it and its permissions")
        else:
            scan = TrainingScan(
                name=file.inside.as_posix(),
                content=content,
                sha256=sha256,
                path=file.path,
                size_bytes=size_bytes,
                **known_of(metadata),
            )
            self.found.scans.append(scan)

    def _refuse(self, file: ScanFile, reason: str) -> None:
        self.found.refused.append(RefusedScan(str(file.path), reason))

    def _as_laid_out(self, metadata: ScanMetadata, file: ScanFile) -> ScanMetadata:
        """Read names out of folders as the layout means them, where no table tells them."""
        parts = file.inside.parts
        if self.source == "classes":
            return replace(metadata, reservoir=parts[0] if len(parts) > 1 else None)
        if self.source != "rockir":
            return metadata
        told = Told(
            metadata.reservoir if _is_told(metadata, "reservoir") else None,
            metadata.sample if _is_told(metadata, "sample") else None,
        )
        self.told[file.inside.as_posix()] = told
        sample = told.sample or sample_by_path(file.inside)
        return replace(metadata, reservoir=told.reservoir, sample=sample)


def _is_told(metadata: ScanMetadata, name: str) -> bool:
    """Whether a table tells a field: folders named train and val are no reservoirs."""
    origin = metadata.provenance.get(name)
    return origin is not None and origin.kind is not SourceKind.PATH
