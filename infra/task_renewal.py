"""Signs of life for tasks that are being worked on, so that nobody else is given them.

Celery's Redis transport gives a task to another worker once it was not acknowledged for a time,
the visibility timeout. For long tasks that time would have to be long, and a task whose worker
died would wait for all of it. A worker that renews its tasks' times lets it be short; one that
hangs does not keep its task for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from infra.broker import BrokerError, broker_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    import redis

_INDEX = "unacked_index"
"""Kombu's sorted set of tasks that workers have: when each was given, by its delivery tag."""

_TIMES_AS_OFTEN = 4
STALLED_SECONDS = 3600.0
"""A task that got on no further for so long is not renewed: its worker hangs."""

_LOG = logging.getLogger(__name__)


class TaskRenewal:
    """Renews the times of tasks, in a thread of its own. A context manager."""

    def __init__(self, client: redis.Redis, visibility_seconds: float) -> None:
        """Renew several times in the visibility timeout.

        Args:
            client: From `infra.broker.open_broker`; closed at the end.
            visibility_seconds: The timeout.
        """
        self._client = client
        self._every = visibility_seconds / _TIMES_AS_OFTEN
        self._tags: dict[str, float] = {}  # when each got on last, by the monotonic clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renew tasks", daemon=True)

    @contextlib.contextmanager
    def renewing(self, delivery_tag: str | None) -> Iterator[None]:
        """Renew a task's time while it is worked on.

        Args:
            delivery_tag: The transport's name for this delivery; None of a task that came from no
                broker.
        """
        if delivery_tag is None:
            yield
            return
        with self._lock:
            self._tags[delivery_tag] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._tags.pop(delivery_tag, None)

    def get_on(self) -> None:
        """Say that the work gets on: a worker has one task at a time."""
        with self._lock:
            self._tags = dict.fromkeys(self._tags, time.monotonic())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            with self._lock:
                since = time.monotonic() - STALLED_SECONDS
                getting_on = [tag for tag, last in self._tags.items() if last > since]
            scores = dict.fromkeys(getting_on, time.time())
            if not scores:
                continue
            try:
                with broker_calls(_INDEX):
                    self._client.zadd(_INDEX, scores, xx=True)  # what was given away stays so
            except BrokerError as error:
                _LOG.warning("%s; a task may be done twice, which does no harm", error)
