"""One writer at a time, over every thread and process of a machine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.002


class MutationLock:
    """A lock on a file, to be held around every mutation of what lies beside it.

    Its holder may take it again. It is let go when its process ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Name the lock's file; it is made if it is not there.

        Args:
            path: The file; its folder exists.
        """
        # A process's own threads queue here, so that one of them at most polls the file.
        self._threads = threading.RLock()
        self._file = FileLock(path, poll_interval=_POLL_SECONDS)

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._file.acquire()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._file.release()
        self._threads.release()
