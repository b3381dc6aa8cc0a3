"""Command line of the ingest door: ``ingest``, ``upload``, ``watch``, ``reconcile``, ``reindex``.

What is heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


class OutputFormat(StrEnum):
    """How the answer is printed."""

    TEXT = "text"
    JSON = "json"


Format = Annotated[OutputFormat, typer.Option("--format", help="JSON gives one object, on stdout.")]
Model = Annotated[
    str | None,
    typer.Option(help="A published model: see `lithoscope models list`.", show_default="live one"),
]


Paths = Annotated[
    list[Path],
    typer.Argument(readable=False, help="Scans, and folders of scans; those in the bucket stay."),
]


@app.command()
def ingest(  # noqa: PLR0913  a command's options
    context: typer.Context,
    paths: Paths,
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Encoder to index with: a name of `lithoscope encoders`, or a published model.",
            show_default="live one",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Where its weights come from: imagenet, seed:N (untrained), a bundle or file."
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(help="Folder that reservoirs' folders and tables lie in; else looked for."),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            help="Layout of headerless volumes, such as 1000x1000x1000:uint16 (slowest first)."
        ),
    ] = None,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Copy scans into the bucket and index them; what is there already is not done again."""
    from ingest_worker.commands.ingest import IngestRequest, run_ingest  # noqa: PLC0415  heavy

    request = IngestRequest(
        paths=tuple(paths),
        encoder=encoder,
        init=init,
        library=library,
        raw=raw,
        as_json=output is OutputFormat.JSON,
    )
    raise typer.Exit(run_ingest(request, find_weights=context.obj))


@app.command()
def upload(
    paths: Paths,
    *,
    library: Annotated[
        Path | None,
        typer.Option(help="Folder that reservoirs' folders and tables lie in; else looked for."),
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(
            help="Layout of headerless volumes, such as 1000x1000x1000:uint16 (slowest first)."
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Files that are copied at the same time.")
    ] = 4,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Copy scans into the bucket, checked; workers index them. Interrupted, it goes on.

    Ends with 1 where a file is refused.
    """
    from ingest_worker.commands.upload import UploadRequest, run_upload  # noqa: PLC0415  heavy

    request = UploadRequest(
        paths=tuple(paths),
        library=library,
        raw=raw,
        at_once=parallel,
        as_json=output is OutputFormat.JSON,
    )
    raise typer.Exit(run_upload(request))


@app.command()
def watch(
    context: typer.Context,
    *,
    model: Model = None,
    interval: Annotated[
        float,
        typer.Option(min=1.0, max=86_400, help="S3 only: seconds between two comparisons."),
    ] = 60.0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Begin as soon as a model is live, if none is.")
    ] = False,
    output: Annotated[
        OutputFormat, typer.Option("--format", help="JSON gives one object a line.")
    ] = OutputFormat.TEXT,
) -> None:
    """Index what comes into the bucket, changes or goes, as it happens, until Ctrl-C."""
    from ingest_worker.commands.watch import WatchRequest, run_watch  # noqa: PLC0415  heavy

    request = WatchRequest(
        model=model, interval=interval, waits=wait, as_json=output is OutputFormat.JSON
    )
    raise typer.Exit(run_watch(request, find_weights=context.obj))


@app.command()
def reconcile(
    context: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only tell what differs.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Count every row and picture as well.")
    ] = False,
    model: Model = None,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Compare the bucket with the index, and set right what differs.

    Ends with 1 where something still does. A scan that is quarantined as it is now does not differ.
    """
    from ingest_worker.commands.reconcile import (  # noqa: PLC0415  heavy
        ReconcileRequest,
        run_reconcile,
    )

    request = ReconcileRequest(
        check=check, deep=deep, model=model, as_json=output is OutputFormat.JSON
    )
    raise typer.Exit(run_reconcile(request, find_weights=context.obj))


@app.command()
def reindex(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A published model: see `lithoscope models list`.",
            show_default="newest that passed the release gate",
        ),
    ] = None,
    *,
    switch: Annotated[
        bool, typer.Option("--switch/--no-switch", help="Make it live once it misses nothing.")
    ] = True,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Make it live even if it misses scans, as told."),
    ] = False,
    background: Annotated[
        bool,
        typer.Option("--background", help="Stack: leave it all to the workers, and end at once."),
    ] = False,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Index every scan with another model while the live one serves, then make it live.

    Ends with 1, and what is live stays so, where scans are missing. A run that was interrupted is
    gone on with by the same command.
    """
    if background:
        from ingest_worker.commands.background import run_background  # noqa: PLC0415  heavy

        if allow_missing or not switch:
            raise typer.BadParameter("--background switches when nothing is missing, and only then")
        raise typer.Exit(run_background(model, as_json=output is OutputFormat.JSON))
    from ingest_worker.commands.reindex import ReindexRequest, run_reindex  # noqa: PLC0415  heavy

    request = ReindexRequest(
        model=model,
        switch=switch,
        allow_missing=allow_missing,
        as_json=output is OutputFormat.JSON,
    )
    raise typer.Exit(run_reindex(request))


@app.command()
def dispatch() -> None:
    """Stack: pass the bucket's events on to the workers, until SIGTERM."""
    from ingest_worker.commands.dispatch import run_dispatch  # noqa: PLC0415  heavy

    raise typer.Exit(run_dispatch())


@app.command()
def worker(
    *,
    queues: Annotated[
        str,
        typer.Option(
            help="Queues to empty, joined by commas: encode, maintenance, encode.bulk.",
            show_default="all of them",
        ),
    ] = "",
) -> None:
    """Stack: work on tasks, one at a time; SIGTERM lets the running one end."""
    from ingest_worker.commands.worker import run_worker  # noqa: PLC0415  heavy

    raise typer.Exit(run_worker([name for name in queues.split(",") if name]))


@app.command()
def scheduler() -> None:
    """Stack: have bucket and index compared, and models rolled out, on time; SIGTERM ends it."""
    from ingest_worker.commands.scheduler import run_scheduler  # noqa: PLC0415  heavy

    raise typer.Exit(run_scheduler())
