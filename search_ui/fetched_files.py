"""Local copies of stored objects, kept as long as there is room, for what is looked at again."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.sandbox.scratch import ScratchFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEPT_BYTES = 4 << 30
"""Bytes of copies that nobody uses; the last one is kept, however large."""


@dataclass(slots=True)
class _Copy:
    """A local copy.

    Attributes:
        path: The file, alone in its folder.
        n_users: Who is using it.
    """

    path: Path
    n_users: int = 0


class FetchedFiles:
    """Local copies by name. Any thread may ask; one file is fetched once."""

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        """Keep copies.

        Args:
            max_bytes: Bytes of copies that nobody uses.
        """
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}
        self._copies: dict[str, _Copy] = {}
        self._scratch: ScratchFolder | None = None

    def folder(self) -> Path:
        """A new folder for one file."""
        with self._lock:
            if self._scratch is None or not self._scratch.path.exists():
                self._scratch = ScratchFolder()
            return self._scratch.subfolder()

    def adopt(self, name: str, path: Path) -> None:
        """Take a file over, which lies alone in one of our folders."""
        with self._lock:
            self._copies[name] = _Copy(path)
            self._make_room()

    def has(self, name: str) -> bool:
        """Whether there is a copy."""
        with self._lock:
            return name in self._copies and self._copies[name].path.exists()

    @contextmanager
    def at_hand(self, name: str, fetch: Callable[[Path], Path]) -> Iterator[Path]:
        """Use a file, which stays as long.

        Args:
            name: What tells it from others, its version too.
            fetch: Writes it into a folder, and tells where; called unless there is a copy.
        """
        with self._one_at_a_time(name):
            copy = self._taken(name)
            if copy is None:
                folder = self.folder()
                try:
                    path = fetch(folder)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                copy = self._added(name, path)
        try:
            yield copy.path
        finally:
            with self._lock:
                copy.n_users -= 1
                self._make_room()

    def close(self) -> None:
        """Remove all copies."""
        with self._lock:
            self._copies.clear()
            if self._scratch is not None:
                self._scratch.remove()
                self._scratch = None

    def _one_at_a_time(self, name: str) -> threading.Lock:
        with self._lock:
            return self._fetching.setdefault(name, threading.Lock())

    def _taken(self, name: str) -> _Copy | None:
        with self._lock:
            copy = self._copies.pop(name, None)
            if copy is None or not copy.path.exists():  # whatever tidies temporary files had it
                return None
            self._copies[name] = copy  # the last used comes last
            copy.n_users += 1
            return copy

    def _added(self, name: str, path: Path) -> _Copy:
        with self._lock:
            copy = self._copies[name] = _Copy(path, n_users=1)
            self._make_room()
            return copy

    def _make_room(self) -> None:
        sizes = {name: _size(copy.path) for name, copy in self._copies.items()}
        over = sum(sizes.values()) - self._max_bytes
        for name, copy in list(self._copies.items())[:-1]:
            if over <= 0:
                return
            if not copy.n_users:
                shutil.rmtree(copy.path.parent, ignore_errors=True)
                del self._copies[name]
                over -= sizes[name]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
