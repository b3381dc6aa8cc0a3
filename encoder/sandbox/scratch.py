"""Folders for temporary files that don't outlive their process, even one that was killed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import weakref
from pathlib import Path

_UNLOCKED = "lithoscope-new-"
_LOCKED = "lithoscope-scratch-"
_LOCK = "lock"
_PLACE = re.compile(rf"{re.escape(tempfile.gettempdir())}/{_LOCKED}\w+/(?:tmp\w+/)?")


class ScratchFolder:
    """A folder that is removed when done with, at exit, or by the next one after a kill -9.

    Its owner holds a lock on a file in it for as long as it lives. Folders beside it whose lock
    nobody holds are leftovers.

    Attributes:
        path: The folder.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """Create the folder and remove leftovers beside it.

        Args:
            parent: Where, a folder that is there; None for the system's temporary one.
        """
        new = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=parent))
        lock = os.open(new / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _lock(lock)
        # Renamed once it is locked, so that nobody takes it for a leftover in between.
        self.path = new.rename(new.with_name(new.name.replace(_UNLOCKED, _LOCKED)))
        self._remove = weakref.finalize(self, _discard, self.path, lock)
        for folder in self.path.parent.glob(f"{_LOCKED}*"):
            if folder != self.path and _is_ours(folder):
                _remove_leftover(folder)

    def subfolder(self) -> Path:
        """Create a folder of a new name in this one."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def remove(self) -> None:
        """Remove the folder and what is in it; again is harmless."""
        self._remove()


def without_scratch(text: str) -> str:
    """Leave out of a text where scratch folders are; the names of files in them stay."""
    return _PLACE.sub("", text)


def _lock(handle: int) -> None:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_ours(folder: Path) -> bool:
    """Whether this user made a folder: others may have put anything of that name there."""
    try:
        status = folder.lstat()
    except OSError:  # removed meanwhile
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _remove_leftover(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # its owner was killed while it removed it
        shutil.rmtree(folder, ignore_errors=True)
        return
    except OSError:  # not the file that we make
        return
    try:
        _lock(lock)
    except OSError:  # in use
        os.close(lock)
        return
    _discard(folder, lock)


def _discard(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
