"""The list that an object store appends its notifications to, read so that none is lost.

An entry that is taken is moved to a second list in one step, and removed from that only once what
it says is passed on. Whoever starts puts back what a former reader left there. Entries that can't
be read are kept in a third list.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from infra.broker import broker_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

QUIET_SECONDS = 0.25
"""A batch that nothing came to for so long is given, before its time is up."""

MAX_DAMAGED = 1000
"""Entries that can't be read are kept up to so many, the newest."""

_MOVE = """
local found = {}
for i = 1, tonumber(ARGV[1]) do
    local entry = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
    if not entry then break end
    found[i] = entry
end
return found
"""


class EventJournal:
    """A journal of events, for one reader at a time.

    A second reader does no harm but double work: an entry may be given to both.

    Attributes:
        name: The list.
    """

    def __init__(self, client: redis.Redis, events_key: str) -> None:
        """Read a list.

        Args:
            client: From `infra.broker.open_broker`.
            events_key: The list's key.
        """
        self.name = events_key
        self._client = client
        self._taken = f"{events_key}:processing"
        self._damaged = f"{events_key}:damaged"
        self._owed = f"{events_key}:sweep-owed"

    def take(self, seconds: float, at_most: int) -> list[bytes]:
        """Take the oldest entries; they are kept until `done` or `recover`.

        Args:
            seconds: Longest time to wait for the first, and again for further ones.
            at_most: Number of entries.

        Returns:
            The entries, oldest first; none if none came.

        Raises:
            BrokerAwayError: The broker does not answer. What was taken is put back by `recover`.
            BrokerError: It refuses.
        """
        entries: list[bytes] = []
        until = time.monotonic() + seconds
        wait = seconds
        while len(entries) < at_most and wait > 0:
            with broker_calls(self.name):
                entry = self._move(wait)
            if entry is None:
                break
            if not entries:
                until = time.monotonic() + seconds
            entries.append(entry)
            entries += self._move_more(at_most - len(entries))
            wait = min(QUIET_SECONDS, until - time.monotonic())
        return entries

    def _move(self, seconds: float) -> bytes | None:
        """Take one entry, in a step that the broker does wholly or not at all."""
        entry = self._client.blmove(
            self.name,
            self._taken,
            seconds,  # type: ignore[arg-type]  # fractions since Redis 6
            "LEFT",
            "RIGHT",
        )
        return cast("bytes | None", entry)

    def _move_more(self, at_most: int) -> list[bytes]:
        """Take what is there besides, at once."""
        with broker_calls(self.name):
            found = self._client.eval(_MOVE, 2, self.name, self._taken, at_most)
        return cast("list[bytes]", found)

    def done(self, entries: Sequence[bytes]) -> None:
        """Forget entries that were taken: what they say is passed on.

        Raises:
            BrokerAwayError: The broker does not answer; they are given again.
        """
        with broker_calls(self.name), self._client.pipeline() as pipe:
            for entry in entries:
                pipe.lrem(self._taken, 1, entry)  # type: ignore[arg-type]  # takes bytes
            pipe.execute()

    def let_go(self, at_most: int) -> int:
        """Forget the oldest entries, taken or not: without that a full broker takes nothing else.

        Args:
            at_most: Number of entries of each kind.

        Returns:
            Number of entries.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        count = 0
        with broker_calls(self.name):
            for name in (self._taken, self.name):
                count += len(cast("list[bytes] | None", self._client.lpop(name, at_most)) or [])
        return count

    def owe_sweep(self) -> None:
        """Keep in mind, for the next reader too, that a sweep is owed for what was let go.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(self.name):
            self._client.set(self._owed, b"1")

    def sweep_is_asked_for(self) -> None:
        """Forget that one is owed.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(self.name):
            self._client.delete(self._owed)

    def owes_sweep(self) -> bool:
        """Whether a sweep is owed.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(self.name):
            return bool(self._client.exists(self._owed))

    def put_aside(self, entries: Sequence[bytes]) -> None:
        """Keep entries that can't be read apart, for people to look at.

        Raises:
            BrokerAwayError: The broker does not answer; they are given again.
        """
        if not entries:
            return
        with broker_calls(self.name), self._client.pipeline() as pipe:
            for entry in entries:
                pipe.lrem(self._taken, 1, entry)  # type: ignore[arg-type]  # takes bytes
                pipe.lpush(self._damaged, entry)
            pipe.ltrim(self._damaged, 0, MAX_DAMAGED - 1)
            pipe.execute()

    def recover(self) -> int:
        """Put back what was taken and not done, at the head and in its order.

        Returns:
            Number of entries.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        count = 0
        with broker_calls(self.name):
            while self._client.lmove(self._taken, self.name, "RIGHT", "LEFT") is not None:
                count += 1
        return count

    def waiting(self) -> int:
        """Number of entries that wait, those that were taken and are not done included.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(self.name), self._client.pipeline() as pipe:
            pipe.llen(self.name)
            pipe.llen(self._taken)
            return sum(pipe.execute())

    def damaged(self) -> int:
        """Number of entries that could not be read, and are kept.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(self.name):
            return int(self._client.llen(self._damaged))
