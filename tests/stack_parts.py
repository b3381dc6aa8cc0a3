"""Real servers of the stack, on free ports, that tests may kill and start again."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import redis
from PIL import Image
from pydantic import SecretStr

from encoder.bundle import save_bundle
from encoder.encoders import build_encoder
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing
from infra.settings import Settings
from infra.settings_groups import BrokerSettings, StoreSettings, WorkSettings
from object_stores import answers, free_port
from programs import minio_binary, redis_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS_TO_START = 180.0
"""Generous: the machine may be busy with other things."""

PASSWORD = "a-password/of:tests@only"  # noqa: S105  no one's; with signs that addresses don't take
ARN_ID = "LITHOSCOPE"


def wait_until(is_so: Callable[[], object], seconds: float = SECONDS_TO_START) -> None:
    """Wait until something is so; what it was asked for last is in the failure."""
    deadline = time.monotonic() + seconds
    while not (last := is_so()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {last!r}"
        time.sleep(0.05)


@dataclass
class Server:
    """A program on a port of this machine.

    Attributes:
        command: How it is started.
        folder: Where it keeps what it has, and its log.
        port: Where it listens.
        env: Variables beside ours.
    """

    command: list[str]
    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  a server of ours on this machine
                self.command, env=os.environ | self.env, stdout=log, stderr=log, cwd=self.folder
            )
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return True

    def send(self, sign: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(sign)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds: float = 30) -> int:
        """End it in order."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()


class RedisServer(Server):
    """A broker as the stack's: on disk every second, nothing dropped for want of memory."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--requirepass", PASSWORD, "--appendonly", "yes", "--appendfsync", "everysec"]
        command += ["--save", "", "--maxmemory-policy", "noeviction", "--dir", str(folder)]
        super().__init__(command, folder, port)

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=PASSWORD, socket_timeout=5)

    @property
    def settings(self) -> BrokerSettings:
        return BrokerSettings(url=f"redis://127.0.0.1:{self.port}/0", password=SecretStr(PASSWORD))

    def answers(self) -> bool:
        super().answers()
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def flush(self) -> None:
        with self.client as client:
            client.flushall()

    def length(self, name: str) -> int:
        with self.client as client:
            return int(cast("int", client.llen(name)))


class MinioServer(Server):
    """An object store that tells a broker of what happens in it."""

    def __init__(self, folder: Path, broker: RedisServer, *, events_key: str) -> None:
        port = free_port()
        data, queue = folder / "data", folder / "events"
        for each in (data, queue):
            each.mkdir(parents=True, exist_ok=True)
        command = [minio_binary(), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
        command += ["--console-address", "127.0.0.1:0", str(data)]
        told = {
            "ENABLE": "on",
            "ADDRESS": f"127.0.0.1:{broker.port}",
            "PASSWORD": PASSWORD,
            "KEY": events_key,
            "FORMAT": "access",
            "QUEUE_DIR": str(queue),
            "QUEUE_LIMIT": "100000",
        }
        env = {f"MINIO_NOTIFY_REDIS_{name}_{ARN_ID}": text for name, text in told.items()}
        env |= {"MINIO_ROOT_USER": "test-account", "MINIO_ROOT_PASSWORD": "test-password"}
        super().__init__(command, folder, port, env)

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(
            kind="s3",
            bucket="rocks",
            endpoint=f"127.0.0.1:{self.port}",
            access_key=SecretStr("test-account"),
            secret_key=SecretStr("test-password"),
            secure=False,
        )

    def answers(self) -> bool:
        super().answers()
        return answers(self.port, "/minio/health/cluster")


class Service(Server):
    """One of our services, as a process of its own.

    Attributes:
        words: Its command line, after ``lithoscope``.
    """

    def __init__(self, folder: Path, settings: dict[str, str], *words: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        env = settings | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        super().__init__([sys.executable, "-m", "lithoscope", *words], folder, 0, env)

    def start(self) -> None:
        """Start it with an empty log: what is waited for is what this run says."""
        (self.folder / "server.log").unlink(missing_ok=True)
        super().start()

    def wait_for(self, text: str, *, times: int = 1, seconds: float = SECONDS_TO_START) -> None:
        """Wait until its log says something."""

        def has_said() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            return self.log.count(text) >= times

        try:
            wait_until(has_said, seconds)
        except AssertionError as error:
            raise AssertionError(f"{text!r} not in the log:\n{self.log}") from error


def env_of(settings: Settings) -> dict[str, str]:
    """Settings as the environment of a process."""
    told = {"HOME": str(settings.home.absolute())}
    for group in ("store", "broker", "work", "decode"):
        for name, value in getattr(settings, group):
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            if plain is not None:
                told[f"{group}__{name}"] = (
                    str(plain).lower() if isinstance(plain, bool) else str(plain)
                )
    return {f"LITHOSCOPE_{name.upper()}": text for name, text in told.items()}


def png(seed: int, side: int = 24) -> bytes:
    """A picture of noise, its own for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def small_bundle(folder: Path, seed: int = 0) -> Path:
    """A bundle that encodes in milliseconds."""
    preprocessing = Preprocessing(size=32, slicing=Slicing(planes=2))
    encoder = build_encoder("resnet18-imagenet", f"seed:{seed}", preprocessing=preprocessing)
    save_bundle(folder, encoder)
    return folder


def work_settings(folder: Path, broker: RedisServer, **work: Any) -> Settings:  # noqa: ANN401
    """Settings of a site in a folder whose tasks go through a broker."""
    return Settings(
        home=folder,
        broker=broker.settings.model_copy(update={"visibility_seconds": 3}),
        work=WorkSettings(**work),
    )


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def broker(shared_broker: RedisServer) -> RedisServer:
    """A broker with nothing in it."""
    shared_broker.flush()
    return shared_broker


@pytest.fixture
def mortal_broker(tmp_path: Path) -> Iterator[RedisServer]:
    """A broker of the test's own, to be killed and started again."""
    server = RedisServer(tmp_path / "broker")
    server.start()
    yield server
    server.stop()
