"""Command line of publishing: ``publish``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  Typer reads the annotations
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", readable=False)],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder of its data.", show_default="where it was")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the gate finds it worse than the live model.")
    ] = False,
) -> None:
    """Publish what a run learned, unless the live model is better; ends with 1 where it is.

    What is live stays live: `lithoscope reindex` fills the new model's collection and switches.
    """
    from trainer.publish_command import PublishRequest, run_publish  # noqa: PLC0415  heavy

    raise typer.Exit(run_publish(PublishRequest(run=run, data=data, force=force)))
