"""Walking a folder in the order in which S3 lists keys."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.folder_files import opened_folder, told
from infra.store_keys import key_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file of a walk.

    Attributes:
        key: Path below the root, parts joined by ``/``; bytes that are no UTF-8 are surrogates.
        status: The system's word on it.
    """

    key: str
    status: os.stat_result


def walk(root: Path, *, prefix: str, start_after: str) -> Iterator[FoundFile]:
    """Walk regular files in the byte order of their keys; memory is one folder's names a level.

    Hidden files and folders (a leading dot) are left out; links and special files too, with a
    word in the log.

    Args:
        root: The folder.
        prefix: Text that the keys begin with.
        start_after: Only keys after this one.

    Raises:
        StoreAwayError: The root is missing, or its disk is away.
        StoreRefusedError: A folder may not be read: to leave it out would look as if its objects
            were gone.
    """
    yield from _walk(root, (), bounds=(key_bytes(prefix), key_bytes(start_after)))


def _walk(
    root: Path, parts: tuple[str, ...], *, bounds: tuple[bytes, bytes]
) -> Iterator[FoundFile]:
    prefix, start_after = bounds
    for name, is_folder in _sorted_names(root, parts):
        inner = (*parts, name)
        path = key_bytes("/".join(inner)) + (b"/" if is_folder else b"")
        if is_folder:
            wanted = path.startswith(prefix) or prefix.startswith(path)
            passed = path < start_after and not start_after.startswith(path)
            if wanted and not passed:
                yield from _walk(root, inner, bounds=bounds)
        elif path.startswith(prefix) and path > start_after:
            found = _look(root, inner)
            if found is not None:
                yield found


def _sorted_names(root: Path, parts: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Names in a folder; a folder sorts as if it ended in ``/``, as its keys do."""
    where = "/".join(parts) or str(root)
    names = []
    try:
        with opened_folder(root, parts) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    names.append((entry.name, True))
                elif entry.is_file(follow_symlinks=False):
                    names.append((entry.name, False))
                else:
                    _LOG.warning(
                        "%s/%s: a link or special file, left out; put the file itself there",
                        where,
                        entry.name,
                    )
    except (FileNotFoundError, NotADirectoryError):  # gone since its parent was read
        return []
    except OSError as error:
        raise told(error, where) from error
    return sorted(names, key=lambda found: os.fsencode(found[0]) + (b"/" if found[1] else b""))


def _look(root: Path, parts: tuple[str, ...]) -> FoundFile | None:
    try:
        with opened_folder(root, parts[:-1]) as folder:
            status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise told(error, "/".join(parts)) from error
    return FoundFile("/".join(parts), status)
