"""What ``inspect`` and ``encode`` share: from paths to decoded scans with their metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.commands.collect import collect_scans, plain_path
from encoder.commands.walk import walk
from encoder.decoding import DecodeLimits, DecoderPool
from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError, MetadataProblem
from encoder.metadata.records import ScanMetadata
from encoder.metadata.tables import find_tables
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from encoder.commands.collect import ScanFile, ScanFiles


ROWS_TOLD = 5
"""Rows without a scan that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRequest:
    """What a command was asked to read, and within which limits.

    Attributes:
        paths: Files and folders.
        raw: Layout of headerless volumes as the user wrote it, or None.
        dataset: Dataset inside HDF5 files, or None.
        max_pixels: Largest plane, in pixels.
        memory_mib: Memory that decoding one file may take.
        timeout_s: Seconds that decoding one file may take.
        jobs: Decoding processes; None for one per CPU.
        library: Folder of the library that the paths belong to; None to look for it.
    """

    paths: tuple[Path, ...]
    raw: str | None
    dataset: str | None
    max_pixels: int
    memory_mib: int
    timeout_s: float
    jobs: int | None
    library: Path | None = None

    def files(self) -> ScanFiles:
        """List the files to read, by `collect.collect_scans`.

        Raises:
            LithoscopeError: The library is no folder, or a path is outside it.
        """
        return collect_scans(self.paths, library=self.library)

    def read_options(self) -> ReadOptions:
        """Return what readers are told.

        Raises:
            LithoscopeError: The layout can't be understood.
        """
        layout = None if self.raw is None else parse_layout(self.raw)
        return ReadOptions(raw=layout, dataset=self.dataset, max_pixels=self.max_pixels)

    def pool(self) -> DecoderPool:
        """Open the decoding processes."""
        limits = DecodeLimits(memory_bytes=self.memory_mib << 20, seconds=self.timeout_s)
        return DecoderPool(self.jobs, limits)


@dataclass(frozen=True, slots=True)
class Libraries:
    """The metadata tables of the libraries that files belong to.

    Attributes:
        indexes: Index of each library, by its folder; an empty one where its tables are wrong.
        problems: What is wrong with the tables, one line each.
        broken: Folders of the libraries whose tables are wrong.
    """

    indexes: dict[Path, MetadataIndex] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, files: Iterable[ScanFile]) -> Libraries:
        """Read the tables that may speak for some files: those of their folders and above.

        Args:
            files: The files; their library's other scans are looked for only where a row names
                a scan by less than its path.
        """
        folders: dict[Path, set[Path]] = {}
        for file in files:
            folders.setdefault(file.root, set()).update((file.root / file.inside).parents)
        libraries = cls()
        for root, above in folders.items():
            try:
                inside = sorted(folder for folder in above if folder.is_relative_to(root))
                tables = [table for folder in inside for table in find_tables(folder)]
                index = MetadataIndex.read(tables, root=root, scans=_scans_of(root))
            except MetadataError as error:
                index = MetadataIndex()
                libraries.broken.add(root)
                libraries.problems.extend(_told(problem, root) for problem in error.problems)
            libraries.indexes[root] = index
        return libraries

    def notes(self, paths: Iterable[Path]) -> list[str]:
        """Tell what is odd about the tables, once every scan was resolved.

        Args:
            paths: What was read. Rows that name no scan are told of libraries read as a whole.

        Returns:
            One line each; at most ``ROWS_TOLD`` rows of a library are told, and how many more.
        """
        told = [f"{root}: {note}" for root, index in self.indexes.items() for note in index.notes]
        for root in {plain_path(path) for path in paths} & self.indexes.keys():
            unused = self.indexes[root].unused_rows()
            told += [f"{root}/{problem}" for problem in unused[:ROWS_TOLD]]
            if len(unused) > ROWS_TOLD:
                told.append(f"{root}: {len(unused) - ROWS_TOLD} more rows name no scan")
        return told

    def resolve(self, file: ScanFile, *, strict: bool = False) -> ScanMetadata:
        """Gather what is known of a scan.

        Args:
            file: The scan; of what is known not to be one, nothing is told.
            strict: Refuse scans of a library whose tables are wrong; else their path tells.

        Raises:
            MetadataError: Its sources contradict each other, or a row of theirs is ambiguous.
        """
        if file.problem is not None:
            return ScanMetadata(object_key=file.path.name or str(file.path))
        if strict and file.root in self.broken:
            raise MetadataError([_no_tables(file)])
        return self.indexes[file.root].resolve(file.inside)


def _scans_of(root: Path) -> Iterator[str]:
    """Paths of a library's scans; nothing is looked at before the first is asked for."""
    for path, problem in walk(root).found:
        if problem is None:
            yield path.relative_to(root).as_posix()


def _told(problem: MetadataProblem, root: Path) -> str:
    return str(problem) if problem.source.startswith(str(root)) else f"{root}/{problem}"


def _no_tables(file: ScanFile) -> MetadataProblem:
    return MetadataProblem(
        source=str(file.path),
        found=f"wrong metadata tables in its library {file.root}",
        expected="tables without a problem",
        remedy="mend them first",
    )
