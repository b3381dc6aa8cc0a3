"""Uploaded query files, kept for a while, so that a link to a search works in another browser.

``queries/<token>/<file name>`` in the object store: nothing there is ever indexed. Who knows the
token, of 128 random bits, may look for the file; nobody can guess it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote

from encoder.data_files import is_described_beside
from encoder.errors import printable
from encoder.object_keys import MAX_PART_BYTES, escape_part, unescape_part
from encoder.planes import ReadOptions
from encoder.scans import is_headerless, open_scan
from infra.local_files import chunks_of
from infra.packing import pack
from infra.stored_scans import read_options
from search_ui.fetched_files import KEPT_BYTES, FetchedFiles
from search_ui.requests import SearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from infra.object_store import ObjectEntry
    from infra.packing import Packed
    from infra.site import Site

QUERIES_PREFIX = "queries/"
"""What keys of kept files begin with."""

_TOKEN = re.compile(r"[0-9a-f]{32}")
_DATASET = "dataset"
_PIXEL_SIZE = "pixel-size-um"
_SIDE_CAR = ".json"
_NAME_SIGNS = 120
_SUFFIX_SIGNS = 20
_REMEMBERED = 1000
_GONE = "it was removed, or the link is damaged; upload the file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """An uploaded file, at hand.

    Attributes:
        path: Local copy, alone in its folder.
        name: What its owner called it.
        read: What its reader needs to be told, or None.
    """

    path: Path
    name: str
    read: ReadOptions | None


@dataclass(frozen=True, slots=True)
class _StoredFile:
    """An upload in the object store.

    Attributes:
        entry: The object.
        read: What its reader needs to be told, or None.
    """

    entry: ObjectEntry
    read: ReadOptions | None


class KeptQueries:
    """Uploaded query files of a site. Any thread may ask."""

    def __init__(
        self, site: Site, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Keep files of a site.

        Args:
            site: The installation.
            now: The time, UTC.
        """
        self._objects = site.objects
        self._days = site.settings.ui.keep_queries_days
        self._max_bytes = site.settings.ui.upload_mib << 20
        self._room_bytes = int(site.settings.ui.keep_queries_gib * (1 << 30))
        self._now = now
        self._lock = threading.Lock()
        self._files = FetchedFiles(min(KEPT_BYTES, self._room_bytes))
        self._unstored: dict[str, KeptFile] = {}
        self._known: dict[str, _StoredFile] = {}

    def keep(self, name: str, stream: BinaryIO, *, read: ReadOptions | None = None) -> str:
        """Keep one file.

        Args:
            name: What its owner calls it.
            stream: Its content, from where it stands.
            read: What its reader needs to be told, or None.

        Returns:
            The token that `UploadQuery` takes.

        Raises:
            LithoscopeError: The file is none that can be searched with; the text says why.
        """
        return next(iter(self.keep_all({name: stream}, read=read).values()))

    def keep_all(
        self,
        files: Mapping[str, BinaryIO] | Iterable[tuple[str, BinaryIO]],
        *,
        read: ReadOptions | None = None,
    ) -> dict[str, str]:
        """Keep files that were uploaded together: headers are packed with their voxels.

        Args:
            files: Contents by name; two of one name, as pairs, are refused.
            read: What readers need to be told, or None.

        Returns:
            Tokens by file name; of a pair, by the header's.

        Raises:
            LithoscopeError: As `keep`; nothing is kept then.
        """
        folder = self._files.folder()
        pairs = list(files.items() if isinstance(files, Mapping) else files)
        try:
            paths = {name: self._saved(folder, name, stream=stream) for name, stream in pairs}
            packed = {
                name: _checked(path, name, read=read or ReadOptions())
                for name, path in paths.items()
                if not _is_companion(path, paths.values())
            }
            if not packed:
                raise SearchError(
                    f"{_shown(next(iter(paths), 'upload'))}: no image; upload the image, or the "
                    "header and its voxels together"
                )
            self.prune(room_bytes=sum(path.stat().st_size for path in paths.values()))
            return {name: self._stored(each, read) for name, each in packed.items()}
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep_dataset(self, token: str, dataset: str) -> str:
        """Keep a kept file once more, as one of the datasets that it holds.

        Args:
            token: What the file is kept under; it stays.
            dataset: The dataset's name.

        Returns:
            The token of that dataset.

        Raises:
            LithoscopeError: The file has lapsed, or can't be kept so.
        """
        with self.open(token) as file, file.path.open("rb") as content:
            return self.keep(file.name, content, read=ReadOptions(dataset=dataset))

    @contextmanager
    def open(self, token: str) -> Iterator[KeptFile]:
        """Have a kept file at hand.

        Raises:
            LithoscopeError: It has lapsed, or there never was one.
        """
        unstored = self._unstored.get(token)
        if unstored is not None:
            with self._files.at_hand(token, _made_room):
                yield unstored
            return
        stored = self._stored_file(token)
        entry, name = stored.entry, unescape_part(stored.entry.key.rpartition("/")[2])

        def fetch(folder: Path) -> Path:
            target = folder / _file_name(name)
            self._objects.get(entry.key, target, max_bytes=self._max_bytes, etag=entry.etag)
            return target

        with self._files.at_hand(entry.key, fetch) as path:
            yield KeptFile(path=path, name=name, read=stored.read)

    def has(self, token: str) -> bool:
        """Whether a file is kept under a token."""
        try:
            if token in self._unstored:
                return self._files.has(token)
            return bool(self._entry(token))
        except SearchError:
            return False

    def prune(self, *, room_bytes: int = 0) -> None:
        """Remove files that have lapsed, and the oldest of the others that there is no room for.

        Args:
            room_bytes: What is about to be stored beside them; that is stored in any case.
        """
        entries = [entry for page in self._objects.pages(QUERIES_PREFIX) for entry in page]
        taken = room_bytes + sum(entry.size for entry in entries)
        for entry in sorted(entries, key=lambda each: each.modified):
            if self._has_lapsed(entry) or taken > self._room_bytes:
                self._objects.delete(entry.key)
                taken -= entry.size

    def close(self) -> None:
        """Remove local copies, and what was never stored."""
        self._unstored.clear()
        self._files.close()

    def _saved(self, folder: Path, name: str, *, stream: BinaryIO) -> Path:
        """Write an upload into a folder, no more of it than is allowed."""
        target = folder / _file_name(name)
        if target.exists():
            raise SearchError(f"{_shown(name)}: two files of this name; rename one")
        size = 0
        with target.open("xb") as file:
            for chunk in chunks_of(stream):
                size += len(chunk)
                if size > self._max_bytes:
                    raise SearchError(
                        f"{_shown(name)}: larger than {self._max_bytes >> 20:,} MiB; crop or "
                        "shrink it, or have LITHOSCOPE_UI__UPLOAD_MIB raised"
                    )
                file.write(chunk)
        return target

    def _stored(self, packed: Packed, read: ReadOptions | None) -> str:
        """Store one upload under a new token."""
        token = secrets.token_hex(16)
        name = packed.name
        key = f"{QUERIES_PREFIX}{token}/{escape_part(name)}"
        metadata = dict(packed.user_metadata)
        if read is not None and read.dataset is not None:
            metadata[_DATASET] = quote(read.dataset, safe="")
        folder = self._files.folder()
        with packed.file(folder) as whole:
            if self._days:
                self._objects.put(key, whole, user_metadata=metadata)
            path = folder / _file_name(name)
            os.link(whole, path)  # both lie in our scratch folder
        if self._days:
            self._files.adopt(key, path)
        else:
            self._unstored[token] = KeptFile(path=path, name=name, read=_options(key, metadata))
            self._files.adopt(token, path)  # it goes as others' copies do, once there is no room
        return token

    def _entry(self, token: str) -> ObjectEntry:
        if not _TOKEN.fullmatch(token):
            raise SearchError(f"upload {_shown(token)}: no such upload; {_GONE}")
        pages = self._objects.pages(f"{QUERIES_PREFIX}{token}/")
        entry = next((entry for page in pages for entry in page), None)
        if entry is None:
            raise SearchError(
                f"the uploaded image is not there any more (they are kept {self._days} days at "
                f"most, and the oldest make room for others); {_GONE}"
            )
        self._refuse_lapsed(entry)
        return entry

    def _has_lapsed(self, entry: ObjectEntry) -> bool:
        return self._now() - entry.modified > timedelta(days=self._days)

    def _stored_file(self, token: str) -> _StoredFile:
        """What is stored under a token; what there is a local copy of is not asked for again."""
        known = self._known.get(token)
        if known is not None and self._files.has(known.entry.key):
            self._refuse_lapsed(known.entry)
            return known
        entry = self._entry(token)
        read = _options(entry.key, self._objects.stat(entry.key).user_metadata)
        found = _StoredFile(entry, read)
        with self._lock:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[token] = found
        return found

    def _refuse_lapsed(self, entry: ObjectEntry) -> None:
        if self._has_lapsed(entry):
            raise SearchError(
                f"the uploaded image has lapsed: they are kept {self._days} days; upload it again"
            )


def _checked(path: Path, name: str, *, read: ReadOptions) -> Packed:
    """Look at what an upload begins with; its pixels are not decoded here."""
    escape_part(path.name)
    try:
        if is_headerless(path, read):
            # Nothing of it is parsed: its size is compared with what is told.
            open_scan(path, read).close()
        return pack(path, read)
    except OSError as error:
        raise SearchError(f"{_shown(name)}: can't be read; upload it again") from error


def _made_room(_: Path) -> Path:
    raise SearchError(
        "the uploaded image is not there any more: none are kept here (LITHOSCOPE_UI__"
        "KEEP_QUERIES_DAYS is 0), and it made room for others; upload it again"
    )


def _is_companion(path: Path, beside: Iterable[Path]) -> bool:
    """Whether a file only tells of another, or belongs to a header."""
    if path.suffix.lower() == _SIDE_CAR:
        return any(other.stem == path.stem for other in beside if other != path)
    return is_described_beside(path)


def _options(key: str, metadata: Mapping[str, str]) -> ReadOptions | None:
    layout = read_options(key, metadata)
    dataset = metadata.get(_DATASET)
    if layout.raw is None and dataset is None:
        return None
    raw, size = layout.raw, metadata.get(_PIXEL_SIZE)
    if raw is not None and size is not None:
        raw = replace(raw, pixel_size_um=float(size))  # as we wrote it
    return ReadOptions(raw=raw, dataset=None if dataset is None else unquote(dataset))


def _file_name(name: str) -> str:
    """A name that can be a file's in any folder: its last part, its ending kept."""
    last = re.split(r"[/\\]", printable(name).replace("\N{REPLACEMENT CHARACTER}", "_"))[-1].strip()
    stem, dot, suffix = last.encode("utf-8", "replace").decode().lstrip(".").rpartition(".")
    suffix = suffix[-_SUFFIX_SIGNS:]
    while len(quote(f"{stem}{dot}{suffix}", safe="")) > MAX_PART_BYTES:
        stem = stem[:-1]
    return f"{stem}{dot}{suffix}" or "upload"


def _shown(name: str) -> str:
    text = printable(name)
    return text if len(text) <= _NAME_SIGNS else f"{text[:_NAME_SIGNS]}…"
