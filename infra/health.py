"""Whether a service is well: ``/healthz``, ``/readyz`` and ``/metrics`` over HTTP.

The answers say the state and nothing else: why something is not ready is in the log.
"""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import REGISTRY, generate_latest

from encoder.errors import LithoscopeError
from infra.broker import open_broker
from infra.heartbeats import Heartbeat
from infra.service_checks import Readiness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.registry import Collector

    from infra.settings import Settings

_TEXT = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class HealthError(LithoscopeError):
    """The health endpoint can't be opened."""


@contextlib.contextmanager
def serve_health(
    settings: Settings,
    service: str,
    *,
    checks: Mapping[str, Callable[[], object]],
    collectors: tuple[Collector, ...] = (),
    has_started: Callable[[], bool] = lambda: True,
) -> Iterator[int | None]:
    """Answer for a service while it runs, and leave word in the broker that it does.

    Args:
        settings: Host and port, without which nothing is opened; the broker, likewise.
        service: Its name: ``dispatcher``, ``worker``, ``scheduler``.
        checks: What it needs, by name: each is called, by any thread, and raises a
            `LithoscopeError` where that does not answer.
        collectors: Look at figures when they are asked for.
        has_started: Whether the service has done what it does before it is of use; until then it
            is neither well nor ready.

    Yields:
        The port; None where none is set.

    Raises:
        HealthError: The port can't be opened.
        BrokerAwayError: The broker's address can't be used.
    """
    readiness = Readiness(checks)
    with contextlib.ExitStack() as stack:
        port = None
        if settings.metrics.port is not None:
            port = stack.enter_context(_listening(settings, readiness, has_started=has_started))
        for collector in collectors if port is not None else ():
            REGISTRY.register(collector)
            stack.callback(REGISTRY.unregister, collector)
        if settings.broker.url is not None:
            redis = stack.enter_context(contextlib.closing(open_broker(settings)))
            stack.enter_context(Heartbeat(redis, service, away=readiness.away))
        yield port


@contextlib.contextmanager
def _listening(
    settings: Settings, readiness: Readiness, *, has_started: Callable[[], bool]
) -> Iterator[int]:
    told = settings.metrics
    try:
        server = _Server((told.host, told.port or 0), readiness, has_started=has_started)
    except OSError as error:
        raise HealthError(
            f"{told.host}:{told.port}: can't be opened for health and metrics "
            f"({error.strerror or error}); free it, or set LITHOSCOPE_METRICS__HOST and __PORT to "
            "another"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Answers each question in a thread of its own, none of which keeps the service from ending."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, place: tuple[str, int], readiness: Readiness, *, has_started: Callable[[], bool]
    ) -> None:
        self.readiness = readiness
        self.has_started = has_started
        super().__init__(place, _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = 10.0  # of a client that says nothing
    server_version = "lithoscope"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        match self.path.partition("?")[0]:
            case "/healthz" | "/readyz" if not self.server.has_started():
                self._answer(503, b"starting\n")
            case "/healthz":
                self._answer(200, b"alive\n")
            case "/readyz":
                is_ready = not self.server.readiness.away()
                self._answer(*((200, b"ready\n") if is_ready else (503, b"not ready\n")))
            case "/metrics":
                self._answer(200, generate_latest(REGISTRY), kind=_EXPOSITION)
            case _:
                self._answer(404, b"nothing here\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Log nothing: these questions come every few seconds."""

    def _answer(self, status: int, body: bytes, *, kind: str = _TEXT) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # whoever asked has gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
