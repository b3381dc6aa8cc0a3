"""What services count and time, for Prometheus. Every name begins with ``lithoscope_``.

Each figure is fed from one place, which the definitions name. What lies in the broker is not
counted here but looked at when it is asked for: `infra.stack_metrics`.

One process of a service answers for itself; Prometheus adds up those of several containers.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "lithoscope_"

Stage = Literal["fetch", "decode", "encode", "commit"]
"""Steps that every scan goes through."""

_SCAN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_WAIT_SECONDS = (0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)

OBJECTS = Counter(
    f"{PREFIX}objects",
    "Objects that were settled, by outcome.",  # ingest_worker.measuring
    ["outcome"],
)
SLICES = Counter(f"{PREFIX}slices", "Slices that were encoded and committed.")
FAULTS = Counter(f"{PREFIX}faults", "Objects that were quarantined, by kind of fault.", ["fault"])
SEARCHABLE_SECONDS = Histogram(
    f"{PREFIX}upload_to_searchable_seconds",
    "Time from an upload, as the store tells it, to the commit in the live collection.",
    buckets=_WAIT_SECONDS,
)
STAGE_SECONDS = Histogram(
    f"{PREFIX}stage_seconds",
    "Time of each stage: fetch and decode of one scan, encode and commit of several together.",
    ["stage"],
    buckets=_SCAN_SECONDS,
)
BUSY_SECONDS = Counter(
    f"{PREFIX}device_busy_seconds",
    "Time that the device was encoding: its rate is the share that it is busy.",
    ["device"],
)
MODEL = Gauge(
    f"{PREFIX}model_info",
    "1 for each model that this service has open; role: live, filling or former.",
    ["model", "role"],
)
EVENTS = Counter(
    f"{PREFIX}events",
    "Events of the bucket that were taken up, by kind: put, removed or damaged.",
    ["kind"],
)
EVENT_LAG_SECONDS = Histogram(
    f"{PREFIX}event_lag_seconds",
    "Time from an event in the bucket to its task in the queue.",
    buckets=_WAIT_SECONDS,
)
SENT_KEYS = Counter(
    f"{PREFIX}sent_keys", "Keys that were sent to a queue, those of a sweep too.", ["queue"]
)


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Time a stage, whether it succeeds or not."""
    began = time.monotonic()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(stage).observe(time.monotonic() - began)


@contextmanager
def busy(device: str) -> Iterator[None]:
    """Time an encoding, as a stage and as its device's work.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    began = time.monotonic()
    try:
        with timed("encode"):
            yield
    finally:
        BUSY_SECONDS.labels(device).inc(time.monotonic() - began)


def tell_models(roles: dict[str, str]) -> None:
    """Tell which models a service has open, in place of those that were told before.

    Args:
        roles: ``live``, ``filling`` or ``former`` by the bundle's id.
    """
    MODEL.clear()
    for model, role in roles.items():
        MODEL.labels(model, role).set(1)


def tell_event(kind: Literal["put", "removed", "damaged"], *, stored: float | None = None) -> None:
    """Count an event once its task is in the queue, or once it was found to be damaged.

    Args:
        kind: What happened.
        stored: When, in seconds since 1970; None where that can't be told.
    """
    EVENTS.labels(kind).inc()
    if stored is not None:
        EVENT_LAG_SECONDS.observe(max(time.time() - stored, 0.0))
