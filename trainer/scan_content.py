"""What a scan's file contains, by hash, with all that is read beside it."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from encoder.data_files import HEADER_SUFFIXES, HEADERLESS_SUFFIXES
from encoder.errors import ScanError
from encoder.readers import metaimage, nrrd
from infra.folder_etags import EtagCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from encoder.readers.storage import Joined

_HEAD_BYTES = 4096
_WITH_HEADER = (*HEADER_SUFFIXES, ".mha", ".nrrd")


class ContentHashes:
    """Hashes files; what it has read once it knows by size, time of change and inode."""

    def __init__(self, folder: Path) -> None:
        """Use a folder.

        Args:
            folder: Where hashes are remembered; made if it is missing.
        """
        with contextlib.suppress(OSError):  # then hashes last as long as the process
            folder.mkdir(parents=True, exist_ok=True)
        self._hashes = EtagCache(folder / "sources.sqlite")
        self._wholes = EtagCache(folder / "wholes.sqlite")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hashes.close()
        self._wholes.close()

    def content_of(self, path: Path) -> str:
        """Hash a scan's file, the voxels that its header names, and its layout's side-car.

        Args:
            path: The scan's file.

        Returns:
            64 hexadecimal digits (SHA-256) that change whenever the scan may read otherwise.

        Raises:
            OSError: A file can't be read.
        """
        suffix = path.suffix.lower()
        parts = [self._sha256(path)]
        if suffix in _WITH_HEADER and (joined := _voxels_elsewhere(path)) is not None:
            parts.append(self._sha256(joined.data))
        if suffix in HEADERLESS_SUFFIXES:  # names tell layouts
            beside = (path.with_name(f"{path.name}.json"), path.with_suffix(".json"))
            parts += [path.name, *(self._sha256(each) for each in beside if each.is_file())]
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def stored_sha256(self, path: Path) -> str:
        """Hash what a bucket stores of a scan: its file, or a header with its voxels behind it.

        So a scan of a folder and its copy in a bucket are known to be the same.

        Args:
            path: The scan's file.

        Raises:
            OSError: A file can't be read.
        """
        joined = _voxels_elsewhere(path) if path.suffix.lower() in _WITH_HEADER else None
        if joined is None:
            return self._sha256(path)
        header = f"{hashlib.sha256(joined.header).hexdigest()} {joined.offset} "
        known = _remembered(
            self._wholes, joined.data, compute=lambda: _digest_of(joined), prefix=header
        )
        return known.removeprefix(header)

    def _sha256(self, path: Path) -> str:
        return _remembered(self._hashes, path, compute=lambda: _digest_of_file(path))


def _remembered(
    hashes: EtagCache, path: Path, *, compute: Callable[[], str], prefix: str = ""
) -> str:
    """Give what is known of a file as it is, with this prefix, or find it out."""
    before = path.stat()
    known = hashes.find(before)
    if known is None or not known.startswith(prefix):
        known = f"{prefix}{compute()}"
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            hashes.remember(after, known)
    return known


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(joined: Joined) -> str:
    with joined.data.open("rb") as file:
        file.seek(joined.offset)
        return hashlib.file_digest(file, lambda: hashlib.sha256(joined.header)).hexdigest()


def _voxels_elsewhere(path: Path) -> Joined | None:
    """Return what a header and the file that it names come to, if it names one that is there."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    with contextlib.suppress(ScanError):  # a header that is damaged is refused when it is decoded
        if metaimage.matches(head, path):
            return metaimage.joined(path)
        if nrrd.matches(head, path):
            return nrrd.joined(path)
    return None
