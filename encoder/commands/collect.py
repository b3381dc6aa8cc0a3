"""The scans that a command was pointed at: files, and what lies in folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.metadata.tables import find_tables
from encoder.scans import is_scan_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEVELS_ABOVE = 3
"""Folders above a given path that are searched for metadata tables: file, sample, reservoir."""


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A file to read.

    Attributes:
        path: Its path.
        root: Folder of the library it belongs to, which tables and names are relative to.
    """

    path: Path
    root: Path


def collect_scans(paths: Iterable[Path]) -> list[ScanFile]:
    """List the scans at some paths.

    A file is taken as it is, whatever its name; a folder is searched, at any depth, for files
    that are named like scans, hidden ones left out. The library that a path belongs to begins
    at the nearest folder above it that holds a metadata table (up to three levels), else at the
    path itself (at a file's folder).

    Args:
        paths: Files and folders.

    Returns:
        The files, each once, in the order of ``paths`` and by name within a folder. A path that
        doesn't exist or a folder without a scan is returned as it is, for its reader to refuse.
    """
    found: dict[Path, ScanFile] = {}
    for path in paths:
        root = library_root(path)
        for file in (_scans_below(path) if path.is_dir() else []) or [path]:
            found.setdefault(file, ScanFile(file, root))
    return list(found.values())


def library_root(path: Path) -> Path:
    """Find the folder that a library begins at: see `collect_scans`."""
    start = path if path.is_dir() else path.parent
    folder = start.absolute()
    for candidate in (folder, *list(folder.parents)[:LEVELS_ABOVE]):
        if find_tables(candidate):
            return candidate
    return start.absolute()


def _scans_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and is_scan_name(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
