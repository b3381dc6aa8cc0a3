"""Logs of the services: as text for people, or one JSON object a line for programs.

Every line says which task and which object it is about, where it is about one: `log_context` tells
so for all that is logged within it. Threads do not take over what their starter's lines are about
unless they begin with `carried`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from encoder.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.settings import Settings

QUIETEST = logging.WARNING
"""Level below which packages that are not ours are never told, unless everything is."""

_OURS = ("encoder", "infra", "trainer", "ingest_worker", "search_ui", "lithoscope", "celery")


class Subject(NamedTuple):
    """What lines are about.

    Attributes:
        task: Id of a task, or None.
        object_key: An object, or None.
    """

    task: str | None = None
    object_key: str | None = None


_SUBJECT: ContextVar[Subject] = ContextVar("subject", default=Subject())  # noqa: B039  immutable


@contextmanager
def log_context(*, task: str | None = None, object_key: str | None = None) -> Iterator[None]:
    """Say what lines that this thread logs meanwhile are about; None leaves it as it was."""
    told = _SUBJECT.get()
    token = _SUBJECT.set(Subject(task or told.task, object_key or told.object_key))
    try:
        yield
    finally:
        _SUBJECT.reset(token)


def carried() -> Callable[[], None]:
    """Give what a thread is to call first, so that its lines are about the same as the caller's.

    It is made for ``ThreadPoolExecutor(initializer=carried())``.
    """
    return partial(_adopt, _SUBJECT.get())


def configure_logs(settings: Settings, *, service: str) -> None:
    """Send all logs to stderr as the settings say; what was configured before is replaced.

    Args:
        settings: Format and level.
        service: Name of what runs, which every line tells: ``worker``.
    """
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings.log.format == "json"
    handler.setFormatter(JsonFormatter(service) if is_json else TextFormatter())
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, QUIETEST), force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, where from, what it is about, what happened."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a traceback follows below it."""
        subject = _subject(record)
        about = " ".join(
            f"{name}={value}" for name, value in subject._asdict().items() if value is not None
        )
        place = f"{record.name} [{about}]" if about else record.name
        line = printable(f"{_time(record)} {record.levelname} {place}: {record.getMessage()}")
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """A line for programs: one JSON object."""

    def __init__(self, service: str) -> None:
        """Use a service's name."""
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Give the object; what is not known is left out."""
        told: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: text for name, text in _subject(record)._asdict().items() if text}
        if trace := _trace(self, record):
            told["traceback"] = trace
        return json.dumps(told)


def _adopt(subject: Subject) -> None:
    _SUBJECT.set(subject)


def _subject(record: logging.LogRecord) -> Subject:
    """What a line is about: what its logger was given as ``extra`` tells it best."""
    told = _SUBJECT.get()
    own = record.__dict__
    return Subject(own.get("task", told.task), own.get("object_key", told.object_key))


def _time(record: logging.LogRecord) -> str:
    moment = time.gmtime(record.created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}Z"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
