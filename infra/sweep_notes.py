"""What the last comparison of bucket and index found, kept in the broker for all to see."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.broker import broker_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

NOTES_KEY = "lithoscope:sweeps"
"""Hash of what was found, by collection."""

FORGOTTEN_SECONDS = 7 * 24 * 3600.0
"""A collection that nobody compared for so long is not told of any more."""


_TOTALS = frozenset({"objects", "slices"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepNote:
    """What a comparison found.

    Attributes:
        collection: What was compared with the bucket.
        counts: Number of scans by what is the matter: ``missing``, ``changed``, ``quarantined``…;
            of those that differ, ``in_flight`` were on their way already.
        finished: When it ended, in seconds since 1970.
    """

    collection: str
    counts: Mapping[str, int]
    finished: float

    @property
    def states(self) -> dict[str, int]:
        """The counts, but for those of all objects and of slices."""
        return {name: count for name, count in self.counts.items() if name not in _TOTALS}

    @property
    def seconds_ago(self) -> float:
        """How long ago that was."""
        return max(time.time() - self.finished, 0.0)


class SweepNotes:
    """Notes of the last comparison of each collection."""

    def __init__(self, client: Redis) -> None:
        """Keep them in a broker."""
        self._client = client

    def write(self, collection: str, counts: Mapping[str, int]) -> None:
        """Note what a comparison that just ended found.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        told = json.dumps({"counts": dict(counts), "finished": time.time()})
        with broker_calls(NOTES_KEY):
            self._client.hset(NOTES_KEY, collection, told)

    def read(self) -> list[SweepNote]:
        """Read every note, by collection.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(NOTES_KEY):
            found = self._client.hgetall(NOTES_KEY)
        notes = []
        for name, text in found.items():
            told = json.loads(text)
            note = SweepNote(
                collection=name if isinstance(name, str) else name.decode(),
                counts=told["counts"],
                finished=told["finished"],
            )
            if note.seconds_ago < FORGOTTEN_SECONDS:
                notes.append(note)
        return sorted(notes, key=lambda note: note.collection)

    def forget(self, collection: str) -> None:
        """Forget a collection that is not compared any more.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(NOTES_KEY):
            self._client.hdel(NOTES_KEY, collection)
