"""The process that a native stack belongs to: starts it, starts again what ends, ends it in order.

Run by ``python -m infra.native_stack.supervisor FOLDER WORKERS FILE...``.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types

from encoder.errors import LithoscopeError
from infra.native_stack.plan import Plan, make_plan, read_variables
from infra.native_stack.processes import ProcessId
from infra.native_stack.stack import NativeStack
from infra.native_stack.state import StackState, read_state

WORKER = "worker"


def plan_of(folder: Path, files: list[Path], *, workers: int) -> Plan:
    """Plan the stack of a folder, on the ports that it had.

    Args:
        folder: Where its data and logs are.
        files: Compose files.
        workers: How many workers.
    """
    former = read_state(folder)
    return make_plan(
        folder,
        files,
        variables=read_variables(files[0]),
        scale={WORKER: workers},
        ports=former.ports if former is not None else None,
        fixed_ports=True,
    )


def supervise(folder: Path, files: list[Path], *, workers: int) -> None:
    """Run a stack until SIGTERM or SIGINT.

    Args:
        folder: Where its data and logs are.
        files: Compose files.
        workers: How many workers.

    Raises:
        NativeStackError: A service did not become healthy; the others are ended.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    me = psutil.Process()
    state = StackState(supervisor=ProcessId(me.pid, me.create_time()), scale={WORKER: workers})
    stack = NativeStack(plan_of(folder, files, workers=workers), state)
    try:
        with stack.supervised():
            stack.up()
            ended.wait()
    finally:
        stack.down()


def main() -> int:
    """Supervise what the command line names.

    Returns:
        The exit status.
    """
    folder, workers, *files = sys.argv[1:]
    try:
        supervise(Path(folder), [Path(file) for file in files], workers=int(workers))
    except LithoscopeError as error:
        sys.stderr.write(f"lithoscope: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
