"""How each image's program is run on this machine, and what to install where it is missing."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.native_stack.errors import MissingProgramError, NativeStackError
from infra.native_stack.milvus_server import PORT_NAMES
from infra.native_stack.ports import LOOPBACK
from infra.native_stack.probes import AliveProbe, HttpProbe, Probe, RedisProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.native_stack.compose_file import Service

ROOT = Path(__file__).resolve().parents[2]

METRICS_PORT = "LITHOSCOPE_METRICS__PORT"
UI_PORT = "LITHOSCOPE_UI__PORT"
_UI_ADDRESSES = ("LITHOSCOPE_UI__HOST", "LITHOSCOPE_UI__PUBLISHED_ON")

_MINIO = "v0.0.0-20260212201848-7aac2a2c5b7c"
_INSTALL = {
    "redis-server": "apt-get install redis-server",
    "minio": f"go install github.com/minio/minio@{_MINIO} (its binary on PATH, or in MINIO_BIN)",
    "milvus": "pip install milvus==2.3.5 setuptools (x86-64 Linux only)",
}

_BROKER_PASSWORD = "REDISCLI_AUTH"  # noqa: S105  a variable's name
_BROKER = """exec "$0" - "$@" <<END
{}
END
"""
"""Everybody on the machine sees a process's words, but not what it is given to read."""

_MILVUS_CLIENTS, _MILVUS_METRICS = 19530, 9091
_MILVUS_OTHERS = range(1, len(PORT_NAMES) + 1)
"""Stand-ins for ports that a container's Milvus has for itself: nobody names them."""

_MILVUS_STOP_SECONDS = 5.0
"""Its parts may wait for each other for ever when they end; a kill loses nothing that it stored."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one instance of a service is on this machine.

    Attributes:
        ports: Its ports here, by those in its container.
        folders: Its folders here, by where its volumes are mounted.
        home: A folder of its own.
    """

    ports: Mapping[int, int]
    folders: Mapping[str, Path]
    home: Path

    def here(self, word: str) -> str:
        """Translate a word of a command, or a value: a folder of a volume, or ``:port``."""
        for mounted, folder in self.folders.items():
            if word == mounted or word.startswith(f"{mounted}/"):
                return str(folder) + word.removeprefix(mounted)
        port = word.removeprefix(":")
        if word.startswith(":") and port.isdecimal() and int(port) in self.ports:
            return f"{LOOPBACK}:{self.ports[int(port)]}"
        return word


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run.

    Attributes:
        command: The command.
        environment: Variables beside this process's own.
        probe: Tells whether it does its work.
        stop_seconds: How long it may take to end, where that is less than its service says.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    probe: Probe
    stop_seconds: float = math.inf


def launch(service: Service, place: Place) -> Launch:
    """Say how to run one instance of a service.

    Args:
        service: Its addresses are those of this machine already.
        place: Where it is.

    Raises:
        MissingProgramError: Its program is not on this machine; the text says how to install it.
        NativeStackError: Nothing is known that could run its image here.
    """
    return _runner(service)(service, place)


def own_ports(service: Service) -> tuple[int, ...]:
    """Ports that an instance needs here."""
    return (*service.ports, *_MILVUS_OTHERS) if _runner(service) is _milvus else service.ports


def has_program(service: Service) -> bool:
    """Whether a service's image is one that can be run here at all."""
    return service.is_ours or _kind(service) in _RUNNERS


def require_programs(services: list[Service]) -> None:
    """Look for every server at once.

    Raises:
        MissingProgramError: Some are missing; the text names each with its install command.
    """
    finders: dict[Callable[[Service, Place], Launch], Callable[[], object]] = {
        _redis: find_redis,
        _minio: find_minio,
        _milvus: find_milvus,
    }
    problems = []
    for service in services:
        try:
            finders.get(_runner(service), str)()
        except MissingProgramError as error:
            problems.append(str(error))
    if problems:
        raise MissingProgramError("; ".join(problems))


def find_redis() -> str:
    """Find Valkey's or Redis's server.

    Raises:
        MissingProgramError: There is none.
    """
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return found or _missing("redis-server")


def find_minio() -> str:
    """Find the object store's server, by MINIO_BIN or on PATH.

    Raises:
        MissingProgramError: There is none.
    """
    found = shutil.which(os.environ.get("MINIO_BIN") or "minio")
    return found or _missing("minio")


def find_milvus() -> None:
    """Find PyPI's Milvus server.

    Raises:
        MissingProgramError: It is not installed.
    """
    if importlib.util.find_spec("milvus") is None:
        _missing("milvus")


def _missing(name: str) -> str:
    raise MissingProgramError(f"{name} is not on this machine; install it: {_INSTALL[name]}")


def _ours(service: Service, place: Place) -> Launch:
    interpreters = {"lithoscope": (sys.executable, "-m", "lithoscope"), "python": (sys.executable,)}
    first, *words = service.command or ("lithoscope",)
    if first not in interpreters:
        raise NativeStackError(
            f"{service.name}: found the command {first!r}; an image of ours can run only "
            f"{' and '.join(interpreters)}"
        )
    environment = {name: place.here(value) for name, value in service.environment.items()}
    environment |= {
        "LITHOSCOPE_HOME": str(place.folders.get("/var/lib/lithoscope", place.home)),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    probe: Probe = AliveProbe()
    if METRICS_PORT in service.environment:
        port = place.ports[int(service.environment[METRICS_PORT])]
        environment |= {METRICS_PORT: str(port), "LITHOSCOPE_METRICS__HOST": LOOPBACK}
        probe = HttpProbe(port, "/healthz")
    if UI_PORT in service.environment:
        port = place.ports[int(service.environment[UI_PORT])]
        environment |= {UI_PORT: str(port), **dict.fromkeys(_UI_ADDRESSES, LOOPBACK)}
    command = (*interpreters[first], *(place.here(word) for word in words))
    return Launch(command=command, environment=environment, probe=probe)


def _redis(service: Service, place: Place) -> Launch:
    """The last of options that are given twice counts; a password is read from the environment."""
    port, words = place.ports[6379], service.command
    # Options follow the server's name, or the shell's script and its name.
    given = words[4:] if words[:2] == ("sh", "-c") else words[1:]
    options = ("--port", str(port), "--bind", LOOPBACK, "--dir", str(place.folders["/data"]))
    password = service.environment.get(_BROKER_PASSWORD, "")
    script = _BROKER.format(f'requirepass "${_BROKER_PASSWORD}"' if password else "")
    return Launch(
        command=("sh", "-c", script, find_redis(), *given, *options, "--daemonize", "no"),
        environment=service.environment,
        probe=RedisProbe(port, password),
    )


def _minio(service: Service, place: Place) -> Launch:
    return Launch(
        command=(find_minio(), *(place.here(word) for word in service.command)),
        environment={name: place.here(value) for name, value in service.environment.items()},
        probe=HttpProbe(place.ports[9000], "/minio/health/cluster"),
    )


def _milvus(service: Service, place: Place) -> Launch:
    """Its etcd is set up by the package, not by the variables for the image."""
    find_milvus()
    metrics = place.ports[_MILVUS_METRICS]
    named = {name: place.ports[one] for one, name in zip(_MILVUS_OTHERS, PORT_NAMES, strict=True)}
    ports = {"proxy": place.ports[_MILVUS_CLIENTS]} | named
    module = (sys.executable, "-m", "infra.native_stack.milvus_server")
    folder = str(place.folders["/var/lib/milvus"])
    kept = {name: it for name, it in service.environment.items() if not name.startswith("ETCD_")}
    return Launch(
        command=(*module, folder, str(metrics), *(f"{name}={it}" for name, it in ports.items())),
        environment={**kept, "PYTHONPATH": str(ROOT)},
        probe=HttpProbe(metrics, "/healthz"),
        stop_seconds=_MILVUS_STOP_SECONDS,
    )


_RUNNERS: dict[str, Callable[[Service, Place], Launch]] = {
    "valkey": _redis,
    "redis": _redis,
    "silo": _minio,
    "minio": _minio,
    "milvus": _milvus,
}


def _kind(service: Service) -> str:
    return service.image.rpartition("/")[2].partition(":")[0]


def _runner(service: Service) -> Callable[[Service, Place], Launch]:
    if service.is_ours:
        return _ours
    try:
        return _RUNNERS[_kind(service)]
    except KeyError:
        raise NativeStackError(
            f"{service.name}: found the image {service.image!r}; only {', '.join(_RUNNERS)} and "
            "our own can be run without Docker"
        ) from None
