"""Attempts at each scan, counted in the broker for the workers of every machine together."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.attempts import AttemptsError
from infra.broker import BrokerAwayError, BrokerError, broker_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import redis

KEPT_SECONDS = 30 * 86_400
"""Counts that nobody added to in a month are forgotten: those of scans that are gone."""

_PREFIX = b"lithoscope:attempts:"
_AT_ONCE = 500

_BEGIN = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[4] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[4], ARGV[2], 0, ARGV[3], ARGV[5])
end
redis.call('EXPIRE', KEYS[1], ARGV[6])
return redis.call('HINCRBY', KEYS[1], ARGV[2], 1)
"""


class RedisAttempts:
    """An `infra.attempts.AttemptCounter` in the broker.

    Counts are as durable as the broker: one that is restarted with its append-only file forgets
    the last second's at most; one that was flushed begins anew, which costs a few more attempts
    at a scan that kills its worker.
    """

    def __init__(self, client: redis.Redis, namespace: str | None = None) -> None:
        """Count under a name.

        Args:
            client: From `infra.broker.open_broker`; closed by `close`.
            namespace: What the counts are about, such as a collection: a scan that kills its
                worker with one model may be harmless with another. None counts under a name of
                its own, and `clear` then forgets those of every name.
        """
        self._client = client
        self._is_for_all = namespace is None
        self._etag = f"{namespace or ''}/etag"
        self._attempts = f"{namespace or ''}/attempts"
        self._first = f"{namespace or ''}/first"

    def begin(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Count one more attempt of each; see `infra.attempts.AttemptCounter.begin`."""
        fields, now = (self._etag, self._attempts, self._first), repr(time.time())
        answers = self._ask(
            [
                ("EVAL", _BEGIN, 1, _name(key), *fields, etag, now, KEPT_SECONDS)
                for key, etag in etags.items()
            ]
        )
        return dict(zip(etags, map(int, answers), strict=True))

    def counts(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Attempts of these contents so far; see `infra.attempts.AttemptCounter.counts`."""
        fields = (self._etag, self._attempts)
        answers = self._ask([("HMGET", _name(key), *fields) for key in etags])
        return {
            key: int(attempts) if kept == etag.encode() else 0
            for (key, etag), (kept, attempts) in zip(etags.items(), answers, strict=True)
        }

    def first_times(self, etags: Mapping[str, str]) -> dict[str, datetime]:
        """When the first attempts were; see `infra.attempts.AttemptCounter.first_times`."""
        answers = self._ask([("HMGET", _name(key), self._etag, self._first) for key in etags])
        return {
            key: datetime.fromtimestamp(float(first), UTC)
            for (key, etag), (kept, first) in zip(etags.items(), answers, strict=True)
            if kept == etag.encode() and first is not None
        }

    def clear(self, object_keys: Iterable[str]) -> None:
        """Forget the attempts of these keys; see `infra.attempts.AttemptCounter.clear`."""
        if self._is_for_all:
            self._ask([("DEL", _name(key)) for key in object_keys])
        else:
            fields = (self._etag, self._attempts, self._first)
            self._ask([("HDEL", _name(key), *fields) for key in object_keys])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in as few round trips as may be.

        Raises:
            BrokerAwayError: The broker does not answer; some may have been done.
            AttemptsError: It refuses.
        """
        answers: list[Any] = []
        try:
            with broker_calls("attempts"):
                for start in range(0, len(commands), _AT_ONCE):
                    with self._client.pipeline(transaction=False) as pipe:
                        for command in commands[start : start + _AT_ONCE]:
                            pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis
                        answers += pipe.execute()
        except BrokerAwayError:
            raise
        except BrokerError as error:
            raise AttemptsError(f"attempts can't be counted: {error}") from error
        return answers


def _name(key: str) -> bytes:
    """Keys of files whose names are no UTF-8 are counted too."""
    return _PREFIX + key.encode("utf-8", "surrogatepass")
