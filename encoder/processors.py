"""The processors that this process may use."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """Count the CPUs that this process may run on: not all of the machine's, in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
