"""Sending the workers what a collection lacks, by a comparison in steps.

A *pass* compares the whole bucket with one collection, part by part. It stops while the queue has
enough to do, and after a minute, so that it never keeps a worker long; where it was left is kept in
the broker, and the next step goes on there, in whichever worker. A broker that forgets it only has
the pass begin anew. What is on its way already is never sent again.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from infra.broker import broker_calls, open_broker
from infra.coverage import SCANS
from infra.coverage_words import DIFFERENCES, RECONCILED
from infra.readiness import LOST
from infra.store_keys import key_bytes
from infra.task_names import BULK, ENCODE, ROLLOUT, SWEEP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import Any

    from redis import Redis

    from infra.bucket_metadata import BucketMetadata
    from infra.coverage_pages import CoveragePage
    from infra.settings import Settings
    from infra.task_queue import TaskQueue
    from ingest_worker.models import Target

STEP_SECONDS = 60.0
"""A step ends with the part that it compares after so long."""

FIRST_PART = 1000
"""Objects of a step's first part."""

COMING = "coming"
"""Name of scans that came, changed or went so lately that the live collection is behind, too."""

_LOCK_SECONDS = 120.0
"""A worker that died in a step keeps others from the next one for so long at most."""

_PASS_KEY = "lithoscope:pass"  # noqa: S105  a key of the broker
_ASKED_KEY = "lithoscope:pass-asked"
_WAITING_KEY = "lithoscope:pass-waits"

_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

_COUNTED = (*DIFFERENCES, "quarantined")
_LOG = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Pass:
    """A comparison of the whole bucket with a collection, finished or under way.

    Attributes:
        began: When, in seconds since 1970.
        after: Key that it goes on after.
        finished: When, or None.
        number: How many were made since one was asked for, this one included.
        sent: Scans that it had brought up to date.
        in_flight: Scans that were on their way already.
        counts: What was found, by the names of `infra.coverage.Coverage`; `LOST` is what a switch
            to the collection would lose, `COMING` what is behind in the live one as well.
    """

    began: float
    after: str = ""
    finished: float | None = None
    number: int = 1
    sent: int = 0
    in_flight: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether it found nothing to do but what is coming, nor what a switch would lose."""
        waits = self.behind > self.counts.get(COMING, 0)
        return self.finished is not None and not waits and not self.counts.get(LOST)

    @property
    def behind(self) -> int:
        """Scans that it found to be brought up to date."""
        return sum(self.counts.get(name, 0) for name in RECONCILED)


class Passes:
    """The passes over each collection, kept in the broker."""

    def __init__(self, client: Redis) -> None:
        """Keep them in a broker."""
        self._client = client
        self._token = uuid.uuid4().hex

    def now(self) -> float:
        """The broker's clock, in seconds since 1970: those of machines need not agree.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_PASS_KEY):
            seconds, microseconds = self._client.time()
        return float(seconds) + float(microseconds) / 1e6

    def ask(self, collection: str, when: float) -> None:
        """Ask for a new pass over a collection, whatever is under way.

        Args:
            collection: The collection.
            when: When that was asked, in seconds since 1970.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_ASKED_KEY):
            self._client.hset(_ASKED_KEY, collection, str(when))

    def asked(self, collection: str) -> float | None:
        """When a new pass over a collection was last asked for; None if never.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_ASKED_KEY):
            found: Any = self._client.hget(_ASKED_KEY, collection)
        return None if found is None else float(found)

    def read(self, collection: str) -> Pass | None:
        """The last pass over a collection; None where none is known, or it can't be read.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_PASS_KEY):
            found: Any = self._client.hget(_PASS_KEY, collection)
        try:
            return None if found is None else Pass(**json.loads(found))
        except (ValueError, TypeError) as error:
            _LOG.warning("%s, %s: can't be read (%s); begun anew", _PASS_KEY, collection, error)
            return None

    def write(self, collection: str, told: Pass) -> None:
        """Keep how far a pass is.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_PASS_KEY):
            self._client.hset(_PASS_KEY, collection, json.dumps(asdict(told)))

    def forget(self, collection: str) -> None:
        """Have the next pass over a collection begin at once.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_PASS_KEY):
            self._client.hdel(_PASS_KEY, collection)

    def hold(self, collection: str) -> bool:
        """Keep other workers from a collection's pass for a while, or for a while longer.

        Returns:
            Whether nobody else holds it.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        name = f"{_PASS_KEY}:{collection}"
        milliseconds = int(1000 * _LOCK_SECONDS)
        with broker_calls(name):
            return bool(self._client.eval(_HOLD, 1, name, self._token, str(milliseconds)))

    def wait(self, collection: str) -> None:
        """Note that a pass has more to send than the queue may take.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_WAITING_KEY):
            self._client.sadd(_WAITING_KEY, collection)

    def waits(self, collection: str) -> bool:
        """Whether that was noted.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_WAITING_KEY):
            return bool(self._client.sismember(_WAITING_KEY, collection))

    def go_on(self, collection: str) -> bool:
        """Note that a pass is gone on with; tells whether it waited, to one who asks only.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        with broker_calls(_WAITING_KEY):
            return bool(self._client.srem(_WAITING_KEY, collection))

    def release(self, collection: str) -> None:
        """Let others go on, unless one of them does already.

        Raises:
            BrokerAwayError: The broker does not answer.
        """
        name = f"{_PASS_KEY}:{collection}"
        with broker_calls(name):
            self._client.eval(_RELEASE, 1, name, self._token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """Feeds a collection with what it lacks.

    Attributes:
        target: The collection.
        queue: The stack's queues.
        passes: Its passes.
        is_bulk: Whether what it lacks has time.
        prefix: Only scans whose keys begin with this; None for all.
        count: Counts what else there is to know of a page: `LOST`, `COMING`.
    """

    target: Target
    queue: TaskQueue
    passes: Passes
    is_bulk: bool
    prefix: str | None = None
    count: Callable[[CoveragePage], Mapping[str, int]] = lambda _: {}

    def step(self, told: Pass, metadata: BucketMetadata) -> Pass:
        """Go on with a pass, until the queue has enough to do, or a minute is over.

        Args:
            told: How far it is; changed.
            metadata: The bucket's tables.

        Raises:
            LithoscopeError: A service is away: the next step goes on.
        """
        name = self.target.collection.name
        deadline = time.monotonic() + STEP_SECONDS
        found = _Counts()
        if self.prefix is None:
            self.passes.go_on(name)
        with closing(self._pages(told, metadata)) as pages:
            for page in pages:
                for lapsed in page.lapsed.values():  # before a worker refuses its scan anew
                    self.target.site.quarantine.drop_judged(lapsed)
                sent, in_flight, is_whole = self._send(page)
                told.sent += sent
                found.take(page, others=self.count(page), in_flight=in_flight)
                if is_whole and page.up_to != told.after:
                    found.settle(told)
                    told.after = page.up_to or ""
                    told.finished = self.passes.now() if page.up_to is None else None
                is_ours = self.prefix is not None or self._keep(told, is_whole=is_whole)
                if not is_ours or not is_whole or time.monotonic() > deadline:
                    break  # a part that was not sent whole is looked at again
        return told

    def _keep(self, told: Pass, *, is_whole: bool) -> bool:
        """Keep how far a pass is, unless another worker took it for abandoned and goes on."""
        name = self.target.collection.name
        if not self.passes.hold(name):
            return False
        self.passes.write(name, told)
        if not is_whole:
            self.passes.wait(name)
        return True

    def _pages(self, told: Pass, metadata: BucketMetadata) -> Generator[CoveragePage, None, None]:
        comparison = self.target.comparison(metadata, prefix=self.prefix or SCANS)
        return comparison.pages(start_after=told.after, first=FIRST_PART)

    def _send(self, page: CoveragePage) -> tuple[int, int, bool]:
        """Send what is to be done, as far as the queue may take it.

        Returns:
            Scans that were sent, that are on their way already, and whether that was all.
        """
        name = self.target.collection.name
        todo = sorted(_todo(page), key=key_bytes)
        if not todo:
            return 0, 0, True
        flying = self.queue.are_in_flight(todo, collection=name)
        fresh = [key for key in todo if key not in flying]
        waiting = self.queue.waiting(BULK if self.is_bulk else ENCODE).keys
        room = max(self.target.site.settings.work.low_water - waiting, 0)
        self.queue.send(fresh[:room], collection=name, bulk=self.is_bulk)
        return len(fresh[:room]), len(flying), len(fresh) <= room


def ask_next(settings: Settings, queue: TaskQueue, *, collection: str, is_bulk: bool) -> None:
    """Have a pass gone on with that waits for room, once half of the room is there.

    Called by a worker after each task: by the timetable alone workers would run out of work.

    Args:
        settings: The settings.
        queue: The stack's queues.
        collection: The collection that the task was about.
        is_bulk: Whether the task had time.

    Raises:
        BrokerAwayError: The broker does not answer; the timetable asks as well.
    """
    with closing(open_broker(settings)) as client:
        passes = Passes(client)
        if not passes.waits(collection):
            return
        waiting = queue.waiting(BULK if is_bulk else ENCODE).keys
        if waiting > settings.work.low_water // 2 or not passes.go_on(collection):
            return
    if is_bulk:
        queue.request(ROLLOUT)
    else:
        queue.request(SWEEP, by_timetable=True)


@dataclass(slots=True)
class _Counts:
    """What was found since a pass last got on."""

    found: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0

    def take(self, page: CoveragePage, *, others: Mapping[str, int], in_flight: int) -> None:
        numbers = {"objects": page.objects, "indexed": page.indexed, "slices": page.slices}
        numbers |= {name: len(page.keys[name]) for name in _COUNTED if name != "orphaned"}
        numbers |= {"orphaned": len(page.orphaned), "lapsed": len(page.lapsed), **others}
        for name, number in numbers.items():
            self.found[name] = self.found.get(name, 0) + number
        self.in_flight += in_flight

    def settle(self, told: Pass) -> None:
        for name, number in self.found.items():
            told.counts[name] = told.counts.get(name, 0) + number
        told.in_flight += self.in_flight
        self.found, self.in_flight = {}, 0


def _todo(page: CoveragePage) -> Iterator[str]:
    for name in RECONCILED:
        yield from page.orphaned if name == "orphaned" else page.keys[name]
