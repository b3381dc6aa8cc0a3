"""Whether a service does its work: the health checks of its container, asked from this machine."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass

from infra.native_stack.ports import LOOPBACK

_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Asks for a page.

    Attributes:
        port: Where.
        path: Which.
    """

    port: int
    path: str

    def is_healthy(self) -> bool:
        """Whether the page is answered with 200."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_SECONDS)
        try:
            connection.request("GET", self.path)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return answer.status == http.HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class RedisProbe:
    """Asks a Redis server for its PONG, which it gives when it has read its data.

    Attributes:
        port: Where.
        password: Empty if it wants none.
    """

    port: int
    password: str

    def is_healthy(self) -> bool:
        """Whether it answers."""
        words = [["AUTH", self.password]] if self.password else []
        message = b"".join(_request(one) for one in [*words, ["PING"]])
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=_SECONDS) as server:
                server.sendall(message)
                answer = b""
                while answer.count(b"\r\n") <= len(words):
                    received = server.recv(4096)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")


@dataclass(frozen=True, slots=True)
class AliveProbe:
    """For what has no health check: it is well as long as it runs."""

    def is_healthy(self) -> bool:
        """Always."""
        return True


Probe = HttpProbe | RedisProbe | AliveProbe


def _request(words: list[str]) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
