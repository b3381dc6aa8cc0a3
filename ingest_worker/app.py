"""The worker as a Celery application, run in this process."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from celery.signals import setup_logging, worker_shutting_down

from infra.celery_options import celery_app
from infra.logs import configure_logs
from infra.task_names import QUEUES
from ingest_worker.tasks import register_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from infra.settings import Settings
    from infra.task_renewal import TaskRenewal
    from ingest_worker.stack_worker import StackWorker


def make_app(settings: Settings, worker: StackWorker, *, renewal: TaskRenewal) -> Celery:
    """Make the application with its tasks; nothing is asked of the broker yet.

    Args:
        settings: The settings.
        worker: Does the tasks' work.
        renewal: Keeps tasks from being given to another worker meanwhile.

    Raises:
        SettingsError: No broker is set.
    """
    app = celery_app(settings)
    register_tasks(app, worker, renewal=renewal)

    def stop(**_: object) -> None:
        worker.stopping.set()

    worker_shutting_down.connect(stop, weak=False)
    return app


def run_celery(app: Celery, settings: Settings, *, queues: Sequence[str] = QUEUES) -> int:
    """Work on tasks until SIGTERM, which lets the running one end.

    Args:
        app: From `make_app`.
        settings: How lines are logged.
        queues: Which queues are emptied; the most urgent always comes first.

    Returns:
        0, or what the process is to end with.
    """

    def configure(**_: object) -> None:
        configure_logs(settings, service="worker")

    setup_logging.connect(configure, weak=False)
    # Threads: with child processes torch hangs, and CUDA can't be used after a fork. One at a
    # time: a batch fills the device by itself.
    celery_worker = app.Worker(
        hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
        pool="threads",
        concurrency=1,
        queues=[name for name in QUEUES if name in queues],
        loglevel=settings.log.level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    celery_worker.start()
    return int(celery_worker.exitcode or 0)
