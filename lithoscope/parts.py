"""A command that ends with the process that began it: ``python -m lithoscope.parts PID COMMAND…``.

What ends in order takes its parts along by itself; this is for when it is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from lithoscope.command import main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tie_to(parent: int) -> None:
    """Have this process end as soon as its parent does.

    Args:
        parent: The parent; it may have ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    tie_to(int(sys.argv[1]))
    sys.argv = ["lithoscope", *sys.argv[2:]]
    main()
