"""What lies in the broker, as metrics: looked at whenever they are asked for, by the scheduler."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.broker import BrokerError
from infra.metrics import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.heartbeats import ServiceWord
    from infra.stack_status import StackStatus, StackView

_FIGURES = {
    "broker_up": ("1 where the broker answers; without it there are no other figures of it.", []),
    "queue_tasks": ("Tasks of a queue; state: waiting or running.", ["queue", "state"]),
    "queue_keys": ("Scans of a queue, those that workers have included.", ["queue"]),
    "queue_oldest_seconds": ("Age of a queue's oldest task; 0 without any.", ["queue"]),
    "events_waiting": ("Events of the bucket that are not in a queue yet.", []),
    "events_damaged": ("Events that can't be read, and are kept.", []),
    "services": ("Services by state: ready, not_ready or silent.", ["service", "state"]),
    "scans": ("Scans by state, as the last comparison found.", ["collection", "state"]),
    "sweep_age_seconds": ("Time since the last comparison ended.", ["collection"]),
}

_LOG = logging.getLogger(__name__)


class StackCollector(Collector):
    """Gives the figures; any thread may ask."""

    def __init__(self, view: StackView) -> None:
        """Look through a view, which stays its owner's."""
        self._view = view
        self._lock = threading.Lock()

    def describe(self) -> list[GaugeMetricFamily]:
        """Name the figures without looking."""
        return [*_families().values()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look, and give the figures; where the broker is away, only that it is."""
        found = _families()
        try:
            with self._lock:
                status = self._view.look()
        except BrokerError as error:
            _LOG.warning("%s", error)
            found["broker_up"].add_metric([], 0)
            yield found["broker_up"]
            return
        found["broker_up"].add_metric([], 1)
        _fill(found, status)
        yield from found.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels)
        for name, (text, labels) in _FIGURES.items()
    }


def _fill(found: dict[str, GaugeMetricFamily], status: StackStatus) -> None:
    for queue in status.queues:
        found["queue_tasks"].add_metric([queue.name, "waiting"], queue.waiting.tasks)
        found["queue_tasks"].add_metric([queue.name, "running"], queue.waiting.running)
        found["queue_keys"].add_metric([queue.name], queue.waiting.keys)
        found["queue_oldest_seconds"].add_metric([queue.name], queue.oldest_seconds or 0.0)
    found["events_waiting"].add_metric([], status.events)
    found["events_damaged"].add_metric([], status.damaged)
    states = Counter((word.service, _state(word)) for word in status.services)
    states.update({(name, "ready"): 0 for name in status.lacking})
    for labels, count in states.items():
        found["services"].add_metric(labels, count)
    for sweep in status.sweeps:
        for state, count in sweep.states.items():
            found["scans"].add_metric([sweep.collection, state], count)
        found["sweep_age_seconds"].add_metric([sweep.collection], sweep.seconds_ago)


def _state(word: ServiceWord) -> str:
    if word.is_silent:
        return "silent"
    return "not_ready" if word.away else "ready"
