"""The broker: a Redis or Valkey server in which the stack's tasks and events wait."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from encoder.errors import LithoscopeError, one_line
from infra.settings import SettingsError, env_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Settings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""Longest wait for an answer; calls that block on the server block for less."""

HEALTH_SECONDS = 25.0
"""A connection that was idle for so long is tried before it is used."""


class BrokerError(LithoscopeError):
    """The broker refuses what was asked of it."""


class BrokerAwayError(BrokerError):
    """The broker does not answer: try again later."""


class BrokerFullError(BrokerAwayError):
    """The broker's memory is full: it takes nothing until something was taken from it."""


def open_broker(settings: Settings) -> redis.Redis:
    """Make a client; nothing is asked of the server yet. It is for any number of threads.

    A call that fails is not repeated silently: whether it was done before the connection broke is
    for its caller to think of.

    Raises:
        SettingsError: No broker is set.
    """
    return redis.Redis.from_url(
        broker_url(settings),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=HEALTH_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def broker_url(settings: Settings) -> str:
    """The broker's address with its password, which must not be printed.

    Raises:
        SettingsError: No broker is set.
    """
    broker = settings.broker
    if broker.url is None:
        raise SettingsError(
            f"{env_name('broker', 'url')}: not set, and this needs a broker; set it, as in "
            "redis://localhost:6379/0, or use the embedded commands (`lithoscope watch`)"
        )
    if broker.password is None:
        return broker.url
    scheme, _, place = broker.url.partition("://")
    return f"{scheme}://:{quote(broker.password.get_secret_value(), safe='')}@{place}"


def broker_time(client: redis.Redis) -> float:
    """The broker's clock, the one that all machines share, in seconds since 1970."""
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6


@contextlib.contextmanager
def broker_calls(what: str) -> Iterator[None]:
    """Turn the client's errors into ours.

    Args:
        what: What is asked for: a list's or a queue's name.

    Raises:
        BrokerAwayError: The server does not answer, is loading its data, or broke off.
        BrokerFullError: It has no memory left.
        BrokerError: It refuses: a wrong password, a key of another kind.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        raise BrokerError(
            f"broker, {what}: {one_line(error)}; correct {env_name('broker', 'password')}"
        ) from error
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.TryAgainError) as error:
        raise BrokerAwayError(f"broker, {what}: {one_line(error)}; try again later") from error
    except redis.exceptions.ReadOnlyError as error:  # a replica that is about to take over
        raise BrokerAwayError(f"broker, {what}: {one_line(error)}; try again later") from error
    except redis.exceptions.OutOfMemoryError as error:  # tasks that are done make room
        raise BrokerFullError(
            f"broker, {what}: its memory is full; raise maxmemory, or start more workers"
        ) from error
    except redis.RedisError as error:
        raise BrokerError(f"broker, {what}: {one_line(error)}; see the server's log") from error
