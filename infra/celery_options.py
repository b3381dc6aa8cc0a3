"""How Celery is set, for those who send tasks and those who work on them alike.

What is set here keeps tasks from being lost or run twice when a part of the stack dies.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import before_task_publish
from kombu.entity import Queue

from infra.broker import ANSWER_SECONDS, CONNECT_SECONDS, HEALTH_SECONDS, broker_url
from infra.task_names import ENCODE, QUEUES

if TYPE_CHECKING:
    from infra.settings import Settings

SENT_HEADER = "lithoscope_sent"
"""Header of every task: when it was sent, in seconds since 1970. It is the broker's clock wherever
scans are sent, and the scheduler's own for what it sends by its timetable."""

FIRST_SENT_HEADER = "lithoscope_first_sent"
"""Header of a task that is tried again: when it was sent for the first time."""

_RESTORE_SECONDS = 10
_MUTEX_SECONDS = 30
"""A worker that dies while it looks for abandoned tasks keeps others from it for so long."""


def celery_app(settings: Settings) -> Celery:
    """Make a Celery application; nothing is asked of the broker yet.

    Raises:
        SettingsError: No broker is set.
    """
    app = Celery("lithoscope", broker=broker_url(settings), set_as_current=False)
    app.conf.update(celery_options(settings))
    return app


def celery_options(settings: Settings) -> dict[str, Any]:
    """Give Celery's settings, but for the broker's address."""
    transport = {
        "visibility_timeout": settings.broker.visibility_seconds,
        "unacked_restore_interval": _RESTORE_SECONDS,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": _MUTEX_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": HEALTH_SECONDS,
        "queue_order_strategy": "infra.queue_order:UploadsFirst",
        "priority_steps": [0],  # one list a queue
    }
    return {
        "accept_content": ["json"],  # nothing that runs code when it is read
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": transport,
        "result_backend_transport_options": transport,
        "visibility_timeout": settings.broker.visibility_seconds,
        "result_serializer": "json",
        "task_serializer": "json",
        "task_ignore_result": True,  # the index is the result
        "task_acks_late": True,  # a task whose worker dies comes back
        "task_reject_on_worker_lost": False,  # attempts are counted per scan instead
        "task_default_queue": ENCODE,
        "task_queues": _queues(),
        "task_create_missing_queues": False,
        "task_store_errors_even_if_ignored": False,
        "worker_prefetch_multiplier": 1,  # what waits is there for every worker
        "worker_hijack_root_logger": False,  # logs are set by infra.logs
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,  # `infra.health` tells how a worker is
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
        "timezone": "UTC",
    }


def _queues() -> list[Queue]:
    return [Queue(name, routing_key=name) for name in QUEUES]  # type: ignore[no-untyped-call]  # kombu


def _note_time(headers: dict[str, Any], **_: object) -> None:
    if headers.get(SENT_HEADER) is None:
        headers[SENT_HEADER] = time.time()


before_task_publish.connect(_note_time, weak=False, dispatch_uid="lithoscope-sent")
