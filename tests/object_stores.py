"""The stores that the object store is tested on: a folder, moto's S3 server, a MinIO server."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.folder_store import FolderStore
from infra.s3_store import S3Store
from infra.settings import StoreSettings
from programs import minio_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.object_store import ObjectEntry, ObjectStore

SECONDS_TO_START = 60


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def settings_of(endpoint: str, **changes: str) -> StoreSettings:
    plain: dict[str, object] = {
        "kind": "s3",
        "bucket": "rocks",
        "endpoint": endpoint,
        "access_key": SecretStr("test-account"),
        "secret_key": SecretStr("test-password"),
        "secure": False,
    }
    return StoreSettings.model_validate(plain | changes)


@contextlib.contextmanager
def running(command: list[str], port: int, *, ready: str, env: dict[str, str]) -> Iterator[str]:
    """Run a server until its ready page answers; its output is shown when it does not."""
    with subprocess.Popen(  # noqa: S603  a server of ours on this machine
        command,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        log: list[bytes] = []
        assert server.stdout is not None
        drain = threading.Thread(target=lambda: log.extend(server.stdout or ()))
        drain.start()
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while not answers(port, ready):
                assert server.poll() is None, b"".join(log)
                assert time.monotonic() < deadline, b"".join(log)
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)
            drain.join()


def answers(port: int, path: str) -> bool:
    try:
        return page_of(port, path, seconds=2)[0] == 200
    except OSError:
        return False


def page_of(port: int, path: str, *, seconds: float = 10) -> tuple[int, str]:
    """Status and text that a server on this machine answers with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server"]
    command += ["-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, ready="/moto-api/data.json", env={}) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary, port = minio_binary(), free_port()
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--console-address", "127.0.0.1:0", str(tmp_path_factory.mktemp("minio"))]
    account = {"MINIO_ROOT_USER": "test-account", "MINIO_ROOT_PASSWORD": "test-password"}
    with running(command, port, ready="/minio/health/cluster", env=account) as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "moto", "minio"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty store of each kind."""
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        folder = FolderStore(tmp_path / "bucket")
        yield folder
        folder.close()
        return
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    bucket = f"b{random.getrandbits(60)}"
    s3 = S3Store.from_settings(settings_of(endpoint, bucket=bucket))
    s3.ensure_bucket()
    yield s3
    s3.close()


def listed(store: ObjectStore, prefix: str = "") -> list[ObjectEntry]:
    return [entry for page in store.pages(prefix) for entry in page]


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in listed(store, prefix)]
