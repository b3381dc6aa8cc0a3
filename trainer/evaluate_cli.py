"""Command line of evaluation: ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(  # noqa: PLR0913  a command's options
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Folder of a bundle or a run, published model, kaze, or ENCODER@START such as "
            "dsnn@seed:0; NAME=MODEL names it. Differences are to the first.",
        ),
    ],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data.", show_default="the run's")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Settings: TOML, or a run's config.json; by default those of the first run.",
            show_default=False,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, such as data.source=rockir.", show_default=False),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(help="A run's split.json; by default the first run's.", show_default=False),
    ] = None,
    part: Annotated[
        Literal["train", "val", "test", "all"], typer.Option(help="Part that asks.")
    ] = "test",
    database: Annotated[
        Literal["same", "train", "val", "test", "all"],
        typer.Option(help="Part that is searched; same as the one that asks."),
    ] = "same",
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.html.")] = Path(
        "evaluation"
    ),
) -> None:
    """Measure models on the same slices: retrieval, properties, intervals; write a report."""
    from rich.console import Console  # noqa: PLC0415  help must answer at once

    from encoder.errors import printable  # noqa: PLC0415
    from encoder.progress import progress_bar  # noqa: PLC0415
    from infra.settings import load_settings  # noqa: PLC0415
    from trainer.evaluate_command import EvaluationRequest, run_evaluation  # noqa: PLC0415
    from trainer.report import write_report  # noqa: PLC0415
    from trainer.report_tables import PIPE_WIDTH, facts, terminal_tables  # noqa: PLC0415

    request = EvaluationRequest(
        models=tuple(models),
        config=config,
        data=data,
        overrides=tuple(overrides or ()),
        split=split,
        part=part,
        database=database,
    )
    with progress_bar() as progress:
        bar = progress.add_task("Encoding", total=None)
        result = run_evaluation(
            request,
            load_settings(),
            on_start=lambda total: progress.update(bar, total=total),
            on_done=lambda done: progress.advance(bar, done),
        )
    files = write_report(result, out)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    for name, value in facts(result.trial):
        console.print(printable(f"{name}: {value}"), markup=False, highlight=False)
    console.print(*terminal_tables(result, width=console.width))
    typer.echo(f"{files.html}\n{files.json}")
