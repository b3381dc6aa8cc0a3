"""What changed in a folder, seen by looking again and again.

Looking costs more than being told by the system, but misses nothing: notifications are lost for
files in folders that were just made, for folders that are renamed, and on network disks. The wait
between looks grows with what a look costs, so that an idle watch takes a small share of one core.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.folder_listing import walk
from infra.store_errors import StoreAwayError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

WATCHED_PREFIXES = ("scans/", "metadata/")
"""Where objects are that somebody else puts there; the rest we write ourselves."""

_WAIT_SECONDS = 2.0
_SHARE = 20
"""Times as long as a look takes that is waited before the next: 5 % of a core."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """What two looks running found.

    Attributes:
        settled: Keys that are new or changed, and were the same at both looks, in their order.
        removed: Keys that were told as settled before, and are gone, in their order.
    """

    settled: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.settled or self.removed)


class FolderWatch:
    """Looks at a folder of objects; remembers what it has told.

    Attributes:
        root: The folder.
        prefixes: What the keys begin with that are looked at.
    """

    def __init__(self, root: Path, prefixes: tuple[str, ...] = WATCHED_PREFIXES) -> None:
        """Remember nothing yet: what is there already is told first."""
        self.root = root
        self.prefixes = prefixes
        self._last: dict[str, tuple[int, int, int]] = {}
        self._told: dict[str, tuple[int, int, int]] = {}

    def look(self) -> FolderChanges:
        """Look once; a file is told when it is the same as at the look before.

        Raises:
            StoreAwayError: The disk is away; nothing is taken for removed.
            StoreRefusedError: A folder may not be read.
        """
        seen = {
            found.key: (found.status.st_size, found.status.st_mtime_ns, found.status.st_ino)
            for prefix in self.prefixes
            for found in walk(self.root, prefix=prefix, start_after="")
        }
        settled = tuple(
            key
            for key, signs in seen.items()
            if self._last.get(key) == signs != self._told.get(key)
        )
        removed = tuple(key for key in self._told if key not in seen)
        self._last = seen
        self._told = {key: signs for key, signs in self._told.items() if key in seen}
        self._told |= {key: seen[key] for key in settled}
        return FolderChanges(settled=settled, removed=removed)

    def changes(
        self, stop: threading.Event, *, seconds: float = _WAIT_SECONDS
    ) -> Iterator[FolderChanges]:
        """Look until told to stop; a disk that is away is waited for.

        Args:
            stop: Ends the watch when it is set.
            seconds: Shortest wait between two looks.

        Yields:
            What changed, where something did: what is there already comes first.

        Raises:
            StoreRefusedError: A folder may not be read.
        """
        while not stop.is_set():
            began = time.monotonic()
            try:
                changes = self.look()
            except StoreAwayError as error:
                _LOG.warning("%s; looking again", error)
                changes = FolderChanges(settled=(), removed=())
            cost = time.monotonic() - began  # without what the caller does with the changes
            if changes:
                yield changes
            stop.wait(max(seconds, _SHARE * cost))
