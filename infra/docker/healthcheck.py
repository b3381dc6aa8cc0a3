#!/usr/bin/env python3
"""Health check of the image: asks the service in this container how it is.

It imports nothing of ours: it runs every few seconds. A command without an endpoint
(LITHOSCOPE_METRICS__PORT not set) is healthy as long as it runs.
"""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    """Ask.

    Returns:
        0 if it is well, else 1.
    """
    port = os.environ.get("LITHOSCOPE_METRICS__PORT")
    if not port:
        return 0
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=4)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        text = answer.read(1000).decode("utf-8", "replace")
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(text)
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
