"""Bringing a published model into use: its collection is filled, then made live, then caught up.

What is filled comes behind what people upload. The switch is made once a comparison of the whole
bucket found nothing missing, and nothing that searches would lose. What the live collection lacks
as well does not keep it waiting, or there would be no switch while people upload. From then on the
collection is caught up in the same way, until all that is left to be done are uploads. Rolling back
is noted, and a switch at once: its rollout begins with the catching up.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from infra.broker import open_broker
from infra.coverage import Coverage
from infra.lookup import records_of
from infra.model_versions import ModelRegistryError
from infra.readiness import LOST, readiness
from infra.rollout import current_rollout, end_rollout
from infra.task_names import BULK, ROLLOUT
from ingest_worker.feeding import COMING, Feeder, Passes
from ingest_worker.models import reopen_target
from ingest_worker.sweep import due_pass, take_step

if TYPE_CHECKING:
    from redis import Redis

    from infra.coverage_pages import CoveragePage
    from infra.model_versions import ModelVersion
    from infra.rollout import Rollout
    from infra.site import Site
    from infra.task_queue import TaskQueue
    from ingest_worker.feeding import Pass
    from ingest_worker.models import Target

_SOON = 5.0
"""Seconds between two passes while there is something to do."""

_PASSES = 3
"""After so many the catching up is over in any case: some scans may never be settled."""

_FEW = 1000
"""Of a part that lacks more, nobody need know whether the live collection lacks it as well."""

_LOG = logging.getLogger(__name__)


def run_rollout(site: Site, queue: TaskQueue) -> Pass | None:
    """Take a step of the rollout, if there is one.

    Args:
        site: The site.
        queue: The stack's queues.

    Returns:
        How far its pass is; None where there was nothing to be done.

    Raises:
        LithoscopeError: A service is away: the next step goes on.
    """
    rollout = current_rollout(site.objects)
    if rollout is None or (version := _version(site, rollout)) is None:
        return None
    target = reopen_target(site, version)  # where nothing is live, there is nothing to lose
    with closing(open_broker(site.settings)) as client:
        told = _step(target, queue, client=client, since=rollout.since.timestamp())
        if told is not None and _is_done(told, target, queue=queue):
            _go_on(target, rollout, queue=queue, passes=Passes(client))
        return told


def _version(site: Site, rollout: Rollout) -> ModelVersion | None:
    """The model of a rollout; None where that is to be mended, or its collection was dropped."""
    if rollout.collection not in site.index.collections():
        _LOG.warning("%s: its collection was dropped; its rollout is given up", rollout.model)
        end_rollout(site.objects, rollout)
        return None
    try:
        return site.models.find(rollout.model)
    except ModelRegistryError as error:
        _LOG.error("rollout: %s", error)
        return None


def _step(target: Target, queue: TaskQueue, *, client: Redis, since: float) -> Pass | None:
    passes = Passes(client)
    last = passes.read(target.collection.name)
    is_busy = last is not None and bool(last.sent or last.in_flight)
    pause = _SOON if is_busy else target.site.settings.work.sweep_seconds
    told = due_pass(last, asked=since, pause=pause, now=passes.now())
    feeder = Feeder(
        target=target,
        queue=queue,
        passes=passes,
        is_bulk=True,
        count=lambda page: {LOST: _lost(target, page), COMING: _coming(target, page)},
    )
    return None if told is None else take_step(feeder, told, client=client)


def _lost(target: Target, page: CoveragePage) -> int:
    """Scans of a page that a switch to a collection would lose."""
    if target.is_live or not page.keys["quarantined"]:
        return 0
    coverage = Coverage(objects=0, indexed=0, slices=0, quarantined=tuple(page.keys["quarantined"]))
    found = readiness(target.site, coverage, collection=target.collection.name).missing
    return len(found.get(LOST, ()))


def _coming(target: Target, page: CoveragePage) -> int:
    """Scans of a page that the live collection is behind with as well: no switch loses them."""
    index = target.site.index
    live = index.live()
    keys = [*page.new, *page.keys["changed"], *page.orphaned]
    if target.is_live or live is None or not 0 < len(keys) <= _FEW:
        return 0
    former, ours = records_of(index.open(live), keys), records_of(target.collection, keys)

    def is_behind(key: str) -> bool:
        there, here = former.get(key), ours.get(key)
        if key in page.new:
            return there is None or there.etag != page.new[key]
        return there is None if here is None else there is not None and there.etag == here.etag

    return sum(map(is_behind, keys))


def _is_done(told: Pass, target: Target, *, queue: TaskQueue) -> bool:
    """Whether a pass found that the next thing can be done: the switch, or to be over.

    What a collection that is live still lacks then, the sweep sees to.
    """
    if told.is_clean:
        return True
    if not target.is_live or told.finished is None:
        return False
    return told.number >= _PASSES or not (told.sent or queue.waiting(BULK).keys)


def _go_on(target: Target, rollout: Rollout, *, queue: TaskQueue, passes: Passes) -> None:
    """Make a collection live that misses nothing, or end a rollout whose collection is."""
    site = target.site

    def is_asked_for() -> bool:
        return current_rollout(site.objects) == rollout

    if not is_asked_for():
        return  # another one was, meanwhile
    if target.is_live:
        end_rollout(site.objects, rollout)
        _LOG.info("%s is live, and misses nothing", rollout.model)
        return
    is_made = site.models.switch(
        site.index, target.version, is_back=rollout.is_back, is_asked_for=is_asked_for
    )
    if not is_made:
        return  # whoever switches notes that first
    _LOG.info("%s is live; what came since is looked for", rollout.model)
    passes.forget(target.collection.name)
    queue.request(ROLLOUT)
