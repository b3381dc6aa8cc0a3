"""``lithoscope up``: the whole embedded product in one command, until Ctrl-C.

The pages and the watcher are processes of their own: indexing and answering don't wait for each
other, and what harms one leaves the other.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from encoder.errors import LithoscopeError
from infra.index_server import find_server, stop_server
from infra.native_stack.processes import identify
from infra.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.settings import Settings

_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
_END_SECONDS = 20.0
_PAUSES = (5.0, 10.0, 30.0, 60.0)
"""Seconds before a watcher that ended is started again, one after the other."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  compared, not opened


@dataclass(slots=True)
class _Part:
    """A command of ours in a process of its own.

    Attributes:
        words: The command.
        starts: Times that it was started.
    """

    words: tuple[str, ...]
    starts: int = 0
    _child: subprocess.Popen[bytes] | None = field(default=None)
    _ended: float = 0.0

    def start(self) -> None:
        """Start it; Ctrl-C is for this process, which ends it in order."""
        command = [sys.executable, "-m", "lithoscope.parts", str(os.getpid()), *self.words]
        self._child = subprocess.Popen(command, start_new_session=True)  # noqa: S603  our own
        self.starts += 1

    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return None if self._child is None else self._child.poll()

    def end(self) -> None:
        """Ask it to end, and kill it if it does not."""
        if self._child is not None and self._child.poll() is None:
            identify(self._child).end(_END_SECONDS)
            self._child.wait()

    def keep_up(self) -> None:
        """Start it again if it has ended, after a while."""
        code = self.code()
        if code is None:
            self._ended = 0.0
            return
        pause = _PAUSES[min(self.starts, len(_PAUSES)) - 1]
        if not self._ended:
            self._ended = time.monotonic()
            told = f"`lithoscope {' '.join(self.words)}` ended with {code}"
            typer.echo(f"{told}; it is started again in {pause:g} s", err=True)
        elif time.monotonic() - self._ended >= pause:
            self._ended = 0.0
            self.start()


def run_up(*, port: int | None, opens_browser: bool) -> int:
    """Serve the pages and keep the index up with the folder, until Ctrl-C or SIGTERM.

    Args:
        port: Port of the pages; None for that of the settings.
        opens_browser: Whether a browser is opened once the pages answer.

    Returns:
        0 once it was told to end.

    Raises:
        LithoscopeError: The settings are those of a stack, or the pages can't be served.
    """
    settings = load_settings()
    _check_embedded(settings)
    chosen = port or settings.ui.port
    with ExitStack() as stack:
        stack.enter_context(_index_server_ended(settings))
        try:
            pages = _begun(stack, ("ui", "--port", str(chosen)))
            address = f"http://{_EVERYWHERE.get(settings.ui.host, settings.ui.host)}:{chosen}"
            _wait_until_well(pages, address)
            watcher = _begun(stack, ("watch", "--wait"))
            typer.echo(f"Lithoscope is at {address} and indexes what comes; Ctrl-C ends it")
            if opens_browser and _has_screen():
                webbrowser.open(address)
            while (code := pages.code()) is None:
                watcher.keep_up()
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            typer.echo("ending", err=True)
            return 0
    raise LithoscopeError(f"up: the pages ended with {code}; mend what is said above")


def _has_screen() -> bool:
    """Whether there is a screen for a browser: one in the terminal would take it from us."""
    known = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(os.environ.get(name) for name in known)


def _begun(stack: ExitStack, words: Sequence[str]) -> _Part:
    part = _Part(tuple(words))
    stack.callback(part.end)
    part.start()
    return part


def _check_embedded(settings: Settings) -> None:
    if settings.broker.url is not None:
        raise LithoscopeError(
            "up: found a broker in the settings (LITHOSCOPE_BROKER__URL), expected none: a stack's "
            "workers index what comes; serve its pages by `lithoscope ui`"
        )


@contextlib.contextmanager
def _index_server_ended(settings: Settings) -> Iterator[None]:
    """End the embedded index server with this command, if it was not there before."""
    folder = settings.home / "index"
    is_ours = settings.index.address is None and find_server(folder) is None
    try:
        yield
    finally:
        if is_ours:
            stop_server(folder)


def _wait_until_well(pages: _Part, address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    host = address.removeprefix("http://")
    while not _is_well(host):
        if (code := pages.code()) is not None:
            raise LithoscopeError(f"up: the pages ended with {code}; mend what is said above")
        if time.monotonic() > deadline:
            raise LithoscopeError(
                f"up: {address} does not answer after {_START_SECONDS:g} s; see what is said above"
            )
        time.sleep(_POLL_SECONDS)


def _is_well(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
