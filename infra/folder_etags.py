"""What a folder's files contain, by hash, remembered so that no file is read twice."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""A file younger than this isn't remembered: its clock may not tell a second change from this one
(the coarsest file systems count in two seconds)."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS etags (device INTEGER, inode INTEGER, size INTEGER, "
    "mtime_ns INTEGER, etag TEXT, PRIMARY KEY (device, inode))"
)


class EtagCache:
    """Hashes by (size, time of change, inode), shared by threads and processes.

    It may be thrown away at any time: a file that can't be opened or is damaged is begun anew, and
    where none can be written (a folder that is only read), hashes last as long as the process.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the cache's file."""
        self._lock = threading.Lock()
        self._database = self._open(path)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        for _ in range(2):
            try:
                database = sqlite3.connect(
                    path, timeout=30, isolation_level=None, check_same_thread=False
                )
            except sqlite3.OperationalError:
                break
            try:
                # a write-ahead log needs no fsync for each row, and survives a crash whole
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute(_TABLE)
            except sqlite3.OperationalError:  # read-only, or on a file system that can't lock
                database.close()
                break
            except sqlite3.DatabaseError:  # damaged
                database.close()
                for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                    with contextlib.suppress(OSError):
                        path.with_name(name).unlink()
            else:
                return database
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.execute(_TABLE)
        return database

    def find(self, status: os.stat_result) -> str | None:
        """Give the hash of a file that has not changed since it was remembered."""
        query = (
            "SELECT etag FROM etags WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ?"
        )
        values = (_signed(status.st_dev), _signed(status.st_ino), status.st_size)
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._database.execute(query, (*values, status.st_mtime_ns)).fetchone()
            return None if row is None else str(row[0])
        return None

    def remember(self, status: os.stat_result, etag: str) -> None:
        """Keep the hash of a file that had this status before and after it was read."""
        if abs(time.time_ns() - status.st_mtime_ns) < _SETTLED_NS:
            return
        values = (_signed(status.st_dev), _signed(status.st_ino), status.st_size)
        with self._lock, contextlib.suppress(sqlite3.Error):  # a cache that is busy forgets
            self._database.execute(
                "INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?, ?)",
                (*values, status.st_mtime_ns, etag),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def _signed(number: int) -> int:
    """SQLite's integers have a sign; file systems' numbers have none."""
    return number - (1 << 64) if number >= 1 << 63 else number
