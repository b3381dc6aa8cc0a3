"""The stack's timetable: when which maintenance task is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from infra.celery_options import celery_app
from infra.task_names import DEEP_SWEEP, MAINTENANCE, ROLLOUT, SWEEP

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from infra.settings import Settings

STEP_SECONDS = 15.0
"""Time between two steps of a sweep at most; what is due is decided by the task."""

ROLLOUT_SECONDS = 30.0
"""Time between two steps of a rollout at most."""

DEEP_SECONDS = 24 * 3600.0
"""Time between two comparisons of every row and picture."""


def timetable(settings: Settings) -> dict[str, dict[str, Any]]:
    """Give Celery's schedule.

    A task that no worker took before the next one of its kind is sent expires: they never pile up.
    """
    pace = settings.work.sweep_seconds
    return {
        "sweep": _entry(SWEEP, min(STEP_SECONDS, pace), by_timetable=True),
        "rollout": _entry(ROLLOUT, min(ROLLOUT_SECONDS, pace)),
        "deep sweep": _entry(DEEP_SWEEP, DEEP_SECONDS),
    }


def schedule_app(settings: Settings, folder: Path) -> Celery:
    """Make the application that the scheduler runs.

    Args:
        settings: The settings.
        folder: Where it keeps when it sent what last; made if need be.

    Raises:
        SettingsError: No broker is set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = celery_app(settings)
    app.conf.update(
        beat_schedule=timetable(settings),
        beat_schedule_filename=str(folder / "celerybeat-schedule"),
        beat_max_loop_interval=5,
    )
    return app


def _entry(name: str, seconds: float, **arguments: bool) -> dict[str, Any]:
    return {
        "task": name,
        "schedule": timedelta(seconds=seconds),
        "kwargs": arguments,
        "options": {"queue": MAINTENANCE, "expires": max(seconds, 1.0)},
    }
