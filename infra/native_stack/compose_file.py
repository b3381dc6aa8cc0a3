"""Compose files as a native stack reads them: commands, environment, order, volumes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml

from encoder.errors import one_line
from infra.native_stack.errors import ComposeFileError
from infra.native_stack.interpolation import interpolated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_STOP_SECONDS = 10.0


class Condition(StrEnum):
    """What of a service another one waits for."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    DONE = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a compose file.

    Attributes:
        name: Its name, which is its host name in containers.
        image: Image with its tag.
        is_ours: It is built from this repository.
        command: Entry point and command.
        environment: Its variables.
        ports: Ports that it listens on in its container.
        volumes: Names of its volumes by where they are mounted; files of the repository are not
            among them.
        after: What it waits for, by service.
        profiles: It starts only where one of these is asked for; none: always.
        restart: Whether it is started again when it ends: ``no``, ``on-failure``, ``always`` or
            ``unless-stopped``.
        stop_seconds: How long it may take to end.
    """

    name: str
    image: str
    is_ours: bool = False
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, Condition] = field(default_factory=dict)
    profiles: frozenset[str] = frozenset()
    restart: str = "no"
    stop_seconds: float = _STOP_SECONDS


def read_services(paths: Sequence[Path], variables: Mapping[str, str]) -> dict[str, Service]:
    """Read compose files, later ones laid over earlier ones.

    Args:
        paths: The files.
        variables: What ``${…}`` in them stands for.

    Returns:
        Services by name.

    Raises:
        ComposeFileError: A file can't be read, or a required variable is missing.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in paths:
        for name, service in _loaded(path, variables).items():
            merged[name] = _laid_over(merged.get(name, {}), service)
    return {name: _service(name, raw) for name, raw in merged.items()}


def _loaded(path: Path, variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        told = one_line(error)
        raise ComposeFileError(f"{path}: no compose file ({told}); name one that is") from error
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict):
        raise ComposeFileError(f"{path}: found no services; name a compose file that has some")
    return {name: _filled(service or {}, variables) for name, service in services.items()}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401  YAML of any shape
    if isinstance(value, str):
        return interpolated(value, variables)
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    return value


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge as Compose does: mappings and lists grow, what else is read here is replaced."""
    merged = below | above
    merged["environment"] = _mapping(below.get("environment")) | _mapping(above.get("environment"))
    for name in ("volumes", "expose"):
        merged[name] = [*below.get(name, []), *above.get(name, [])]
    merged["depends_on"] = _conditions(below) | _conditions(above)
    return merged


def _service(name: str, raw: dict[str, Any]) -> Service:
    volumes = [str(volume).split(":") for volume in raw["volumes"] if isinstance(volume, str)]
    return Service(
        name=name,
        image=str(raw.get("image", "")),
        is_ours="build" in raw,
        command=(*_words(name, raw.get("entrypoint")), *_words(name, raw.get("command"))),
        environment=raw["environment"],
        ports=tuple(int(port) for port in raw["expose"]),
        volumes={
            parts[1]: parts[0]
            for parts in volumes
            if len(parts) > 1 and not parts[0].startswith((".", "/", "~"))
        },
        after=raw["depends_on"],
        profiles=frozenset(raw.get("profiles") or ()),
        restart=str(raw.get("restart", "no")),
        stop_seconds=_seconds(raw.get("stop_grace_period", f"{_STOP_SECONDS:g}s")),
    )


def _mapping(raw: object) -> dict[str, str]:
    """Read variables, which are a mapping or a list of ``NAME=value``."""
    if isinstance(raw, list):
        return dict(str(line).split("=", 1) for line in raw if "=" in str(line))
    if not isinstance(raw, dict):
        return {}
    return {str(name): "" if value is None else str(value) for name, value in raw.items()}


def _conditions(raw: dict[str, Any]) -> dict[str, Condition]:
    after = raw.get("depends_on") or {}
    if isinstance(after, list):
        return dict.fromkeys(after, Condition.STARTED)
    return {
        name: one if isinstance(one, Condition) else Condition(one["condition"])
        for name, one in after.items()
    }


def _words(name: str, raw: object) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise ComposeFileError(
            f"compose file: {name} has a command in one text, {raw!r}; write it as a list of words"
        )
    return tuple(str(word) for word in raw)


def _seconds(text: object) -> float:
    """Read ``1m30s``."""
    found = _DURATION.findall(str(text))
    if not found or "".join(number + unit for number, unit in found) != str(text):
        raise ComposeFileError(f"compose file: found {text!r} for a time; write it as 90s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in found)
