"""How often each scan was tried, counted before the work: what kills its worker is found so."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from encoder.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_BUSY_SECONDS = 30.0
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOG = logging.getLogger(__name__)

_TABLE = (
    "CREATE TABLE IF NOT EXISTS attempts "
    "(object_key BLOB PRIMARY KEY, etag TEXT NOT NULL, attempts INTEGER NOT NULL, first REAL)"
)
_FORMER_COLUMNS = ("object_key", "etag", "attempts")
_BEGIN = (
    "INSERT INTO attempts VALUES (?, ?, 1, ?) ON CONFLICT (object_key) DO UPDATE SET "
    "attempts = CASE WHEN etag = excluded.etag THEN attempts + 1 ELSE 1 END, "
    "first = CASE WHEN etag = excluded.etag THEN first ELSE excluded.first END, "
    "etag = excluded.etag RETURNING attempts"
)
_COUNT = "SELECT attempts FROM attempts WHERE object_key = ? AND etag = ?"
_FIRST = "SELECT first FROM attempts WHERE object_key = ? AND etag = ?"


class AttemptsError(LithoscopeError):
    """Attempts that can't be counted."""


class AttemptCounter(Protocol):
    """Counts attempts by key and content."""

    def begin(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Count one more attempt of each; a new content begins at 1.

        Args:
            etags: Etag of the content by object key.

        Returns:
            Attempts of this content, this one included, by object key. They are counted durably
            when this returns.

        Raises:
            AttemptsError: They can't be counted.
        """
        ...

    def counts(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Attempts of these contents so far, 0 where there were none; nothing is counted.

        Raises:
            AttemptsError: They can't be read.
        """
        ...

    def first_times(self, etags: Mapping[str, str]) -> dict[str, datetime]:
        """When the first attempt of each of these contents was, UTC.

        Those without attempts are left out, as are those that an earlier release began to count,
        which kept no times.

        Raises:
            AttemptsError: They can't be read.
        """
        ...

    def clear(self, object_keys: Iterable[str]) -> None:
        """Forget the attempts of these keys: they came to an end, or begin anew.

        Raises:
            AttemptsError: They can't be forgotten.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds open."""
        ...


class FileAttempts:
    """An `AttemptCounter` in a file, for any number of threads and processes of a machine.

    A damaged file is begun anew, which the log tells: no scan is lost by that, only its count.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is made, with its folder, when something is counted.

        Args:
            path: The file.
        """
        self.path = path
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    def begin(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Count one more attempt of each; see `AttemptCounter.begin`."""
        counts: dict[str, int] = {}
        now = time.time()

        def count(database: sqlite3.Connection) -> None:
            for key, etag in etags.items():
                row = database.execute(_BEGIN, (_stored(key), etag, now)).fetchone()
                counts[key] = int(row[0])

        self._change(count)
        return counts

    def counts(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Attempts of these contents so far; see `AttemptCounter.counts`."""
        found: dict[str, int] = {}

        def look(database: sqlite3.Connection) -> None:
            for key, etag in etags.items():
                row = database.execute(_COUNT, (_stored(key), etag)).fetchone()
                found[key] = 0 if row is None else int(row[0])

        self._change(look)
        return found

    def first_times(self, etags: Mapping[str, str]) -> dict[str, datetime]:
        """When the first attempts were; see `AttemptCounter.first_times`."""
        found: dict[str, datetime] = {}

        def look(database: sqlite3.Connection) -> None:
            for key, etag in etags.items():
                row = database.execute(_FIRST, (_stored(key), etag)).fetchone()
                if row is not None and row[0] is not None:
                    found[key] = datetime.fromtimestamp(row[0], UTC)

        self._change(look)
        return found

    def clear(self, object_keys: Iterable[str]) -> None:
        """Forget the attempts of these keys; see `AttemptCounter.clear`."""
        rows = [(_stored(key),) for key in object_keys]
        self._change(
            lambda database: database.executemany("DELETE FROM attempts WHERE object_key = ?", rows)
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._let_go()

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Change the table in one transaction; a damaged file is replaced, once."""
        with self._lock:
            try:
                try:
                    self._transact(change)
                except sqlite3.DatabaseError as error:
                    if error.sqlite_errorcode not in _DAMAGED:
                        raise
                    _LOG.warning("%s: damaged (%s), attempts are counted anew", self.path, error)
                    self._remove()
                    self._transact(change)
            except (sqlite3.Error, OSError) as error:
                raise AttemptsError(
                    f"{self.path}: attempts can't be counted ({error}); make room, see who may "
                    "write it, or remove it"
                ) from error

    def _transact(self, change: Callable[[sqlite3.Connection], object]) -> None:
        database = self._opened()
        database.rollback()  # of a change that Ctrl-C cut short before it could end its transaction
        try:
            database.execute("BEGIN IMMEDIATE")
            change(database)
            database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # the first error is the one that counts
                database.rollback()
            raise

    def _opened(self) -> sqlite3.Connection:
        """The database; opened again where its file was removed or replaced meanwhile."""
        if self._database is not None and self._inode == _inode(self.path):
            return self._database
        self._let_go()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._database = database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a count must survive a loss of power
        _make_table(database)
        self._inode = _inode(self.path)
        return database

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _remove(self) -> None:
        self._let_go()
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            self.path.with_name(name).unlink(missing_ok=True)


def _make_table(database: sqlite3.Connection) -> None:
    """Make the table; one of an earlier release gets the column that it lacks."""
    database.execute("BEGIN IMMEDIATE")  # of two that open a file at once, one adds the column
    database.execute(_TABLE)
    columns = tuple(row[1] for row in database.execute("PRAGMA table_info(attempts)"))
    if columns == _FORMER_COLUMNS:
        database.execute("ALTER TABLE attempts ADD COLUMN first REAL")
    database.execute("COMMIT")


def _stored(key: str) -> bytes:
    """Keys of files whose names are no UTF-8 are counted too."""
    return key.encode("utf-8", "surrogatepass")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
