"""Command line of the infra floor: ``status``, ``doctor``, ``models``, ``quarantine``, ``down``.

What is heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from encoder.cli import OutputFormat, WindowChoice

if TYPE_CHECKING:
    from infra.site import Site

app = typer.Typer(add_completion=False)
models_app = typer.Typer(
    name="models", help="Published models, and which is live.", no_args_is_help=True
)
quarantine_app = typer.Typer(
    name="quarantine", help="Scans that can't be indexed, and why.", no_args_is_help=True
)
app.add_typer(models_app)
app.add_typer(quarantine_app)

Format = Annotated[OutputFormat, typer.Option("--format", help="JSON gives one object, on stdout.")]
Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys of scans.")]
Every = Annotated[bool, typer.Option("--all", help="Every scan in quarantine.")]


@app.command()
def status(*, output: Format = OutputFormat.TEXT) -> None:
    """Tell what goes on, what there is, what is indexed, what failed and why, how large it is."""
    from infra.commands.status import run_status  # noqa: PLC0415  heavy

    raise typer.Exit(run_status(as_json=output is OutputFormat.JSON))


@app.command()
def doctor(*, output: Format = OutputFormat.TEXT) -> None:
    """Check versions, disk, memory, settings, store, index and model, and say how to mend each.

    Ends with 1 if anything fails.
    """
    from infra.commands.doctor import tell_findings  # noqa: PLC0415  heavy

    raise typer.Exit(tell_findings(as_json=output is OutputFormat.JSON))


@app.command()
def down() -> None:
    """End the embedded index server; what was indexed is kept, the next command starts it again."""
    from infra.commands.status import end_server  # noqa: PLC0415  heavy

    end_server()


@app.command("init-stack")
def init_stack_command(
    *,
    change_index_password: Annotated[
        bool,
        typer.Option(
            "--change-index-password",
            help="Ask for the index's former password, and give it the one of the settings.",
        ),
    ] = False,
) -> None:
    """Make what the stack's services need: bucket, notifications, password; again does no harm."""
    from infra.commands.init_stack import init_stack  # noqa: PLC0415  heavy

    former = None
    if change_index_password:
        former = typer.prompt("the index's former password", hide_input=True)
    init_stack(former_index_password=former)


@models_app.command("list")
def models_list(*, output: Format = OutputFormat.TEXT) -> None:
    """List the published models: which is live, and how far behind the scans each is."""
    from infra.commands.models import tell_models  # noqa: PLC0415  heavy

    with _site() as site:
        raise typer.Exit(tell_models(site, as_json=output is OutputFormat.JSON))


@models_app.command("use")
def models_use(
    ref: Annotated[str, typer.Argument(metavar="MODEL", help="Name in `lithoscope models list`.")],
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Even if it has not indexed every scan yet.")
    ] = False,
) -> None:
    """Make a model live once it has indexed every scan; ends with 1 where it has not."""
    from infra.commands.models import use_model  # noqa: PLC0415  heavy

    with _site() as site:
        raise typer.Exit(use_model(site, ref, now=now))


@models_app.command("rollback")
def models_rollback() -> None:
    """Make the model live again that was before, at once; it says how far behind that is."""
    from infra.commands.models import roll_back  # noqa: PLC0415  heavy

    with _site() as site:
        roll_back(site)


@models_app.command("drop")
def models_drop(
    ref: Annotated[str, typer.Argument(metavar="MODEL", help="Name in `lithoscope models list`.")],
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Even if it is live: nothing is found until then.")
    ] = False,
) -> None:
    """Drop what a model has indexed, so that it is indexed anew; the model stays published."""
    from infra.commands.models import drop_model  # noqa: PLC0415  heavy

    with _site() as site:
        raise typer.Exit(drop_model(site, ref, even_live=live))


@models_app.command("import-rockir")
def models_import_rockir(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of RockIR's four checkpoint files.")
    ],
    *,
    epoch: Annotated[
        int | None, typer.Option(min=0, help="Which; by default the newest that is complete.")
    ] = None,
    window: Annotated[
        WindowChoice,
        typer.Option(help="none, as RockIR: 8-bit scans as they are. percentile: any scans."),
    ] = WindowChoice.NONE,
) -> None:
    """Publish weights that RockIR trained: epoch-N.pt and rock_, siam_ and reg_epoch-N.pt."""
    from infra.commands.rockir import publish_rockir  # noqa: PLC0415  heavy

    with _site() as site:
        publish_rockir(site, folder, epoch=epoch, window=window.value)


@quarantine_app.command("list")
def quarantine_list(
    prefix: Annotated[str, typer.Argument(help="What the keys begin with.")] = "",
    *,
    output: Format = OutputFormat.TEXT,
) -> None:
    """List the scans that can't be indexed, each with its reason."""
    from infra.commands.quarantine import tell_records  # noqa: PLC0415  heavy

    with _site() as site:
        tell_records(site, prefix, as_json=output is OutputFormat.JSON)


@quarantine_app.command("show")
def quarantine_show(
    key: Annotated[str, typer.Argument(help="Key of a scan.")],
    *,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Tell everything that is known of one failure."""
    from infra.commands.quarantine import tell_record  # noqa: PLC0415  heavy

    with _site() as site:
        tell_record(site, key, as_json=output is OutputFormat.JSON)


@quarantine_app.command("retry")
def quarantine_retry(keys: Keys = None, *, every: Every = False) -> None:
    """Let scans be tried again, as if for the first time: after what was wrong is mended."""
    from infra.commands.quarantine import retry  # noqa: PLC0415  heavy

    with _site() as site:
        raise typer.Exit(retry(site, keys or [], every=every))


@quarantine_app.command("drop")
def quarantine_drop(keys: Keys = None, *, every: Every = False) -> None:
    """Forget failures; scans that are still there are tried again. Objects are left alone."""
    from infra.commands.quarantine import drop  # noqa: PLC0415  heavy

    with _site() as site:
        raise typer.Exit(drop(site, keys or [], every=every))


def _site() -> Site:
    from infra.settings import load_settings  # noqa: PLC0415  heavy
    from infra.site import open_site  # noqa: PLC0415  heavy

    return open_site(load_settings())
