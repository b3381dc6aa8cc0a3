"""How far the index is behind the bucket, how fast it catches up, and what it can't read."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from infra.bucket_metadata import BucketMetadata
from infra.commands.stack_status import look_at_stack
from infra.coverage_words import RECONCILED
from infra.model_versions import ModelRegistryError
from infra.operating import try_again
from infra.status import covered, has_index
from infra.task_names import SWEEP
from infra.task_queue import TaskQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from infra.commands.stack_status import StackFound
    from infra.model_versions import ModelVersion
    from infra.quarantine import QuarantineRecord
    from infra.site import Site

TOLD = 500
"""Refused scans that are told one by one."""

_NO_MODEL = (
    "no model is live yet, so nothing is indexed: an operator names one to begin with (`lithoscope "
    "ingest PATH --encoder dsnn --init imagenet`, or `lithoscope publish RUN`)"
)
_WINDOW_SECONDS = 120.0
"""How long back the rate is taken from."""

_SHARE = 10.0
"""Times as long as a look takes that its answer is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """What is indexed, and what is not yet, or never will be as it is.

    Attributes:
        model: The live model; None where none is.
        problem: Why it can't be told; empty where it can.
        scans: Scans in the bucket; None where only workers know.
        indexed: Scans that are indexed as they are now.
        waiting: Scans that will be without anybody's help.
        behind: Those by what is the matter, as `infra.coverage.Coverage` names it; on a stack as
            the last comparison found it.
        is_complete: Whether a comparison found nothing behind, and nothing waits since.
        compared_seconds_ago: How long ago a stack's last comparison ended; None elsewhere.
        refused: Scans that can't be read, with the reasons; at most `TOLD`.
        tables: What is wrong with metadata tables, one line each.
        per_minute: Scans indexed a minute lately; None where nothing was.
        seconds_left: How long what waits will take at that rate.
        stack: What goes on in the stack; None on a site without one.
    """

    model: str | None = None
    problem: str = ""
    scans: int | None = None
    indexed: int = 0
    waiting: int = 0
    behind: Mapping[str, int] = field(default_factory=dict)
    is_complete: bool = False
    compared_seconds_ago: float | None = None
    refused: tuple[QuarantineRecord, ...] = ()
    tables: tuple[str, ...] = ()
    per_minute: float | None = None
    seconds_left: float | None = None
    stack: StackFound | None = None


class _Count(NamedTuple):
    """How many scans were indexed at a time."""

    at: float
    indexed: int
    model: str | None


class IngestMeter:
    """Looks at a site again and again, as seldom as it costs. Any thread may ask."""

    def __init__(self, site: Site, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at a site.

        Args:
            site: The site.
            clock: Tells the time, in seconds.
        """
        self._site = site
        self._clock = clock
        self._lock = threading.Lock()
        self._last: IngestState | None = None
        self._until = 0.0
        self._counts: deque[_Count] = deque()

    def look(self, *, seconds: float = 2.0) -> IngestState:
        """Say how things are.

        Args:
            seconds: How old the answer may be; it may be older where looking takes long.

        Raises:
            LithoscopeError: The store or the index is away.
        """
        with self._lock:
            began = self._clock()
            if self._last is not None and began < self._until:
                return self._last
            found = _looked(self._site)
            now = self._clock()
            self._last = self._with_rate(found, now)
            self._until = now + max(seconds, _SHARE * (now - began))
            return self._last

    def forget(self) -> None:
        """Look anew at the next question: something was changed."""
        with self._lock:
            self._until = 0.0

    def _with_rate(self, found: IngestState, now: float) -> IngestState:
        counts = self._counts
        if not found.waiting or (counts and counts[0].model != found.model):
            counts.clear()  # a rest says nothing of how fast it goes
        counts.append(_Count(now, found.indexed, found.model))
        while counts[0].at < now - _WINDOW_SECONDS:
            counts.popleft()
        gained, spent = found.indexed - counts[0].indexed, now - counts[0].at
        if gained <= 0 or spent <= 0:
            return found
        rate = gained / spent
        return replace(found, per_minute=60 * rate, seconds_left=found.waiting / rate)


def retry(site: Site, keys: Iterable[str]) -> int:
    """Have refused scans tried again.

    Args:
        site: The site.
        keys: The scans.

    Returns:
        How many there were.

    Raises:
        LithoscopeError: The store or the broker is away.
    """
    count = 0
    for key in dict.fromkeys(keys):
        try_again(site, key)
        count += 1
    if count and site.settings.broker.url is not None:
        with TaskQueue(site.settings) as queue:
            queue.request(SWEEP)
    return count


def _looked(site: Site) -> IngestState:
    stack = look_at_stack(site.settings)
    version, problem = _live(site)
    if version is None:
        scans = None if stack is not None else _count(site)
        return IngestState(problem=problem, scans=scans, waiting=scans or 0, stack=stack)
    if stack is None:
        return _compared(site, version)
    return _told_by_workers(site, version, stack=stack)


def _live(site: Site) -> tuple[ModelVersion | None, str]:
    try:
        version = site.models.live(site.index) if has_index(site) else None
    except ModelRegistryError as error:
        return None, str(error)
    return version, "" if version is not None else _NO_MODEL


def _compared(site: Site, version: ModelVersion) -> IngestState:
    """Compare the whole bucket: one process indexes it, so it is no larger than that."""
    metadata = BucketMetadata.read(site.objects)
    found = covered(site, version, metadata=metadata)
    behind = {name: len(keys) for name in RECONCILED if (keys := getattr(found, name))}
    refused = set(found.quarantined)
    records = (each for each in site.quarantine.records() if each.object_key in refused)
    return IngestState(
        model=version.bundle_id,
        scans=found.objects,
        indexed=found.indexed,
        waiting=sum(behind.values()),
        behind=behind,
        is_complete=found.is_complete and not behind,
        refused=tuple(islice(records, TOLD)) if refused else (),
        tables=metadata.problems,
    )


def _told_by_workers(site: Site, version: ModelVersion, *, stack: StackFound) -> IngestState:
    """Take what workers and their last comparison told: a bucket may hold millions of scans."""
    status = stack.status
    notes = () if status is None else status.sweeps
    note = next((each for each in notes if each.collection == version.collection), None)
    waiting = 0
    if status is not None:
        waiting = sum(each.waiting.keys for each in status.queues) + status.events
    behind = {} if note is None else {k: n for k in RECONCILED if (n := note.states.get(k, 0))}
    return IngestState(
        model=version.bundle_id,
        problem=stack.problem or "",
        scans=None if note is None else note.counts.get("objects"),
        indexed=site.index.open(version.collection).count_scans(),
        waiting=waiting,
        behind=behind,
        is_complete=note is not None and not behind and not waiting,
        compared_seconds_ago=None if note is None else note.seconds_ago,
        refused=tuple(islice(_refused_to(site, version), TOLD)),
        stack=stack,
    )


def _refused_to(site: Site, version: ModelVersion) -> Iterator[QuarantineRecord]:
    """What this model does not index: what another one alone has no vectors for is none of it."""
    return (each for each in site.quarantine.records() if each.holds_for(version.bundle_id))


def _count(site: Site) -> int:
    return sum(len(page) for page in site.objects.pages("scans/"))
