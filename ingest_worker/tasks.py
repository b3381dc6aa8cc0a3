"""The stack's tasks: each hands on to what the embedded commands use as well."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, NoReturn

from celery.exceptions import Reject
from celery.utils.time import get_exponential_backoff_interval

from encoder.errors import LithoscopeError
from infra.broker import BrokerError
from infra.celery_options import FIRST_SENT_HEADER, SENT_HEADER
from infra.logs import log_context
from infra.task_names import BULK, DEEP_SWEEP, ENCODE_BATCH, ROLLOUT, SWEEP
from ingest_worker.faults import OWN_FAULTS
from ingest_worker.feeding import ask_next
from ingest_worker.patience import AWAY
from ingest_worker.stack_worker import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery, Task

    from infra.task_queue import TaskQueue
    from infra.task_renewal import TaskRenewal
    from ingest_worker.stack_worker import StackWorker

_LONGEST_WAIT = 60
_LOG = logging.getLogger(__name__)


def register_tasks(app: Celery, worker: StackWorker, *, renewal: TaskRenewal) -> None:
    """Give an application its tasks.

    Args:
        app: The application.
        worker: Does the work.
        renewal: Keeps tasks from being given to another worker meanwhile.
    """
    worker.on_progress = renewal.get_on

    def encode_batch(task: Task, *, keys: list[str], collection: str) -> dict[str, int]:
        is_bulk = task.request.delivery_info.get("routing_key") == BULK
        batch = Batch(
            keys=tuple(keys),
            collection=collection,
            is_suspect=bool(task.request.delivery_info.get("redelivered")),
            is_bulk=is_bulk,
        )
        with _running(task, renewal):
            try:
                counts = worker.encode(batch)
            except OWN_FAULTS as error:
                with _standing_back(worker, error):
                    with contextlib.suppress(*AWAY):
                        worker.queue.keep(batch.keys, collection=collection, bulk=is_bulk)
                    _again(task, error, queue=worker.queue)
            worker.faults.succeed()
            with contextlib.suppress(BrokerError):  # the timetable asks as well
                ask_next(worker.settings, worker.queue, collection=collection, is_bulk=is_bulk)
            _LOG.info("%s: %s", collection, counts)
            return counts

    def sweep(task: Task, prefix: str | None = None, *, by_timetable: bool = False) -> None:
        from ingest_worker.sweep import run_sweep  # noqa: PLC0415  heavy

        asked = None if by_timetable else task.request.get(SENT_HEADER)
        with _running(task, renewal), _again_if_away(task, worker.queue):
            run_sweep(worker.site, worker.queue, prefix=prefix, asked=asked)

    def deep_sweep(task: Task) -> None:
        from ingest_worker.deep_sweep import run_deep_sweep  # noqa: PLC0415  heavy

        with _running(task, renewal), _again_if_away(task, worker.queue):
            run_deep_sweep(worker.site, worker.queue)

    def rollout(task: Task) -> None:
        from ingest_worker.rollout import run_rollout  # noqa: PLC0415  heavy

        with _running(task, renewal), _again_if_away(task, worker.queue):
            run_rollout(worker.site, worker.queue)

    for name, function in {
        ENCODE_BATCH: encode_batch,
        SWEEP: sweep,
        DEEP_SWEEP: deep_sweep,
        ROLLOUT: rollout,
    }.items():
        app.task(function, name=name, bind=True, max_retries=None, throws=(LithoscopeError,))


@contextlib.contextmanager
def _running(task: Task, renewal: TaskRenewal) -> Iterator[None]:
    """Renew a task's time, and name it in every line that is logged meanwhile."""
    tag: Any = task.request.properties.get("delivery_tag")
    with log_context(task=task.request.id), renewal.renewing(tag):
        try:
            yield
        except LithoscopeError as error:
            _LOG.error("%s", error)
            raise


@contextlib.contextmanager
def _standing_back(worker: StackWorker, error: Exception) -> Iterator[None]:
    """Give a task back first, and then stand back, unless a service is away from everybody."""
    try:
        yield
    finally:
        if not isinstance(error, AWAY):
            worker.faults.stand_back(error)


@contextlib.contextmanager
def _again_if_away(task: Task, queue: TaskQueue) -> Iterator[None]:
    try:
        yield
    except AWAY as error:
        _again(task, error, queue=queue)


def _again(task: Task, error: Exception, *, queue: TaskQueue) -> NoReturn:
    """Have a task done again, later each time and never in step with others.

    Raises:
        Retry: It was sent again, and this one is done.
        Reject: It could not be sent again, and goes back to its queue as it is.
    """
    wait = get_exponential_backoff_interval(
        factor=1, retries=task.request.retries, maximum=_LONGEST_WAIT, full_jitter=True
    )
    _LOG.warning("%s; trying again in %d s", error, wait)
    # The queue's order goes by the one; how long scans have waited, by the other.
    first = task.request.get(FIRST_SENT_HEADER) or task.request.get(SENT_HEADER)
    headers = {FIRST_SENT_HEADER: first}
    with contextlib.suppress(*AWAY):
        headers[SENT_HEADER] = queue.now()
    try:
        raise task.retry(exc=error, countdown=wait, headers=headers)
    except Reject as rejection:
        raise Reject(rejection.reason, requeue=True) from error
