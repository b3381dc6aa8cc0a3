"""Files below one folder, reached part by part so that no link and no ``..`` leads out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from infra.store_errors import (
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not block

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_AWAY = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),
        *(errno.ENODEV, errno.ENXIO, errno.EAGAIN, errno.ENFILE, errno.EMFILE, errno.ENOLCK),
        *(errno.ENOSPC, errno.EDQUOT),
    }
)


def told(error: OSError, key: str) -> StoreError:
    """Turn the system's error on an object into the store's."""
    if error.errno in _MISSING:
        return ObjectMissingError(f"{key}: no such object")
    problem = f"{key}: {error.strerror or error}"
    if error.errno in _AWAY:
        return StoreAwayError(f"{problem}; see that the disk is there and has room, and try again")
    return StoreRefusedError(f"{problem}; see what is in its place, and who may read and write it")


def told_writing(error: OSError, key: str) -> StoreError:
    """Turn the system's error on storing an object into the store's."""
    if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
        return StoreRefusedError(
            f"{key}: a file and a folder can't have one name here; store it under another key"
        )
    if isinstance(error, FileNotFoundError):
        return StoreAwayError(f"{key}: its folder went away while it was stored; try again")
    return told(error, key)


@contextlib.contextmanager
def opened_folder(
    root: Path, parts: tuple[str, ...], *, make: bool = False, is_durable: bool = True
) -> Iterator[int]:
    """Open a folder below a root, for the system's ``dir_fd``.

    Args:
        root: Where to begin; may be a link itself.
        parts: Names of folders below it.
        make: Make what is missing.
        is_durable: Whether what is made must survive a loss of power that follows at once.

    Raises:
        StoreAwayError: The root itself is missing: a disk that is not mounted must not look like
            an empty store.
        StoreRefusedError: A part is a link.
        OSError: Anything else.
    """
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreAwayError(
            f"object folder {root}: no such folder; mount it, or make it if it is new"
        ) from error
    try:
        for part in parts:
            below = _step(folder, part, make=make, is_durable=is_durable)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _step(folder: int, part: str, *, make: bool, is_durable: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
            if is_durable:
                os.fsync(folder)
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except OSError:
        refuse_link(folder, part)
        raise


def refuse_link(folder: int, name: str) -> None:
    """Say that a name is a link, if it is one.

    Raises:
        StoreRefusedError: It is.
    """
    with contextlib.suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise StoreRefusedError(
                f"{name}: is a link, and links are not followed out of the object folder; "
                "put the file itself there (a copy or a hard link)"
            )


@contextlib.contextmanager
def opened_file(root: Path, key: str) -> Iterator[int]:
    """Open an object's file for reading.

    Raises:
        ObjectMissingError: No regular file is there.
        StoreAwayError: The disk is.
        StoreRefusedError: A link, or no permission.
    """
    *folders, name = key.split("/")
    try:
        with opened_folder(root, tuple(folders)) as folder:
            try:
                file = os.open(name, _FILE, dir_fd=folder)
            except OSError:
                refuse_link(folder, name)
                raise
    except OSError as error:
        raise told(error, key) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ObjectMissingError(f"{key}: no such object (something else has its name)")
        yield file
    finally:
        os.close(file)
