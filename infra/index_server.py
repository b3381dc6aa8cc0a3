"""The embedded index: Milvus Lite behind a server of its own, one for every command at once.

Milvus Lite allows one process per folder. So the first command that needs the index starts this
server as a background process on 127.0.0.1, later ones find it by its runtime file, and it ends
when no client has been connected for a while, or by `stop_server`. It holds a lock on a file as
long as it lives: the lock, not the process id in the runtime file, says whether it runs, so that
a file left by a crash, or an id that another process has now, deceives nobody.

Run by ``python -m infra.index_server FOLDER IDLE_SECONDS``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types
from filelock import FileLock, Timeout

from infra.indexing.errors import IndexUnavailableError
from infra.indexing.lock import MutationLock

if TYPE_CHECKING:
    from infra.indexing.milvus import MilvusStore

IDLE_SECONDS = 1800.0
"""How long a server without clients waits for the next."""

_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0

_children: list[subprocess.Popen[bytes]] = []
"""Servers that this process started: they outlive it, and are reaped if they end before it."""


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Files of an embedded index.

    Attributes:
        folder: Folder that holds them all.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """Milvus Lite's folder."""
        return self.folder / "milvus.db"

    @property
    def runtime(self) -> Path:
        """Process id and port of the running server, as JSON."""
        return self.folder / "server.json"

    @property
    def alive(self) -> Path:
        """Locked by the server as long as it lives."""
        return self.folder / "server.lock"

    @property
    def starting(self) -> Path:
        """Locked by the command that is starting the server."""
        return self.folder / "starting.lock"

    @property
    def mutations(self) -> Path:
        """Locked around every mutation."""
        return self.folder / "mutations.lock"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.folder / "server.log"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that runs.

    Attributes:
        pid: Its process.
        port: Where it listens, on 127.0.0.1 only.
    """

    pid: int
    port: int

    @property
    def address(self) -> str:
        """Its address."""
        return f"http://{_HOST}:{self.port}"


def find_server(folder: Path) -> RunningServer | None:
    """The server of this folder, or None if none runs; a stale runtime file is no server.

    Raises:
        IndexUnavailableError: The runtime file, or the lock beside it, may not be read.
    """
    files = ServerFiles(folder)
    try:
        server = _server_in(files.runtime.read_text(encoding="utf-8"))
        return server if server is not None and _is_held(files.alive) else None
    except (FileNotFoundError, UnicodeDecodeError):  # none, or what a loss of power left of it
        return None
    except OSError as error:
        raise IndexUnavailableError(
            f"index server: {error.filename or files.runtime} can't be read ({error.strerror}); "
            f"correct who may read and write {folder}, or remove that file if no server runs"
        ) from error


def ensure_server(folder: Path, *, idle_seconds: float = IDLE_SECONDS) -> RunningServer:
    """Find the server of this folder, or start it; any number of commands may ask at once.

    Args:
        folder: Folder of the embedded index; made if it is not there.
        idle_seconds: How long a server that is started here waits without clients.

    Returns:
        It listens.

    Raises:
        IndexUnavailableError: It does not start; the text names its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _listening(folder)
    if found is not None:
        return found
    with FileLock(ServerFiles(folder).starting, poll_interval=_POLL_SECONDS):
        return _listening(folder) or _start(folder, idle_seconds)


def stop_server(folder: Path) -> bool:
    """End the server of this folder; what clients had acknowledged is kept.

    Returns:
        Whether one ran.

    Raises:
        IndexUnavailableError: It does not end.
    """
    found = find_server(folder)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):  # it is just ending by itself
        os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_held(ServerFiles(folder).alive):
        if time.monotonic() > deadline:
            raise IndexUnavailableError(
                f"index server (process {found.pid}): still runs {_STOP_SECONDS:g} s after it was "
                "asked to end; end that process"
            )
        time.sleep(_POLL_SECONDS)
    for child in _children:
        child.poll()
    return True


def open_store(folder: Path, *, idle_seconds: float = IDLE_SECONDS) -> MilvusStore:
    """Open the embedded index, its server started if need be.

    Raises:
        IndexUnavailableError: The server does not start.
    """
    from infra.indexing.milvus import MilvusStore  # noqa: PLC0415  a second, which `down` can spare

    folder.mkdir(parents=True, exist_ok=True)
    return MilvusStore(
        lambda: ensure_server(folder, idle_seconds=idle_seconds).address,
        MutationLock(ServerFiles(folder).mutations),
        folder=folder,
    )


def serve(folder: Path, idle_seconds: float) -> None:
    """Be the server, until SIGTERM, or until no client was connected for a while.

    Args:
        folder: Folder of the embedded index.
        idle_seconds: How long to wait without clients.
    """
    from infra.indexing.lite_server import LiteServer  # noqa: PLC0415  see above

    files = ServerFiles(folder)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the command in front
    # Waits for a former server that is just ending, and for those that only look at the lock.
    with FileLock(files.alive, timeout=_STOP_SECONDS):
        server = LiteServer(str(files.data), host=_HOST)
        try:
            draft = files.runtime.with_suffix(".new")
            draft.write_text(
                json.dumps({"pid": os.getpid(), "port": server.port}), encoding="utf-8"
            )
            draft.replace(files.runtime)
            _wait_until_idle(ended, server.port, idle_seconds=idle_seconds)
        finally:
            files.runtime.unlink(missing_ok=True)
            server.stop(_GRACE_SECONDS)


def _wait_until_idle(ended: threading.Event, port: int, *, idle_seconds: float) -> None:
    me = psutil.Process()
    last_used = time.monotonic()
    pause = min(10.0, idle_seconds / 4)
    while not ended.wait(pause):
        connections = me.net_connections("tcp")
        if any(
            link.status == psutil.CONN_ESTABLISHED and link.laddr.port == port
            for link in connections
        ):
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= idle_seconds:
            return


def _server_in(text: str) -> RunningServer | None:
    """What a runtime file names; None where it is damaged: no process but ours must be ended."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    pid, port = found.get("pid"), found.get("port")
    if not (type(pid) is int and pid > 1 and type(port) is int and 0 < port < 1 << 16):
        return None
    return RunningServer(pid, port)


def _start(folder: Path, idle_seconds: float) -> RunningServer:
    files = ServerFiles(folder)
    files.runtime.unlink(missing_ok=True)  # stale, or it would have been found
    command = [sys.executable, "-m", "infra.index_server", str(folder.resolve()), str(idle_seconds)]
    with files.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  our own interpreter on this module
            command,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _children.append(child)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        found = _listening(folder)
        if found is not None:
            return found
        if child.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    child.kill()
    child.wait()
    raise IndexUnavailableError(f"index server: does not start; see {files.log}")


def _listening(folder: Path) -> RunningServer | None:
    """The server of this folder, unless it is just ending."""
    found = find_server(folder)
    try:
        if found is not None:
            socket.create_connection((_HOST, found.port), timeout=_GRACE_SECONDS).close()
    except OSError:
        return None
    return found


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True


if __name__ == "__main__":
    serve(Path(sys.argv[1]), float(sys.argv[2]))
