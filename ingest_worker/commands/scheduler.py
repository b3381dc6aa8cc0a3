"""``lithoscope scheduler``: send the stack's maintenance tasks on time, until SIGTERM."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import celery.app.amqp  # noqa: F401  Celery would while a SIGTERM may come, which needs it as well
from celery.apps.beat import Beat
from celery.signals import setup_logging

from infra.broker import broker_calls, open_broker
from infra.default_secrets import refuse_default_secrets
from infra.health import serve_health
from infra.logs import configure_logs
from infra.settings import load_settings
from infra.stack_metrics import StackCollector
from infra.stack_status import StackView
from ingest_worker.schedule import schedule_app

if TYPE_CHECKING:
    import redis


def run_scheduler() -> int:
    """Send maintenance tasks on time.

    Returns:
        0: it ends when it is told to.

    Raises:
        SettingsError: No broker is set, or a password is one that everybody knows.
        HealthError: The port for health and metrics can't be opened.
    """
    settings = load_settings()
    refuse_default_secrets(settings)
    configure_logs(settings, service="scheduler")
    setup_logging.connect(_leave_logs_alone)
    app = schedule_app(settings, settings.home / "scheduler")
    with ExitStack() as stack:
        client = stack.enter_context(closing(open_broker(settings)))
        view = stack.enter_context(StackView(settings))
        checks = {"broker": lambda: _ping(client)}
        collectors = (StackCollector(view),)
        stack.enter_context(
            serve_health(settings, "scheduler", checks=checks, collectors=collectors)
        )
        beat = Beat(app=app, quiet=True, redirect_stdouts=False, loglevel=settings.log.level)
        beat.run()
    return 0


def _leave_logs_alone(**_: object) -> None:
    """Keep Celery from setting logs: they are set already."""


def _ping(client: redis.Redis) -> None:
    with broker_calls("ping"):
        client.ping()
