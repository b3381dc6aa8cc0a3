"""What lies in a folder and below it: scans, and what could not be looked into."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.metadata.tables import is_table_name
from encoder.scans import is_scan_name

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKET_MARK = ".lithoscope"
"""Hidden folder that a bucket in a folder has, and nothing else."""


@dataclass
class Walk:
    """What a walk through a folder met.

    Attributes:
        found: Scans, and what could not be entered, each with the reason or None, by path.
        passed_over: Number of files that are not named like scans; neither hidden ones nor
            metadata tables count.
    """

    found: list[tuple[Path, str | None]] = field(default_factory=list)
    passed_over: int = 0

    def take_folders(self, folder: Path, names: list[str]) -> None:
        """Leave hidden folders out of the walk, and tell links to folders: they may go round."""
        names[:] = sorted(name for name in names if not name.startswith("."))
        self.found += [
            (folder / name, "it is a link to a folder, which is not followed; name it by itself")
            for name in names
            if (folder / name).is_symlink()
        ]

    def take_files(self, folder: Path, names: Sequence[str]) -> None:
        """Take what is named like a scan; a link that leads nowhere is for its reader to refuse."""
        for name in names:
            path = folder / name
            if name.startswith("."):
                continue
            if is_scan_name(path):
                self.found.append((path, None))
            elif not is_table_name(name):
                self.passed_over += 1

    def refuse(self, error: OSError) -> None:
        """Note a folder that can't be listed."""
        reason = error.strerror or type(error).__name__
        self.found.append(
            (Path(error.filename), f"the folder can't be read ({reason}); check its permissions")
        )


def walk(folder: Path) -> Walk:
    """Look for scans in a folder, at any depth.

    Hidden files and folders are left out, and links to folders are not followed. So is a bucket
    that lies inside the folder: its scans are copies of ours.

    Args:
        folder: The folder; its paths come back as it was written.
    """
    met = Walk()
    for place, folders, files in os.walk(folder, onerror=met.refuse):
        if BUCKET_MARK in folders and Path(place) != folder:
            folders.clear()
            continue
        met.take_folders(Path(place), folders)
        met.take_files(Path(place), files)
    met.found.sort()
    return met
