"""What ``status`` tells of a stack: services, queues, events, comparisons."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.broker import BrokerError
from infra.coverage_words import counted
from infra.stack_status import SERVICES, StackView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.heartbeats import ServiceWord
    from infra.settings import Settings
    from infra.stack_status import QueueStatus, StackStatus

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
_COMMANDS = {"dispatcher": "dispatch", "scheduler": "scheduler", "worker": "worker"}


@dataclass(frozen=True, slots=True)
class StackFound:
    """What was found of a stack.

    Attributes:
        status: What goes on; None where the broker does not tell.
        problem: Why it does not; None where it does.
    """

    status: StackStatus | None
    problem: str | None


def look_at_stack(settings: Settings) -> StackFound | None:
    """Look at the stack; None on a site without a broker."""
    if settings.broker.url is None:
        return None
    with StackView(settings) as view:
        try:
            return StackFound(view.look(), None)
        except BrokerError as error:
            return StackFound(None, str(error))


def stack_lines(found: StackFound) -> Iterator[tuple[str, str]]:
    """Give a label and a text for each line."""
    if found.problem is not None:
        yield "broker", found.problem
    if (status := found.status) is None:
        return
    yield from _services(status)
    for number, queue in enumerate(status.queues):
        yield "" if number else "queues", _queue_text(queue)
    events = counted(status.events, "event")
    yield "events", f"{events} not in a queue yet" if status.events else "all are passed on"
    if status.damaged:
        yield "", f"{counted(status.damaged, 'event')} can't be read, and kept"
    for number, sweep in enumerate(status.sweeps):
        counts = ", ".join(f"{count:,} {name}" for name, count in sweep.states.items() if count)
        told = f"{sweep.collection}, {duration(sweep.seconds_ago)} ago: {counts or 'no scans'}"
        yield "" if number else "sweep", told
    if not status.sweeps:
        yield "sweep", "none has ended yet"


def stack_facts(found: StackFound | None) -> dict[str, Any] | None:
    """Give what programs are told."""
    if found is None:
        return None
    told: dict[str, Any] = {"broker_problem": found.problem}
    if (status := found.status) is None:
        return told
    return told | {
        "services": [asdict(word) | {"is_silent": word.is_silent} for word in status.services],
        "lacking": list(status.lacking),
        "queues": [
            {
                "name": queue.name,
                **queue.waiting._asdict(),
                "oldest_seconds": queue.oldest_seconds,
            }
            for queue in status.queues
        ],
        "events": status.events,
        "damaged": status.damaged,
        "sweeps": [
            {
                "collection": sweep.collection,
                "counts": dict(sweep.counts),
                "seconds_ago": sweep.seconds_ago,
            }
            for sweep in status.sweeps
        ],
    }


def duration(seconds: float) -> str:
    """Give a time for people, in the largest unit that it has one of."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _services(status: StackStatus) -> Iterator[tuple[str, str]]:
    running = Counter(word.service for word in status.services if not word.is_silent)
    told = [f"{name} {running[name]}" for name in dict.fromkeys((*SERVICES, *running))]
    yield "services", ", ".join(told)
    for name in status.lacking:
        yield "", f"no {name} runs: `lithoscope {_COMMANDS[name]}`, or see its log"
    for word in status.services:
        if fault := _fault(word):
            yield "", f"{word.service} {word.place}: {fault}"


def _fault(word: ServiceWord) -> str | None:
    if word.is_silent:
        return f"silent for {duration(word.seconds_ago)}"
    return f"no answer from {', '.join(word.away)}" if word.away else None


def _queue_text(queue: QueueStatus) -> str:
    tasks, running, keys = queue.waiting
    parts = []
    if keys:
        parts.append(f"{counted(keys, 'scan')} in {counted(tasks + running, 'task')}")
    elif tasks + running:
        parts.append(counted(tasks + running, "task"))
    if running:
        parts.append(f"{running:,} running")
    if queue.oldest_seconds is not None:
        parts.append(f"oldest {duration(queue.oldest_seconds)}")
    return f"{queue.name}: {', '.join(parts) or 'nothing'}"
