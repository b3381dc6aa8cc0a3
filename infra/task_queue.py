"""Sending tasks to the stack's workers, and what is known of those that wait."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kombu.exceptions import OperationalError

from encoder.errors import one_line
from infra.broker import BrokerAwayError, broker_calls, broker_time, open_broker
from infra.celery_options import FIRST_SENT_HEADER, SENT_HEADER, celery_app
from infra.metrics import SENT_KEYS
from infra.task_names import BULK, ENCODE, ENCODE_BATCH, MAINTENANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from infra.settings import Settings

GRACE_SECONDS = 60.0
"""A task may be between its queue and its worker, and seen in neither, for much less than this."""

_IN_FLIGHT = "lithoscope:in-flight"
_UNACKED = "unacked"
_KEYS_AT_ONCE = 1000
_QUICKLY = {"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}
"""How a broker is connected to; whoever calls retries with patience."""

_SETTLE = """
local removed = 0
for i = 2, #ARGV do
    local sent = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if sent and tonumber(sent) <= tonumber(ARGV[1]) then
        removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
    end
end
return removed
"""


class Waiting(NamedTuple):
    """How much there is to do in a queue.

    Attributes:
        tasks: Tasks that wait in it.
        running: Tasks from it that workers have, and did not end yet.
        keys: Scans of both, each counted once a collection; 0 for tasks that are about none.
    """

    tasks: int
    running: int
    keys: int


class TaskQueue:
    """The stack's queues, for any number of threads. A context manager.

    A scan is *in flight* from before its task is sent until a worker settled it. That is a hint:
    a broker that is flushed forgets it with the tasks themselves. A task that was lost in the
    broker's or a worker's death is found by the order of the queue: when everything that waits or
    is being worked on was sent later, then a scan that was sent before is in flight no more. All
    times are the broker's, so machines whose clocks differ agree on that order.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the clients; nothing is asked of the broker yet.

        Raises:
            SettingsError: No broker is set.
        """
        self._batch_keys = settings.work.batch_keys
        self._client = open_broker(settings)
        self._celery = celery_app(settings)

    def now(self) -> float:
        """The broker's clock, in seconds since 1970.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls("time"):
            return broker_time(self._client)

    def send(self, keys: Iterable[str], *, collection: str, bulk: bool = False) -> int:
        """Have a collection brought up to date with some scans.

        Args:
            keys: Their keys, those of removed ones too; each once.
            collection: Name of the collection.
            bulk: Whether they have time: what just came into the bucket goes first.

        Returns:
            Number of tasks that were sent.

        Raises:
            BrokerAwayError: The broker does not answer; some may have been sent, and may be sent
                again: to do a task twice does no harm.
            BrokerError: It refuses.
        """
        queue = BULK if bulk else ENCODE
        remaining = iter(dict.fromkeys(keys))
        count = 0
        while batch := list(islice(remaining, self._batch_keys)):
            self._mark(queue, collection, keys=batch)
            self._send(
                ENCODE_BATCH, queue=queue, arguments={"keys": batch, "collection": collection}
            )
            SENT_KEYS.labels(queue).inc(len(batch))
            count += 1
        return count

    def request(self, name: str, **arguments: str | bool | None) -> None:
        """Send a task to the maintenance queue: `infra.task_names.SWEEP`, ``ROLLOUT``.

        Raises:
            BrokerAwayError: The broker does not answer.
            BrokerError: It refuses.
        """
        self._send(name, queue=MAINTENANCE, arguments=arguments)

    def waiting(self, queue: str) -> Waiting:
        """Tell how much there is to do in a queue.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        self._forget_lost(queue)
        with broker_calls(queue):
            names = self._places(queue)
            with self._client.pipeline(transaction=False) as pipe:
                pipe.llen(queue)
                for name in names:
                    pipe.zcard(name)
                tasks, *sizes = pipe.execute()
        return Waiting(tasks=tasks, running=len(self._running(queue)), keys=sum(sizes))

    def oldest_seconds(self, queue: str) -> float | None:
        """Age of the oldest task that is next in a queue or being worked on.

        One that is tried again is as old as it was: its scans have waited since.

        Returns:
            The age; None without any, or if it does not tell.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        sent = min(map(_first_sent, self._oldest(queue)), default=None)
        return max(self.now() - sent, 0.0) if sent else None

    def in_flight(self, collection: str) -> set[str]:
        """Keys of every scan that is on its way into a collection.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        found: set[str] = set()
        for queue in (ENCODE, BULK):
            self._forget_lost(queue)
            with broker_calls(queue):
                members = self._client.zrange(_place(queue, collection), 0, -1)
            found.update(map(_key, cast("list[bytes]", members)))
        return found

    def are_in_flight(self, keys: Sequence[str], *, collection: str) -> set[str]:
        """Those of some scans that are on their way into a collection.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        found: set[str] = set()
        for queue in (ENCODE, BULK):
            self._forget_lost(queue)
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                part = keys[start : start + _KEYS_AT_ONCE]
                with broker_calls(queue):
                    members = cast("list[str]", [*map(_member, part)])  # bytes are taken as well
                    scores = self._client.zmscore(_place(queue, collection), members)
                found.update(
                    key for key, sent in zip(part, scores, strict=True) if sent is not None
                )
        return found

    def settle(self, keys: Iterable[str], *, collection: str, began: float | None = None) -> None:
        """Say that scans are on their way no more.

        Args:
            keys: Their keys.
            collection: The collection.
            began: When the work on them began, from `now`: what was sent again since stays on its
                way. None for whatever was sent so far.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        until = self.now() if began is None else began
        remaining = iter(keys)
        while part := list(islice(remaining, _KEYS_AT_ONCE)):
            for queue in (ENCODE, BULK):
                with broker_calls(queue):
                    self._client.eval(
                        _SETTLE, 1, _place(queue, collection), until, *map(_member, part)
                    )

    def keep(self, keys: Sequence[str], *, collection: str, bulk: bool = False) -> None:
        """Say that scans are still on their way: their task is sent again by its worker.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        self._mark(BULK if bulk else ENCODE, collection, keys=keys)

    def close(self) -> None:
        """Close the connections."""
        self._celery.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mark(self, queue: str, collection: str, *, keys: Sequence[str]) -> None:
        """Note scans as in flight: before their task is sent, so that no worker is faster."""
        place, now = _place(queue, collection), self.now()
        with broker_calls(queue), self._client.pipeline() as pipe:
            pipe.sadd(f"{_IN_FLIGHT}:{queue}", place)
            pipe.zadd(place, {_member(key): now for key in keys})
            pipe.execute()

    def _send(self, name: str, *, queue: str, arguments: dict[str, Any]) -> None:
        # On a connection of its own: one that is kept, and broke, may stay half open in the client
        # and fail in ways that tell nothing.
        headers = {SENT_HEADER: self.now()}
        try:
            with broker_calls(queue), self._celery.connection_for_write() as connection:
                connection.ensure_connection(**_QUICKLY)
                self._celery.send_task(
                    name,
                    kwargs=arguments,
                    queue=queue,
                    headers=headers,
                    connection=connection,
                    retry=False,
                )
        except OperationalError as error:
            told = one_line(error)
            raise BrokerAwayError(f"broker, {queue}: {told}; try again later") from error

    def _places(self, queue: str) -> list[str]:
        members = cast("set[bytes]", self._client.smembers(f"{_IN_FLIGHT}:{queue}"))
        return [member.decode() for member in members]

    def _forget_lost(self, queue: str) -> None:
        """Forget scans whose tasks are nowhere: tasks leave a queue in the order of their coming.

        A task that is given back goes to the queue's end that is next, with the time of its first
        sending, so the order holds for it as well.
        """
        before = min(map(_sent, self._oldest(queue)), default=None)
        limit = (self.now() if before is None else before) - GRACE_SECONDS
        with broker_calls(queue):
            for place in self._places(queue):
                self._client.zremrangebyscore(place, "-inf", f"({limit}")

    def _oldest(self, queue: str) -> list[object]:
        """The message that is next in a queue, and those from it that workers have."""
        with broker_calls(queue):
            last = self._client.lindex(queue, -1)
        return self._running(queue) + ([_parsed(last)] if last is not None else [])

    def _running(self, queue: str) -> list[object]:
        """Messages from a queue that workers have: as many as there are workers, at most."""
        with broker_calls(queue):
            kept = self._client.hvals(_UNACKED)
        found = [each for each in map(_parsed, kept) if isinstance(each, list) and len(each) == 3]
        return [message for message, _, routing_key in found if routing_key == queue]


def _place(queue: str, collection: str) -> str:
    return f"{_IN_FLIGHT}:{queue}:{collection}"


def _member(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _key(member: bytes) -> str:
    return member.decode("utf-8", "surrogatepass")


def _parsed(text: object) -> object:
    """What Celery left in the broker; None for what it did not."""
    try:
        return cast("object", json.loads(cast("bytes", text)))
    except ValueError:
        return None


def _sent(message: object) -> float:
    """When a task was sent; what does not tell counts as older than any."""
    return _time(message, SENT_HEADER)


def _first_sent(message: object) -> float:
    """When a task was sent for the first time."""
    return _time(message, FIRST_SENT_HEADER) or _sent(message)


def _time(message: object, header: str) -> float:
    headers = message.get("headers") if isinstance(message, dict) else None
    told = headers.get(header) if isinstance(headers, dict) else None
    return float(told) if isinstance(told, int | float) else 0.0
