"""Command line of the native stack: ``stack up``, ``down``, ``status``, ``env``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)
stack_app = typer.Typer(
    name="stack", help="The stack without Docker, from docker-compose.yml.", no_args_is_help=True
)
app.add_typer(stack_app)

_ROOT = Path(__file__).resolve().parents[2]

Folder = Annotated[Path, typer.Option("--folder", help="Where its data and logs are.")]
Files = Annotated[
    list[Path] | None, typer.Option("--file", "-f", help="Compose files instead of our own.")
]
_FOLDER = Path("lithoscope-stack")


@stack_app.command("up")
def up(
    *,
    folder: Folder = _FOLDER,
    files: Files = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 1,
) -> None:
    """Start every service as a process of this machine, and wait until all are healthy."""
    from infra.native_stack.background import bring_up  # noqa: PLC0415  help must answer at once

    is_new = bring_up(folder, _files(files), workers=workers)
    typer.echo("the stack is up" if is_new else "the stack was up already")
    _tell(folder, _files(files))
    option = "" if folder == _FOLDER else f" --folder {shlex.quote(str(folder))}"
    typer.echo(f'commands talk to it after:  eval "$(lithoscope stack env{option})"')


@stack_app.command("down")
def down(*, folder: Folder = _FOLDER) -> None:
    """End every service in order; what they stored is kept."""
    from infra.native_stack.background import bring_down  # noqa: PLC0415  see above

    typer.echo("the stack is down" if bring_down(folder) else "no stack ran")


@stack_app.command("status")
def status(*, folder: Folder = _FOLDER, files: Files = None) -> None:
    """Tell how each service is; ends with 1 if one is not well."""
    raise typer.Exit(0 if _tell(folder, _files(files)) else 1)


@stack_app.command("env")
def env(*, folder: Folder = _FOLDER, files: Files = None) -> None:
    """Print the settings of commands that talk to this stack, as lines for a shell."""
    from infra.native_stack.background import client_settings  # noqa: PLC0415  see above

    for name, value in client_settings(folder, _files(files)).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _files(files: list[Path] | None) -> list[Path]:
    return files or [_ROOT / "docker-compose.yml"]


def _tell(folder: Path, files: list[Path]) -> bool:
    """Print a line for each service; gives whether all are well."""
    from infra.native_stack.background import look  # noqa: PLC0415  see above

    lines = look(folder, files)
    for line in lines:
        state = {True: "healthy", False: "not healthy", None: "done"}[line.is_healthy]
        if not line.is_alive and line.is_healthy is not None:
            state = "not running"
        ports = " ".join(f"{port}->127.0.0.1:{here}" for port, here in line.ports.items())
        pid = f"process {line.pid}" if line.pid else ""
        typer.echo(f"{line.name:<16}{state:<13}{pid:<16}{ports}".rstrip())
    return all(line.is_healthy is not False for line in lines)
