"""The scans that a command was pointed at: files, and what lies in folders."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.commands.walk import walk
from encoder.errors import LithoscopeError
from encoder.metadata.problems import MetadataError
from encoder.metadata.tables import find_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS_ABOVE = 3
"""Folders above a given path that are searched for metadata tables: file, sample, reservoir."""


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A file to read.

    Attributes:
        path: Its path, as it was named.
        root: Folder of the library it belongs to, which tables and names are relative to.
        inside: Its path relative to ``root``; ``.`` where it is the library's folder itself.
        problem: Why it is known not to be a scan, or None: its reader would be vaguer.
    """

    path: Path
    root: Path
    inside: Path
    problem: str | None = None


class ScanFiles(list[ScanFile]):
    """Files to read, in order.

    Attributes:
        notes: What was passed over on the way, one line each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []


def collect_scans(paths: Iterable[Path], *, library: Path | None = None) -> ScanFiles:
    """List the scans at some paths.

    A file is taken as it is, whatever its name; a folder is searched, at any depth, for files
    that are named like scans, hidden ones left out. Links to folders are not followed.

    Without ``library``, the library that a path belongs to begins at the topmost folder that
    holds a metadata table, up to three levels above the path; where none does, at the path
    itself (at a file's folder).

    Args:
        paths: Files and folders.
        library: Folder of the library that all of them belong to, or None to look for it.

    Returns:
        The files, each once however it is named, in the order of ``paths`` and by name within a
        folder. Among them, for their reader to refuse: paths that don't exist, folders without a
        scan, and with a ``problem`` folders that can't be entered.

    Raises:
        LithoscopeError: ``library`` is no folder, or a path is outside it.
    """
    collector = _Collector(None if library is None else _library(library))
    for path in paths:
        collector.take(path)
    return collector.files


def library_root(path: Path) -> Path:
    """Find the folder that a library begins at: see `collect_scans`."""
    return _Collector(None).root_of(path)


def plain_path(path: Path) -> Path:
    """An absolute path without ``..``; links are kept, since a library may consist of them."""
    return _real_path(path) if ".." in path.parts else path.absolute()


def _real_path(path: Path) -> Path:
    """A path without links, save for a link that it may be itself."""
    if path.name in ("", ".."):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent)) / path.name


def _inside(path: Path, root: Path) -> Path | None:
    """A path relative to a library, or None where it is outside."""
    ways = (plain_path(path), root), (_real_path(path), Path(os.path.realpath(root)))
    return next((way.relative_to(top) for way, top in ways if way.is_relative_to(top)), None)


@dataclass
class _Collector:
    """Gathers files, asking each folder only once."""

    library: Path | None
    files: ScanFiles = field(default_factory=ScanFiles)
    _seen: set[Path] = field(default_factory=set)
    _has_tables: dict[Path, bool] = field(default_factory=dict)
    _resolved: dict[Path, Path] = field(default_factory=dict)

    def take(self, path: Path) -> None:
        root = self.library or self.root_of(path)
        if _inside(path, root) is None:
            raise LithoscopeError(
                f"{path} is outside the library {root}: name a path inside, or another library"
            )
        if not os.path.isdir(path):  # noqa: PTH112 - Path's raises for names that are too long
            self._add(path, root)
            return
        met = walk(path)
        for found, problem in met.found or [(path, "no scan found in it")]:
            self._add(found, root, problem=problem)
        if met.passed_over:
            files = "file is" if met.passed_over == 1 else "files are"
            self.files.notes.append(
                f"{path}: {met.passed_over} {files} not named like a scan: passed over"
            )

    def root_of(self, path: Path) -> Path:
        plain = plain_path(path)
        is_folder = os.path.isdir(plain)  # noqa: PTH112 - Path's raises for names that are too long
        folder = plain if is_folder else plain.parent
        above = [folder, *list(folder.parents)[:LEVELS_ABOVE]]
        return next((each for each in reversed(above) if self._holds_tables(each)), folder)

    def _holds_tables(self, folder: Path) -> bool:
        if folder not in self._has_tables:
            try:
                self._has_tables[folder] = bool(find_tables(folder))
            except MetadataError:  # home folders of others often can't be listed
                self._has_tables[folder] = False
        return self._has_tables[folder]

    def _add(self, path: Path, root: Path, *, problem: str | None = None) -> None:
        if (key := self._key(path)) not in self._seen:
            self._seen.add(key)
            inside = _inside(path, root) or Path()
            self.files.append(ScanFile(path, root, inside, problem))

    def _key(self, path: Path) -> Path:
        """The file, however its folder is named; a link to a file is an entry of its own."""
        if path.name in ("", ".."):
            return _real_path(path)
        if path.parent not in self._resolved:
            self._resolved[path.parent] = Path(os.path.realpath(path.parent))
        return self._resolved[path.parent] / path.name


def _library(folder: Path) -> Path:
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's raises for names that are too long
        raise LithoscopeError(f"library {folder} is not a folder; name the library's folder")
    return plain_path(folder)
