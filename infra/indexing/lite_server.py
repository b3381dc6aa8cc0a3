"""Milvus Lite behind gRPC, with its calls kept apart.

Milvus Lite's own server runs calls side by side, which its engine does not stand: concurrent
writes lose rows, and a read takes the flushed rows and those in memory one after the other, so
that a flush in between hides some. A lock that the writing clients hold is not enough: one that is
killed lets go of it while the server still works on its call. So here every call that may change
something runs alone.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc

from infra.indexing.lite_reading import QuickServicer, read_lazily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

READING_CALLS = frozenset(
    {
        "CheckHealth",
        "Connect",
        "DescribeAlias",
        "DescribeCollection",
        "DescribeIndex",
        "GetCollectionStatistics",
        "GetFlushState",
        "GetLoadState",
        "GetLoadingProgress",
        "GetVersion",
        "HasCollection",
        "ListAliases",
        "ListDatabases",
        "Query",
        "Search",
        "ShowCollections",
    }
)
"""Calls that change nothing and may run beside each other."""

_THREADS = 16
_MESSAGE_BYTES = 256 * 1024 * 1024  # as Milvus's servers
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    # Milvus's client pings every 10 s; by default a server breaks such a connection off, and the
    # client tells its user so.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
]


class CallLock:
    """Many readers or one writer; a writer that waits goes before new readers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writers_waiting = 0
        self._is_writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold off writers."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_writing or self._writers_waiting))
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off everyone else."""
        with self._changed:
            self._writers_waiting += 1
            self._changed.wait_for(lambda: not (self._is_writing or self._readers))
            self._writers_waiting -= 1
            self._is_writing = True
        try:
            yield
        finally:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()


class LiteServer:
    """A running server.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder: str, *, host: str) -> None:
        """Open a folder and listen on a free port.

        Args:
            folder: Milvus Lite's folder; no other process has it open.
            host: Address to listen on.
        """
        read_lazily()
        self._database = MilvusLite(folder)
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
        servicer = _kept_apart(QuickServicer(self._database))
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, self._server)
        self.port = int(self._server.add_insecure_port(f"{host}:0"))
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Take no more calls, let those that run end, and close the folder."""
        self._server.stop(grace_seconds).wait()
        self._database.close()


def _kept_apart(servicer: Any) -> Any:  # noqa: ANN401  a package without types
    lock = CallLock()
    for name in dir(servicer):
        if name[0].isupper():  # the names of calls
            hold = lock.reading if name in READING_CALLS else lock.writing
            setattr(servicer, name, _held(getattr(servicer, name), hold))
    return servicer


def _held(
    call: Callable[[object, object], object], hold: Callable[[], AbstractContextManager[None]]
) -> Callable[[object, object], object]:
    def held(request: object, context: object) -> object:
        with hold():
            return call(request, context)

    return held
