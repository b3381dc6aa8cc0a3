"""What would be stored of the files that a user named: keys, metadata, packing, refusals.

Nothing is written here.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.commands.collect import collect_scans
from encoder.commands.reading import Libraries
from encoder.errors import LithoscopeError, ScanError
from encoder.metadata.problems import MetadataError
from encoder.object_keys import SCANS_PREFIX, ObjectKeyError, key_of_file
from infra.packing import Packed, pack
from infra.store_errors import BadKeyError
from infra.store_keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from encoder.commands.collect import ScanFile
    from encoder.metadata.records import ScanMetadata
    from encoder.planes import ReadOptions


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file or object that is not taken.

    Attributes:
        name: Its path or key.
        reason: What is wrong and what helps, in one line.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedScan:
    """A scan to be stored.

    Attributes:
        root: Folder of its library.
        inside: Its path relative to that.
        key: Its object key.
        metadata: What its library says of it.
        packed: What is stored.
    """

    root: Path
    inside: str
    key: str
    metadata: ScanMetadata
    packed: Packed


@dataclass(slots=True)
class Plan:
    """What is to be stored.

    Attributes:
        scans: What is taken, in the order it was named.
        refused: What is not.
        notes: What is worth telling, one line each.
    """

    scans: list[PlannedScan] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_scans(paths: Iterable[Path], options: ReadOptions, *, library: Path | None = None) -> Plan:
    """Plan to store the scans at some paths.

    A scan is refused where its metadata is contradictory or its library's tables are wrong, where
    its other half is missing, and where another file would get the same key.

    Args:
        paths: Files and folders.
        options: Layout of headerless volumes, if the user told one.
        library: Folder of the library that they belong to; None to look for it.

    Raises:
        LithoscopeError: The library is no folder, or a path is outside it.
    """
    paths = list(paths)
    files = collect_scans(paths, library=library)
    libraries = Libraries.of(files)
    plan = Plan()
    for file in files:
        planned = _planned(file, libraries, options=options)
        if isinstance(planned, Refusal):
            plan.refused.append(planned)
        else:
            plan.scans.append(planned)
    _refuse_shared_keys(plan)
    plan.notes = [*libraries.problems, *files.notes, *libraries.notes(paths)]
    return plan


def prefix_inside(path: Path, bucket: Path) -> str | None:
    """Give the key, or what the keys begin with, of a path that lies in the bucket's folder.

    Args:
        path: What the user named.
        bucket: The folder.

    Returns:
        A folder's prefix ends in ``/``; None for paths elsewhere.

    Raises:
        LithoscopeError: The path is in the bucket, but not where scans are.
    """
    place = Path(os.path.realpath(path))
    root = Path(os.path.realpath(bucket))
    if not place.is_relative_to(root):
        return None
    parts = place.relative_to(root).parts or (SCANS_PREFIX,)
    if parts[0] != SCANS_PREFIX:
        raise LithoscopeError(
            f"{path}: is in the bucket {bucket}, but not where its scans are; "
            f"name {bucket / SCANS_PREFIX}, or files elsewhere"
        )
    key = "/".join(parts)
    return key if place.is_file() else f"{key}/"


def _planned(
    file: ScanFile, libraries: Libraries, *, options: ReadOptions
) -> PlannedScan | Refusal:
    if file.problem is not None:
        return Refusal(str(file.path), file.problem)
    try:
        _check_file(file.path)
        metadata = libraries.resolve(file, strict=True)
        packed = pack(file.path, options)
        inside = file.inside.with_name(packed.name)
        key = key_of_file(inside, reservoir=metadata.reservoir, sample=metadata.sample)
        return PlannedScan(
            root=file.root,
            inside=file.inside.as_posix(),
            key=check_key(str(key)),
            metadata=metadata,
            packed=packed,
        )
    except MetadataError as error:
        return Refusal(str(file.path), "; ".join(map(str, error.problems)))
    except ScanError as error:
        return Refusal(str(file.path), error.reason)
    except (ObjectKeyError, BadKeyError) as error:
        return Refusal(str(file.path), str(error))
    except OSError as error:
        return Refusal(str(file.path), unreadable(error))


def unreadable(error: OSError) -> str:
    """Say why a file can't be read, and what helps."""
    return f"can't be read or copied ({error.strerror or error}); check its path and permissions"


def _check_file(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise OSError(0, "not a file")


def _refuse_shared_keys(plan: Plan) -> None:
    """Refuse every file whose key another has as well: neither may hide the other."""
    by_key: dict[str, list[PlannedScan]] = {}
    for scan in plan.scans:
        by_key.setdefault(scan.key, []).append(scan)
    for key, scans in by_key.items():
        for scan in scans if len(scans) > 1 else ():
            others = ", ".join(str(each.packed.path) for each in scans if each is not scan)
            plan.refused.append(
                Refusal(
                    str(scan.packed.path),
                    f"gets the object key {key}, and so does {others}; rename one, "
                    "or correct its reservoir or sample in the metadata",
                )
            )
    plan.scans = [scan for scan in plan.scans if len(by_key[scan.key]) == 1]
