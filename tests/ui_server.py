"""The pages' server as its users run it, and a real browser to look at it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from programs import chromium_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60.0
"""For what a browser waits for."""

PATIENCE = 180.0
"""For what processes are waited for: those of a busy machine take their time to start."""
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Running:
    """A command of ours that answers at a port.

    Attributes:
        child: Its process.
        port: Where it answers.
        log: What it printed.
    """

    child: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, seconds: float = 20.0
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=seconds)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def end(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        if self.child.poll() is None:
            self.child.send_signal(signal_number)
        return self.child.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    home: Path, *words: str, port: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run ``lithoscope WORDS --port PORT`` until the end, once ``/healthz`` answers."""
    chosen = port or free_port()
    log = home.parent / f"{'-'.join(words)}-{chosen}.log"
    told = {"LITHOSCOPE_HOME": str(home), "PYTHONPATH": str(ROOT), "BROWSER": "true", **(env or {})}
    command = [sys.executable, "-m", "lithoscope", *words, "--port", str(chosen)]
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603  our own command
            command, cwd=home.parent, env={**os.environ, **told}, stdout=output, stderr=output
        )
    found = Running(child, chosen, log)
    try:
        until(lambda: child.poll() is not None or is_alive(found))
        assert child.poll() is None, log.read_text()
        yield found
    finally:
        found.end()


def is_alive(found: Running, path: str = "/healthz") -> bool:
    try:
        return found.get(path, seconds=2.0)[0] == 200
    except OSError:
        return False


def until(is_so: object, seconds: float = PATIENCE) -> None:
    """Wait for a condition, generously: machines that test are busy."""
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser; a new context of it is a new person."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  not needed by other tests

    binary = chromium_binary()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=list(CHROMIUM_OPTIONS), timeout=SECONDS * 1000
        )
        yield browser
        browser.close()
