"""Command line of the core: ``inspect``, ``encode``, ``encoders``.

What is heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoder.planes import DEFAULT_MAX_PIXELS
from encoder.sandbox.process import DecodeLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.commands.reading import ReadingRequest

LIMITS = DecodeLimits()

app = typer.Typer(add_completion=False)

Paths = Annotated[list[Path], typer.Argument(readable=False, help="Scans, and folders of scans.")]
Library = Annotated[
    Path | None,
    typer.Option(help="Folder that reservoirs' folders and tables lie in; else it is looked for."),
]
Raw = Annotated[
    str | None,
    typer.Option(
        help="Layout of headerless volumes, such as 1000x1000x1000:uint16 (slowest first)."
    ),
]
Dataset = Annotated[str | None, typer.Option(help="Dataset inside HDF5 files, such as /ct/data.")]
MaxPixels = Annotated[int, typer.Option(min=1, help="Largest plane that is decoded, in pixels.")]
Memory = Annotated[int, typer.Option(min=256, help="Memory that decoding one file may take, MiB.")]
Timeout = Annotated[
    float, typer.Option(min=0.1, max=86_400, help="Time that decoding one file may take, s.")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Decoding processes.", show_default="one per CPU")
]


class OutputFormat(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


class WindowChoice(StrEnum):
    """How the grey window of a scan is found."""

    PERCENTILE = "percentile"
    NONE = "none"


@app.command()
def inspect(  # noqa: PLR0913  a command's options
    paths: Paths,
    *,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw a contact sheet (PNG) of the scans' slices.")
    ] = None,
    output: Annotated[
        OutputFormat, typer.Option("--format", help="JSON gives one object a line.")
    ] = OutputFormat.TEXT,
    window: Annotated[
        WindowChoice, typer.Option(help="Grey window: measured, or none for calibrated 8-bit data.")
    ] = WindowChoice.PERCENTILE,
    library: Library = None,
    raw: Raw = None,
    dataset: Dataset = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    memory_mib: Memory = LIMITS.memory_bytes >> 20,
    timeout_s: Timeout = LIMITS.seconds,
    jobs: Jobs = None,
) -> None:
    """Tell what each scan is: format, shape, window, slices, metadata and its sources, problems."""
    from encoder.commands.inspect import InspectRequest, run_inspect  # noqa: PLC0415  heavy

    reading = _reading(locals())
    request = InspectRequest(
        reading=reading, sheet=sheet, as_json=output is OutputFormat.JSON, window=window.value
    )
    raise typer.Exit(run_inspect(request))


@app.command()
def encode(  # noqa: PLR0913  a command's options
    context: typer.Context,
    paths: Paths,
    *,
    encoder: Annotated[str, typer.Option(help="Name of the encoder: see `lithoscope encoders`.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    init: Annotated[
        str,
        typer.Option(
            help="Where weights come from: imagenet, seed:N (untrained), a bundle or file."
        ),
    ] = "imagenet",
    library: Library = None,
    raw: Raw = None,
    dataset: Dataset = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    memory_mib: Memory = LIMITS.memory_bytes >> 20,
    timeout_s: Timeout = LIMITS.seconds,
    jobs: Jobs = None,
) -> None:
    """Turn every slice of the scans into a vector; a bad file is reported, and the rest goes on."""
    from encoder.commands.encode import EncodeRequest, run_encode  # noqa: PLC0415  heavy

    reading = _reading(locals())
    request = EncodeRequest(reading=reading, encoder=encoder, init=init, out=out)
    raise typer.Exit(run_encode(request, find_weights=context.obj))


@app.command()
def encoders() -> None:
    """List the encoders by name."""
    from encoder.encoders import ENCODERS  # noqa: PLC0415  heavy

    width = max(len(name) for name in ENCODERS)
    for name, spec in ENCODERS.items():
        typer.echo(f"{name:<{width}}  {spec.dimension:>5}-d  {spec.metric:<7}  {spec.summary}")


def _reading(options: Mapping[str, Any]) -> ReadingRequest:
    """What a command was asked to read: its options bear the names of the request's fields."""
    from encoder.commands.reading import ReadingRequest  # noqa: PLC0415  heavy

    given = {field.name: options[field.name] for field in fields(ReadingRequest)}
    return ReadingRequest(**{**given, "paths": tuple(given["paths"])})
