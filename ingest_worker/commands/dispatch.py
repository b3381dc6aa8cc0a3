"""``lithoscope dispatch``: pass the bucket's events on to the workers, until SIGTERM."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from infra.broker import broker_calls, open_broker
from infra.default_secrets import refuse_default_secrets
from infra.event_journal import EventJournal
from infra.fed_collections import fed_collections
from infra.health import serve_health
from infra.logs import configure_logs
from infra.settings import SettingsError, env_name, load_settings
from infra.site import open_site
from infra.store_errors import StoreAwayError
from infra.task_queue import TaskQueue
from ingest_worker.dispatcher import Dispatcher
from ingest_worker.patience import Patience

if TYPE_CHECKING:
    import redis

    from infra.settings import Settings
    from infra.site import Site

_LOG = logging.getLogger(__name__)


def run_dispatch() -> int:
    """Pass events on until told to stop.

    Returns:
        0: it ends when it is told to.

    Raises:
        SettingsError: Objects are in a folder, no broker is set, or a password is one that
            everybody knows.
        LithoscopeError: A service refuses, or stayed away from the start.
    """
    settings = load_settings()
    refuse_default_secrets(settings)
    if settings.store.kind != "s3":
        raise SettingsError(
            f"{env_name('store', 'kind')}: found {settings.store.kind!r}, which tells of no "
            "events; set s3, or use `lithoscope watch`"
        )
    configure_logs(settings, service="dispatcher")
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    dispatch(settings, stop)
    return 0


def dispatch(settings: Settings, stop: threading.Event) -> None:
    """Pass events on until told to stop. It is alive at once, and ready when its store answers.

    Args:
        settings: The settings.
        stop: Ends it when it is set.

    Raises:
        LithoscopeError: A service refuses, or stayed away from the start.
    """
    with ExitStack() as stack:
        client = stack.enter_context(closing(open_broker(settings)))
        queue = stack.enter_context(TaskQueue(settings))
        opening = stack.enter_context(closing(_Opening(settings)))
        checks = {
            "broker": lambda: _ping(client),
            "index": lambda: opening.site.index.live(),  # noqa: PLW0108  not opened yet
            "store": lambda: next(opening.site.objects.pages("metadata/", page_size=1), None),
        }
        stack.enter_context(serve_health(settings, "dispatcher", checks=checks))
        try:
            site = Patience(stop=stop).keep_trying(opening.open)
        except StoreAwayError:
            if stop.is_set():
                return
            raise
        _LOG.info("passing on events of the bucket %s", settings.store.bucket)
        Dispatcher(
            journal=EventJournal(client, settings.broker.events_key),
            queue=queue,
            bucket=settings.store.bucket,
            work=settings.work,
            find_collections=lambda: list(fed_collections(site)),
        ).run(stop)


class _Opening:
    """The site, which can be opened once its store answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._site: Site | None = None

    @property
    def site(self) -> Site:
        """The site.

        Raises:
            StoreAwayError: Its store has not answered yet.
        """
        if self._site is None:
            raise StoreAwayError("has not answered yet; its address is asked again and again")
        return self._site

    def open(self) -> Site:
        self._site = open_site(self._settings)
        return self._site

    def close(self) -> None:
        if self._site is not None:
            self._site.close()


def _ping(client: redis.Redis) -> None:
    with broker_calls("ping"):
        client.ping()
