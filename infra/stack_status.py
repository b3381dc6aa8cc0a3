"""What goes on in the stack, as its broker tells: queues, events, services, comparisons."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.broker import open_broker
from infra.event_journal import EventJournal
from infra.heartbeats import service_words
from infra.sweep_notes import SweepNotes
from infra.task_names import QUEUES
from infra.task_queue import TaskQueue

if TYPE_CHECKING:
    from typing import Self

    from infra.heartbeats import ServiceWord
    from infra.settings import Settings
    from infra.sweep_notes import SweepNote
    from infra.task_queue import Waiting

SERVICES = ("dispatcher", "scheduler", "worker")
"""Services without which nothing, or not everything, gets into the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """What there is to do in a queue.

    Attributes:
        name: The queue.
        waiting: How much.
        oldest_seconds: Age of its oldest task, those that workers have included; None without any.
    """

    name: str
    waiting: Waiting
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """What goes on in the stack.

    Attributes:
        queues: Its queues, the most urgent first.
        events: Notifications of the bucket that are not in a queue yet.
        damaged: Notifications that can't be read, and are kept.
        services: What services said last.
        sweeps: What the last comparison of each collection found.
    """

    queues: tuple[QueueStatus, ...]
    events: int
    damaged: int
    services: tuple[ServiceWord, ...]
    sweeps: tuple[SweepNote, ...]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Services of which none runs."""
        running = {word.service for word in self.services if not word.is_silent}
        return tuple(name for name in SERVICES if name not in running)


class StackView:
    """Looks at the stack, again and again. A context manager; for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Open what is looked at; nothing is asked yet.

        Raises:
            SettingsError: No broker is set.
        """
        self._opened = ExitStack()
        self._queue = self._opened.enter_context(TaskQueue(settings))
        self._client = self._opened.enter_context(closing(open_broker(settings)))
        self._journal = EventJournal(self._client, settings.broker.events_key)

    def look(self) -> StackStatus:
        """Look once.

        Raises:
            BrokerAwayError: The broker does not answer.
            BrokerError: It refuses.
        """
        queues = tuple(
            QueueStatus(
                name=name,
                waiting=self._queue.waiting(name),
                oldest_seconds=self._queue.oldest_seconds(name),
            )
            for name in QUEUES
        )
        return StackStatus(
            queues=queues,
            events=self._journal.waiting(),
            damaged=self._journal.damaged(),
            services=tuple(service_words(self._client)),
            sweeps=tuple(SweepNotes(self._client).read()),
        )

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
