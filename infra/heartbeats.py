"""Word that services leave in the broker while they run, and how it is read.

A service that ended in good order takes its word back; one that was killed stays told as silent
for an hour. Times are the broker's: the clocks of machines need not agree.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.broker import BrokerError, broker_calls, broker_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from redis import Redis

SERVICES_KEY = "lithoscope:services"
"""Hash of what each service said last."""

BEAT_SECONDS = 10.0
"""Time between two words of a service."""

SILENT_SECONDS = 3 * BEAT_SECONDS
"""After so long without word a service is taken to be gone."""

FORGOTTEN_SECONDS = 3600.0

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWord:
    """What a service said last.

    Attributes:
        service: Its name.
        place: Machine and process.
        away: What it needs and had no answer from.
        seconds_ago: How long ago it said so.
    """

    service: str
    place: str
    away: tuple[str, ...]
    seconds_ago: float

    @property
    def is_silent(self) -> bool:
        """Whether it should have been heard of since."""
        return self.seconds_ago > SILENT_SECONDS


class Heartbeat:
    """Leaves word every few seconds, from a thread of its own. A context manager."""

    def __init__(
        self,
        client: Redis,
        service: str,
        *,
        away: Callable[[], tuple[str, ...]],
        seconds: float = BEAT_SECONDS,
    ) -> None:
        """Prepare it.

        Args:
            client: The broker.
            service: The service's name.
            away: Tells what the service needs and gets no answer from.
            seconds: Time between two words.
        """
        self._client = client
        self._service = service
        self._away = away
        self._seconds = seconds
        self._place = f"{socket.gethostname()}:{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._seconds)
        try:
            with broker_calls(SERVICES_KEY):
                self._client.hdel(SERVICES_KEY, self._name)
        except BrokerError as error:  # then it is told as silent for a while
            _LOG.info("%s", error)

    @property
    def _name(self) -> str:
        return f"{self._service} {self._place}"

    def _run(self) -> None:
        is_told = False
        while not self._stop.is_set():
            try:
                self._say()
                is_told = False
            except BrokerError as error:
                if not is_told:
                    _LOG.warning("no word can be left: %s", error)
                is_told = True
            self._stop.wait(self._seconds)

    def _say(self) -> None:
        away = self._away()
        with broker_calls(SERVICES_KEY):
            told = {
                "service": self._service,
                "place": self._place,
                "away": away,
                "time": broker_time(self._client),
            }
            if not self._stop.is_set():
                self._client.hset(SERVICES_KEY, self._name, json.dumps(told))


def service_words(client: Redis) -> list[ServiceWord]:
    """Read what services said; those that were silent for an hour are forgotten.

    Returns:
        By service and place.

    Raises:
        BrokerAwayError: The broker does not answer.
        BrokerError: It refuses.
    """
    with broker_calls(SERVICES_KEY):
        now = broker_time(client)
        found = []
        for name, text in client.hgetall(SERVICES_KEY).items():
            told = json.loads(text)
            seconds_ago = max(now - told["time"], 0.0)
            if seconds_ago > FORGOTTEN_SECONDS:
                client.hdel(SERVICES_KEY, name)
                continue
            word = ServiceWord(
                service=told["service"],
                place=told["place"],
                away=tuple(told["away"]),
                seconds_ago=seconds_ago,
            )
            found.append(word)
    return sorted(found, key=lambda word: (word.service, word.place))
