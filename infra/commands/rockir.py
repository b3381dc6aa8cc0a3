"""``models import-rockir``: RockIR's checkpoints, published as a model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from encoder.bundle import save_bundle
from encoder.errors import printable
from encoder.rockir import NOTES, find_checkpoint, import_rockir

if TYPE_CHECKING:
    from encoder.windows import WindowRule
    from infra.site import Site


def publish_rockir(site: Site, folder: Path, *, epoch: int | None, window: WindowRule) -> None:
    """Read a checkpoint, publish it, and tell what carried over and what to do next.

    Args:
        site: The site.
        folder: Folder of the four files.
        epoch: Which; None for the newest that is complete.
        window: How a scan's grey window is found.

    Raises:
        LithoscopeError: The files are missing or refused, or the model can't be stored.
    """
    checkpoint = find_checkpoint(folder, epoch)
    encoder = import_rockir(checkpoint, window=window)
    with tempfile.TemporaryDirectory(prefix="lithoscope-") as made:
        bundle = Path(made) / "bundle"
        save_bundle(bundle, encoder)
        version = site.models.publish(bundle)
    name = version.bundle_id
    typer.echo(printable(f"{name}  {version.init}, from {folder}"))
    for note in NOTES:
        typer.echo(f"  {note}.")
    if window == "none":
        typer.echo(
            "  It takes 8-bit scans as they are; for others, import it by --window percentile"
        )
    typer.echo(
        f"next: `lithoscope ingest PATH --encoder {name}`, or for scans that were ingested "
        f"`lithoscope reindex {name}`"
    )
