"""The stack's reconciliation: whatever events were lost, it finds what they would have told.

Notifications make the stack fast, and may be lost; the sweep makes it right. It compares the bucket
with the live collection and sends the workers what differs; a collection that is being filled is
looked after by `ingest_worker.rollout` in the same way.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from infra.broker import open_broker
from infra.bucket_metadata import BucketMetadata
from infra.coverage_words import DIFFERENCES
from infra.fed_collections import fed_collections
from infra.model_versions import ModelRegistryError
from infra.readiness import LOST
from infra.rollout import current_rollout
from infra.sweep_notes import SweepNotes
from ingest_worker.feeding import Feeder, Pass, Passes
from ingest_worker.models import reopen_target

if TYPE_CHECKING:
    from redis import Redis

    from infra.site import Site
    from infra.task_queue import TaskQueue
    from ingest_worker.models import Target

_NOTED = ("indexed", *DIFFERENCES, "quarantined", LOST)
_LOG = logging.getLogger(__name__)


def run_sweep(
    site: Site, queue: TaskQueue, *, prefix: str | None = None, asked: float | None = None
) -> Pass | None:
    """Take a step of the live collection's sweep.

    Args:
        site: The site.
        queue: The stack's queues.
        prefix: Only what begins with this, at once and beside the passes; None for all.
        asked: When somebody asked for a new pass, in seconds since 1970: it begins unless one began
            since, or once the one that is under way is finished. None for the timetable: a finished
            one is begun again after ``LITHOSCOPE_WORK__SWEEP_SECONDS``.

    Returns:
        How far the pass is; None where there was nothing to be done.

    Raises:
        LithoscopeError: A service is away: the next step goes on.
    """
    target = _live_target(site)
    if target is None:
        return None
    name = target.collection.name
    rollout = current_rollout(site.objects)
    with closing(open_broker(site.settings)) as client:
        passes = Passes(client)
        if asked is not None and prefix is None:
            passes.ask(name, asked)
        if rollout is not None and rollout.collection == name:
            return None  # it is being caught up, at lower priority; what was asked for comes after
        feeder = Feeder(target=target, queue=queue, passes=passes, is_bulk=False, prefix=prefix)
        if prefix is not None:
            return feeder.step(Pass(began=passes.now()), BucketMetadata.read(site.objects))
        pause = None if asked is not None else site.settings.work.sweep_seconds
        told = due_pass(passes.read(name), asked=passes.asked(name), pause=pause, now=passes.now())
        return None if told is None else take_step(feeder, told, client=client)


def due_pass(
    last: Pass | None, *, asked: float | None, pause: float | None, now: float
) -> Pass | None:
    """The pass that a step is to be taken of; None where none is due.

    Args:
        last: The last pass. One that is under way goes on: to begin it anew again and again would
            keep it from the scans that come last. What was asked for meanwhile comes after it.
        asked: When a new one was last asked for, in seconds since 1970, or None.
        pause: Seconds between a pass's beginning, once it is finished, and the next one's; None
            where none begins unless it is asked for.
        now: The broker's time, in seconds since 1970.
    """
    if last is None:
        return Pass(began=now)
    if last.finished is None:
        return last
    is_asked = asked is not None and last.began < asked
    is_time = pause is not None and now - last.began >= pause
    number = 1 if is_asked else last.number + 1
    return Pass(began=now, number=number) if is_asked or is_time else None


def take_step(feeder: Feeder, told: Pass, *, client: Redis) -> Pass | None:
    """Take a step of a pass, unless another worker does, and note what a finished one found.

    Raises:
        LithoscopeError: A service is away: the next step goes on.
    """
    name, passes = feeder.target.collection.name, feeder.passes
    if not passes.hold(name):
        return None
    try:
        told = feeder.step(told, BucketMetadata.read(feeder.target.site.objects))
    finally:
        passes.release(name)
    if told.finished is not None:
        _forget_others(feeder.target.site, SweepNotes(client))
        found = {word: told.counts.get(word, 0) for word in _NOTED} | {"in_flight": told.in_flight}
        SweepNotes(client).write(name, found)
        _LOG.info("collection %s compared: %s; %d sent", name, found, told.sent)
    return told


def _forget_others(site: Site, notes: SweepNotes) -> None:
    """Have nobody told any more what was found of collections that are not fed since."""
    fed = fed_collections(site)
    for note in notes.read():
        if note.collection not in fed:
            notes.forget(note.collection)


def _live_target(site: Site) -> Target | None:
    try:
        version = site.models.live(site.index)
    except ModelRegistryError as error:
        _LOG.error("%s", error)
        return None
    return None if version is None else reopen_target(site, version, adopt=False)
