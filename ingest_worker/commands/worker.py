"""``lithoscope worker``: work on the stack's tasks, until SIGTERM lets the running one end."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from infra.broker import broker_calls, open_broker
from infra.default_secrets import refuse_default_secrets
from infra.health import serve_health
from infra.logs import configure_logs
from infra.settings import SettingsError, load_settings
from infra.task_names import ENCODE, QUEUES
from infra.task_renewal import TaskRenewal
from ingest_worker.app import make_app, run_celery
from ingest_worker.stack_worker import StackWorker
from ingest_worker.warming import Warming

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis


def run_worker(queues: Sequence[str]) -> int:
    """Work on tasks.

    Args:
        queues: Which queues are emptied; none for all.

    Returns:
        0 once it was told to end.

    Raises:
        SettingsError: No broker is set, a password is one that everybody knows, or there is no
            such queue.
        HealthError: The port for health and metrics can't be opened.
    """
    settings = load_settings()
    refuse_default_secrets(settings)
    if wrong := [name for name in queues if name not in QUEUES]:
        raise SettingsError(
            f"queues: found {', '.join(wrong)}, expected some of {', '.join(QUEUES)}"
        )
    configure_logs(settings, service="worker")
    with ExitStack() as stack:
        worker = stack.enter_context(StackWorker(settings))
        seconds = settings.broker.visibility_seconds
        renewal = stack.enter_context(TaskRenewal(open_broker(settings), seconds))
        client = stack.enter_context(closing(open_broker(settings)))
        is_for_uploads = not queues or ENCODE in queues
        warming = stack.enter_context(Warming(worker, is_wanted=is_for_uploads))
        checks = {
            "broker": lambda: _ping(client),
            "index": lambda: worker.site.index.live(),  # noqa: PLW0108  opened when asked, not now
            "live model": warming.check,
            "work": worker.faults.check,
            "store": lambda: next(worker.site.objects.pages("metadata/", page_size=1), None),
        }
        health = serve_health(
            settings,
            "worker",
            checks=checks,
            has_started=lambda: warming.has_started() and worker.faults.is_well,
        )
        stack.enter_context(health)
        app = make_app(settings, worker, renewal=renewal)
        return run_celery(app, settings, queues=queues or QUEUES)


def _ping(client: redis.Redis) -> None:
    with broker_calls("ping"):
        client.ping()
