"""What a running native stack leaves on record, so that later commands find and end it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infra.native_stack.processes import ProcessId

if TYPE_CHECKING:
    from pathlib import Path

    from infra.native_stack.ports import PortMap

_FILE = "stack.json"


@dataclass(slots=True)
class StackState:
    """A stack on record.

    Attributes:
        supervisor: The process that starts again what ends, if one does.
        is_up: Everything was healthy once.
        ports: Ports of each instance.
        processes: Process of each instance that was started.
        scale: How many processes of a service, where not one.
    """

    supervisor: ProcessId | None = None
    is_up: bool = False
    ports: PortMap = field(default_factory=dict)
    processes: dict[str, ProcessId] = field(default_factory=dict)
    scale: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Put it on record."""
        draft = folder / f".{_FILE}.new"
        draft.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        draft.replace(folder / _FILE)

    def alive(self) -> dict[str, ProcessId]:
        """Those of its processes that still run."""
        return {name: one for name, one in self.processes.items() if one.is_alive()}


def read_state(folder: Path) -> StackState | None:
    """Read what is on record; None if nothing is, or what a loss of power left of it."""
    try:
        raw: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        supervisor = raw["supervisor"]
        return StackState(
            supervisor=ProcessId(**supervisor) if supervisor else None,
            is_up=raw["is_up"],
            ports={
                name: {int(port): here for port, here in ports.items()}
                for name, ports in raw["ports"].items()
            },
            processes={name: ProcessId(**one) for name, one in raw["processes"].items()},
            scale=raw["scale"],
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
