"""What a native stack is made of: instances of services, in order, with their places here."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from infra.native_stack.compose_file import Service, read_services
from infra.native_stack.errors import ComposeFileError
from infra.native_stack.ports import PortMap, choose_ports, localised
from infra.native_stack.programs import Launch, Place, has_program, launch, own_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLIENT = "cli"
"""Service whose settings a client of the stack has; it is not started."""

_HOME = "LITHOSCOPE_HOME"


@dataclass(frozen=True, slots=True)
class Plan:
    """A stack that can be started.

    Attributes:
        folder: Where its data and logs are.
        services: What is started, by name, each after what it waits for; addresses are those of
            this machine.
        client: The service that clients take their settings from.
        instances: Service of each instance.
        ports: Ports of each instance.
    """

    folder: Path
    services: Mapping[str, Service]
    client: Service
    instances: Mapping[str, Service]
    ports: PortMap

    def launch(self, instance: str) -> Launch:
        """Say how to run an instance; its folders are made."""
        return launch(self.instances[instance], self._place(instance))

    def client_settings(self) -> dict[str, str]:
        """Settings (LITHOSCOPE_*) of commands that talk to this stack."""
        home = self.folder / "homes" / CLIENT
        home.mkdir(parents=True, exist_ok=True)
        return {**self.client.environment, _HOME: str(home)}

    def log(self, instance: str) -> Path:
        """Where an instance's output goes."""
        return self.folder / "logs" / f"{instance}.log"

    def _place(self, instance: str) -> Place:
        service = self.instances[instance]
        home = self.folder / "homes" / instance
        folders = {
            mounted: self.folder / "volumes" / name for mounted, name in service.volumes.items()
        }
        for folder in (home, *folders.values(), self.log(instance).parent):
            folder.mkdir(parents=True, exist_ok=True)
        return Place(ports=self.ports[instance], folders=folders, home=home)


def read_variables(file: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read what `${…}` stands for: ``.env`` beside the compose file, and before it the environment.

    Args:
        file: The compose file.
        changes: What counts more than both.
    """
    in_file = dotenv_values(file.parent / ".env")
    known = {name: value for name, value in in_file.items() if value is not None}
    return {**known, **os.environ, **(changes or {})}


def make_plan(
    folder: Path,
    files: Sequence[Path],
    *,
    variables: Mapping[str, str],
    scale: Mapping[str, int] | None = None,
    ports: PortMap | None = None,
    fixed_ports: bool = False,
) -> Plan:
    """Plan a stack.

    Args:
        folder: Where its data and logs are, or will be.
        files: Compose files, later ones laid over earlier ones.
        variables: What `${…}` in them stands for.
        scale: How many processes of a service, where not one.
        ports: Ports of a stack that had been planned before.
        fixed_ports: The containers' ports, where they are free.

    Raises:
        ComposeFileError: A file can't be used.
    """
    read = read_services(files, variables)
    if CLIENT not in read:
        raise ComposeFileError(
            f"{files[0]}: found no service {CLIENT!r}; write one, with clients' settings"
        )
    started = [one for one in read.values() if not one.profiles and has_program(one)]
    counts = {service.name: (scale or {}).get(service.name, 1) for service in started}
    names = {
        f"{service.name}-{number}": service
        for service in _in_order(started)
        for number in range(1, counts[service.name] + 1)
    }
    if ports is None or ports.keys() != names.keys():
        wanted = {name: own_ports(service) for name, service in names.items()}
        ports = choose_ports(wanted, fixed=fixed_ports)
    here = {
        one.name: _moved(one, started, ports=ports) for one in [*_in_order(started), read[CLIENT]]
    }
    return Plan(
        folder=folder,
        services={name: service for name, service in here.items() if name != CLIENT},
        client=here[CLIENT],
        instances={name: here[service.name] for name, service in names.items()},
        ports=ports,
    )


def _in_order(services: list[Service]) -> list[Service]:
    by_name = {service.name: service for service in services}
    graph = {
        service.name: [name for name in service.after if name in by_name] for service in services
    }
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise ComposeFileError(
            f"compose file: services wait for each other in a circle, {error.args[1]}; remove one "
            "depends_on"
        ) from error


def _moved(service: Service, services: list[Service], *, ports: PortMap) -> Service:
    return dataclasses.replace(
        service,
        command=tuple(localised(word, services, ports=ports) for word in service.command),
        environment={
            name: localised(value, services, ports=ports)
            for name, value in service.environment.items()
        },
    )
