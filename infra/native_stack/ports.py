"""Ports and host names: what containers have each for themselves, services on one machine share."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.native_stack.compose_file import Service

LOOPBACK = "127.0.0.1"

_LAST_PORT = 65535

PortMap = dict[str, dict[int, int]]
"""By instance of a service, and port in its container: the port on this machine."""


def choose_ports(wanted: Mapping[str, Iterable[int]], *, fixed: bool) -> PortMap:
    """Choose ports that are free on this machine.

    Args:
        wanted: Ports in its container, by instance.
        fixed: The same ports as in the containers where they are free, else the next free ones;
            otherwise any.
    """
    taken: set[int] = set()
    chosen: PortMap = {}
    for name, ports in wanted.items():
        chosen[name] = {}
        for port in ports:
            found = _next_free(port, taken) if fixed else _any_free(taken)
            taken.add(found)
            chosen[name][port] = found
    return chosen


def localised(text: str, services: Iterable[Service], *, ports: PortMap) -> str:
    """Replace ``service:port`` by where that service is on this machine."""
    for service in services:
        for port, here in ports.get(f"{service.name}-1", {}).items():
            pattern = rf"(?<![\w.-]){re.escape(service.name)}:{port}(?!\d)"
            text = re.sub(pattern, f"{LOOPBACK}:{here}", text)
    return text


def is_free(port: int) -> bool:
    """Whether a server could listen on this port, on every address of the machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _next_free(port: int, taken: set[int]) -> int:
    return next(one for one in range(port, _LAST_PORT) if one not in taken and is_free(one))


def _any_free(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
