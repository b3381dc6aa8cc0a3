"""What ``inspect`` and ``encode`` share: from paths to decoded scans with their metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.decoding import DecodeLimits, DecoderPool
from encoder.metadata.index import MetadataIndex
from encoder.metadata.problems import MetadataError
from encoder.metadata.tables import find_tables_below
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from encoder.commands.collect import ScanFile
    from encoder.metadata.records import ScanMetadata


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
    """

    paths: tuple[Path, ...]
    raw: str | None
    dataset: str | None
    max_pixels: int
    memory_mib: int
    timeout_s: float
    jobs: int | None

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
    """

    indexes: dict[Path, MetadataIndex] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, files: Iterable[ScanFile]) -> Libraries:
        """Read the tables of every library that some file belongs to."""
        libraries = cls()
        for root in dict.fromkeys(file.root for file in files):
            try:
                index = MetadataIndex.read(find_tables_below(root), root=root)
            except MetadataError as error:
                index = MetadataIndex()
                libraries.problems.extend(f"{root}/{problem}" for problem in error.problems)
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
        for root in {path.absolute() for path in paths} & self.indexes.keys():
            unused = self.indexes[root].unused_rows()
            told += [f"{root}/{problem}" for problem in unused[:ROWS_TOLD]]
            if len(unused) > ROWS_TOLD:
                told.append(f"{root}: {len(unused) - ROWS_TOLD} more rows name no scan")
        return told

    def resolve(self, file: ScanFile) -> ScanMetadata:
        """Gather what is known of a scan.

        Raises:
            MetadataError: Its sources contradict each other.
        """
        inside = file.path.absolute().relative_to(file.root)
        return self.indexes[file.root].resolve(inside)
