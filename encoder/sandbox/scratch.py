"""Folders for temporary files that don't outlive their process, even one that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path

_UNLOCKED = "lithoscope-new-"
_LOCKED = "lithoscope-scratch-"
_LOCK = "lock"


class ScratchFolder:
    """A folder that is removed when done with, at exit, or by the next one after a kill -9.

    Its owner holds a lock on a file in it for as long as it lives. Folders beside it whose lock
    nobody holds are leftovers.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        """Create the folder in the system's temporary one and remove leftovers there."""
        new = Path(tempfile.mkdtemp(prefix=_UNLOCKED))
        lock = _lock(new / _LOCK)
        # Renamed once it is locked, so that nobody takes it for a leftover in between.
        self.path = new.rename(new.with_name(new.name.replace(_UNLOCKED, _LOCKED)))
        self._remove = weakref.finalize(self, _discard, self.path, lock)
        for folder in self.path.parent.glob(f"{_LOCKED}*"):
            if folder != self.path:
                _remove_leftover(folder)

    def subfolder(self) -> Path:
        """Create a folder of a new name in this one."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def remove(self) -> None:
        """Remove the folder and what is in it; again is harmless."""
        self._remove()


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _remove_leftover(folder: Path) -> None:
    try:
        lock = _lock(folder / _LOCK)
    except OSError:  # in use, removed meanwhile, or another user's
        return
    _discard(folder, lock)


def _discard(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
