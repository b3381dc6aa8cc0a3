"""Command line of the trainer."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  Typer reads the annotations
from typing import Annotated

import typer

from encoder.processors import usable_cpus
from trainer.evaluate_cli import app as evaluate_app
from trainer.publish_cli import app as publish_app

app = typer.Typer(add_completion=False)
library_app = typer.Typer(
    name="library", help="Libraries of rock scans.", no_args_is_help=True, add_completion=False
)
app.add_typer(library_app)
app.add_typer(evaluate_app)
app.add_typer(publish_app)


@app.command()
def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings stronger than the file's: section.name=value, such as data.path=rocks.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run: log, checkpoints, bundle.")],
    config: Annotated[
        Path | None, typer.Option(help="Settings (TOML); see configs/.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if there is one.")
    ] = False,
) -> None:
    """Fit an encoder to a library of scans, and leave it as a bundle."""
    from encoder.errors import printable  # noqa: PLC0415  help must answer at once
    from trainer.train_command import TrainRequest, run_train  # noqa: PLC0415
    from trainer.training_errors import NotFiniteError  # noqa: PLC0415

    request = TrainRequest(config=config, overrides=tuple(overrides or ()), out=out, resume=resume)
    try:
        run_train(request)
    except NotFiniteError as error:  # what was asked for is right, what was fed is not
        typer.echo(f"train: {printable(str(error))}", err=True)
        raise typer.Exit(1) from error


@library_app.callback()
def _library() -> None:
    """Libraries of rock scans."""


@library_app.command()
def synth(  # noqa: PLR0913  a command's options
    out: Annotated[Path, typer.Argument(help="Folder to build; must not exist or be empty.")],
    *,
    reservoirs: Annotated[int, typer.Option(help="Reservoirs, in kin groups (2 to 60).")] = 8,
    samples: Annotated[int, typer.Option(help="Samples of each reservoir (1 to 500).")] = 6,
    size: Annotated[int, typer.Option(help="Edge of the volumes in voxels (16 to 512).")] = 128,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    thin_sections: Annotated[
        int, typer.Option(help="Samples of each reservoir with a thin section too.")
    ] = 1,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; all cores if not given.", show_default=False)
    ] = None,
) -> None:
    """Make a library of synthetic rocks: micro-CT volumes, thin sections and their metadata.

    Reservoirs come in kin groups, recorded in kin.json. A fifth of the samples has no porosity
    and permeability in metadata.csv; truth.json has everyone's.
    """
    from encoder.errors import LithoscopeError  # noqa: PLC0415  help must answer at once
    from encoder.progress import progress_bar  # noqa: PLC0415
    from trainer.library_plan import LibrarySpec  # noqa: PLC0415
    from trainer.synthetic import build_library  # noqa: PLC0415

    try:
        spec = LibrarySpec(
            reservoirs=reservoirs,
            samples=samples,
            size=size,
            seed=seed,
            thin_sections=thin_sections,
        )
        with progress_bar() as progress:
            bar = progress.add_task("Growing rocks", total=reservoirs * samples)
            plan = build_library(
                spec,
                out,
                jobs=usable_cpus() if jobs is None else jobs,
                on_sample=lambda _: progress.advance(bar),
            )
    except LithoscopeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    unmeasured = sum(not task.measured for task in plan.tasks)
    groups = len({reservoir.group for reservoir in plan.reservoirs})
    typer.echo(
        f"{out}: {len(plan.tasks)} samples of {len(plan.reservoirs)} reservoirs "
        f"in {groups} kin groups, {unmeasured} samples unmeasured"
    )
