"""A native stack in the background: commands that come and go start it, look at it, end it."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.native_stack.errors import NativeStackError
from infra.native_stack.plan import read_variables
from infra.native_stack.ports import is_free
from infra.native_stack.processes import start
from infra.native_stack.programs import ROOT, require_programs
from infra.native_stack.state import StackState, read_state
from infra.native_stack.supervisor import WORKER, plan_of

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.2
_UP_SECONDS = 600.0
_DOWN_SECONDS = 1200.0
_LEFT_OVER_SECONDS = 60.0
_TAIL = 3


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """One instance, for people.

    Attributes:
        name: The instance.
        is_alive: Whether it runs.
        is_healthy: Whether it passes its health check; None for one that ends by itself.
        pid: Its process.
        ports: Where it listens, by port in its container.
    """

    name: str
    is_alive: bool
    is_healthy: bool | None
    pid: int | None
    ports: dict[int, int]


def bring_up(folder: Path, files: list[Path], *, workers: int) -> bool:
    """Start a stack and wait until it is healthy.

    Args:
        folder: Where its data and logs are; made if need be.
        files: Compose files.
        workers: How many workers.

    Returns:
        Whether it was started now; a stack that is up is left as it is.

    Raises:
        NativeStackError: It does not come up.
        MissingProgramError: Servers are not on this machine; the text says how to install them.
    """
    if _supervisor_lives(folder):
        return False
    # What people uploaded is in it, and what the services are asked with.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _end_left_over(folder)
    _forget_taken_ports(folder)
    plan = plan_of(folder, files, workers=workers)
    require_programs(list(plan.services.values()))
    log = folder / "supervisor.log"
    words = (str(folder.resolve()), str(workers), *(str(file.resolve()) for file in files))
    child = start(
        (sys.executable, "-m", "infra.native_stack.supervisor", *words),
        {**os.environ, **read_variables(files[0]), "PYTHONPATH": str(ROOT)},
        folder=folder,
        log=log,
    )
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
            raise NativeStackError(f"stack: did not come up; {' | '.join(lines)}")
        state = read_state(folder)
        if state is not None and state.is_up and _supervisor_lives(folder):
            return True
        time.sleep(_POLL_SECONDS)
    child.terminate()
    raise NativeStackError(f"stack: not up after {_UP_SECONDS:g} s; see {log} and {folder}/logs")


def bring_down(folder: Path) -> bool:
    """End the stack of a folder; its data stay.

    Returns:
        Whether anything ran.

    Raises:
        NativeStackError: It does not end.
    """
    state = read_state(folder)
    if state is None:
        return False
    ran = bool(state.alive()) or _supervisor_lives(folder)
    if state.supervisor is not None and state.supervisor.is_alive():
        state.supervisor.end(_DOWN_SECONDS)
    _end_left_over(folder)
    if left := (read_state(folder) or state).alive():
        pids = ", ".join(str(one.pid) for one in left.values())
        raise NativeStackError(f"stack: processes {pids} still run; end them yourself")
    return ran


def look(folder: Path, files: list[Path]) -> list[ServiceLine]:
    """Tell how the services of a stack are.

    Args:
        folder: Its folder.
        files: Compose files.
    """
    state = read_state(folder) or StackState()
    plan = plan_of(folder, files, workers=state.scale.get(WORKER, 1))
    alive = state.alive()
    return [
        ServiceLine(
            name=name,
            is_alive=name in alive,
            is_healthy=(name in alive and plan.launch(name).probe.is_healthy())
            if service.restart in {"always", "unless-stopped"}
            else None,
            pid=alive[name].pid if name in alive else None,
            ports={port: here for port, here in plan.ports[name].items() if port in service.ports},
        )
        for name, service in plan.instances.items()
    ]


def client_settings(folder: Path, files: list[Path]) -> dict[str, str]:
    """Settings of commands that talk to the stack of a folder.

    Args:
        folder: Its folder.
        files: Compose files.

    Raises:
        NativeStackError: None runs there.
    """
    state = read_state(folder)
    if state is None or not state.alive():
        raise NativeStackError(f"{folder}: no stack runs there; start one: lithoscope stack up")
    return plan_of(folder, files, workers=state.scale.get(WORKER, 1)).client_settings()


def _supervisor_lives(folder: Path) -> bool:
    state = read_state(folder)
    return state is not None and state.supervisor is not None and state.supervisor.is_alive()


def _end_left_over(folder: Path) -> None:
    """End what a supervisor that was killed left behind, in the order that it would have taken."""
    state = read_state(folder)
    for process in reversed(list(state.alive().values()) if state is not None else []):
        process.end(_LEFT_OVER_SECONDS)


def _forget_taken_ports(folder: Path) -> None:
    """Let ports be chosen anew where something else has one of the former ones now."""
    state = read_state(folder)
    if state is not None:
        used = [port for ports in state.ports.values() for port in ports.values()]
        if not all(is_free(port) for port in used):
            state.ports = {}
            state.write(folder)
