"""A process of a service on each GPU of the machine: they begin together and end together.

A process that sees several GPUs uses one; so each is shown its own. When one ends, the others are
asked to end too, and whoever runs this (a container with a restart policy) starts all again.

Run by ``python -m infra.gpu_workers COMMAND...``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings_groups import env_name

if TYPE_CHECKING:
    from collections.abc import Sequence

PORTS_FILE = "metrics-ports"
"""Beside the service's state: the ports of all processes, for the health check."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_POLL_SECONDS = 0.2


def gpus() -> list[str]:
    """Names of the GPUs that this process may use; none on a machine without."""
    named = os.environ.get(_VISIBLE)
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    import torch  # noqa: PLC0415  seconds, which a machine whose GPUs are named need not wait

    return [str(number) for number in range(torch.cuda.device_count())]


def environments(devices: Sequence[str]) -> list[dict[str, str]]:
    """Variables of each process: its GPU, and a port of its own for health and metrics.

    Args:
        devices: Names of GPUs; none: one process without any.
    """
    port_name = env_name("metrics", "port")
    first = os.environ.get(port_name)
    found = []
    for number, device in enumerate(devices or [""]):
        changes = {_VISIBLE: device}
        if first:
            changes[port_name] = str(int(first) + number)
        found.append(dict(os.environ) | changes)
    return found


def run_each(command: Sequence[str], each: Sequence[dict[str, str]]) -> int:
    """Run a command in several environments until one ends, or until SIGTERM.

    Args:
        command: The command.
        each: Variables of each process.

    Returns:
        The first bad exit status; 0 if all ended well.
    """
    children = [subprocess.Popen(command, env=one) for one in each]  # noqa: S603  the service's own command
    is_ending = False

    def end(*_: object) -> None:
        nonlocal is_ending
        is_ending = True
        for child in children:
            if child.poll() is None:
                child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while any(child.poll() is None for child in children):
        if not is_ending and any(child.poll() is not None for child in children):
            end()
        time.sleep(_POLL_SECONDS)
    return next((abs(child.returncode) for child in children if child.returncode), 0)


def main() -> int:
    """Run what the command line names on every GPU.

    Returns:
        The exit status.
    """
    each = environments(gpus())
    home = Path(os.environ.get(env_name("home")) or ".")
    ports = [one[env_name("metrics", "port")] for one in each if env_name("metrics", "port") in one]
    (home / PORTS_FILE).write_text("\n".join(ports), encoding="utf-8")
    return run_each(sys.argv[1:], each)


if __name__ == "__main__":
    sys.exit(main())
