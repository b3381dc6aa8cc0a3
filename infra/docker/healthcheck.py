#!/usr/bin/env python3
"""Health check of the image: asks the service in this container how it is.

It imports nothing of ours: it runs every few seconds. A command without an endpoint
(LITHOSCOPE_METRICS__PORT not set) is healthy as long as it runs.
"""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path


def ports() -> list[int]:
    """Where the processes of this container answer: several on a machine with several GPUs."""
    listed = Path(os.environ.get("LITHOSCOPE_HOME", ".")) / "metrics-ports"
    try:
        found = listed.read_text(encoding="utf-8").split()
    except OSError:
        found = [os.environ.get("LITHOSCOPE_METRICS__PORT", "")]
    return [int(port) for port in found if port]


def is_well(port: int) -> bool:
    """Ask one process."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        text = answer.read(1000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{port}: {error}\n")
        return False
    finally:
        connection.close()
    sys.stdout.write(f"{port}: {text}\n")
    return answer.status == http.client.OK


if __name__ == "__main__":
    sys.exit(0 if all(is_well(port) for port in ports()) else 1)
