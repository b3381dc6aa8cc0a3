"""The command ``lithoscope``: what each floor offers, mounted.

The mounted modules import what is heavy inside their commands, so that
``lithoscope --help`` answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from encoder.cli import app as encoder_app
from encoder.errors import LithoscopeError, printable
from infra.cli import app as infra_app
from infra.native_stack.cli import app as native_app
from ingest_worker.cli import app as ingest_app
from search_ui.cli import app as search_app
from trainer.cli import app as trainer_app

if TYPE_CHECKING:
    from types import FrameType

app = typer.Typer(
    name="lithoscope",
    help="A search engine for rock images: find the analogs of a rock sample.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for mounted in (ingest_app, search_app, trainer_app, infra_app, native_app, encoder_app):
    app.add_typer(mounted)


@app.command()
def demo(  # noqa: PLR0913  a command's options
    folder: Annotated[Path, typer.Argument(help="Folder that everything goes into.")] = Path(
        "lithoscope-demo"
    ),
    *,
    init: Annotated[str, typer.Option(help="Where the encoder's weights begin.")] = "seed:0",
    epochs: Annotated[int, typer.Option(min=1, help="How long it is trained.")] = 16,
    pixels: Annotated[int, typer.Option(min=16, help="Side of its slices in pixels.")] = 112,
    reservoirs: Annotated[int, typer.Option(help="Reservoirs of the library.")] = 8,
    samples: Annotated[int, typer.Option(help="Samples of each reservoir.")] = 6,
    size: Annotated[int, typer.Option(help="Edge of its volumes in voxels.")] = 128,
    ui: Annotated[bool, typer.Option("--ui/--no-ui", help="End in the pages.")] = True,
) -> None:
    """Try everything: make synthetic rocks, train on them, index them, search in a browser."""
    from lithoscope.demo import DemoPlan, run_demo  # noqa: PLC0415  help must answer at once

    run_demo(
        DemoPlan(
            folder=folder,
            init=init,
            epochs=epochs,
            pixels=pixels,
            reservoirs=reservoirs,
            samples=samples,
            size=size,
            has_ui=ui,
        )
    )


@app.command()
def up(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port.", show_default="LITHOSCOPE_UI__PORT"),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Search in a browser, and index what comes into the bucket: everything, until Ctrl-C."""
    from lithoscope.up import run_up  # noqa: PLC0415  help must answer at once

    raise typer.Exit(run_up(port=port, opens_browser=browser))


def find_weights(backbone: str, init: str) -> Path | None:
    """Answer the core's question for pretrained weights: it may not look for them itself."""
    from infra.weights import find_weights as find  # noqa: PLC0415  torch, needed by few commands

    return find(backbone, init)


def print_version(wanted: bool) -> None:  # noqa: FBT001  the callback of a flag
    """Print the version and end, if asked to."""
    if wanted:
        typer.echo(version("lithoscope"))
        raise typer.Exit


@app.callback()
def prepare(
    context: typer.Context,
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=print_version, help="Show the version."),
    ] = False,
) -> None:
    """A search engine for rock images: find the analogs of a rock sample."""
    del show_version
    context.obj = find_weights


def main() -> None:
    """Run the command line; an error that its user can mend is one line, not a traceback."""
    # Before torch is loaded: its threads share the cores with decoding processes, and those that
    # wait by spinning (the default) slow both down several times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # terminals that lack a sign
    try:
        app()
    except LithoscopeError as error:
        typer.echo(f"lithoscope: {printable(str(error))}", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"lithoscope: {printable(str(error))}; mend that and try again", err=True)
        sys.exit(2)


def _end(signal_number: int, _frame: FrameType | None) -> NoReturn:
    """End as on Ctrl-C: child processes and unfinished files are cleared away."""
    sys.exit(128 + signal_number)
