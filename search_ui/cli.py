"""Command line of the search door: ``search``, ``ui``.

What is heavy is imported inside the command, so that ``--help`` answers at once.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


class Grouping(StrEnum):
    """What an answer shows the nearest slice of."""

    SAMPLE = "sample"
    RESERVOIR = "reservoir"


class ModalityChoice(StrEnum):
    """How a rock was imaged."""

    MICRO_CT = "micro_ct"
    THIN_SECTION = "thin_section"


class Unmeasured(StrEnum):
    """What becomes of slices whose property was not measured."""

    KEEP = "keep"
    DROP = "drop"


class ViewChoice(StrEnum):
    """How an answer is laid out."""

    THREE_ROWS = "three-rows"


class AnswerFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Sheet = Annotated[Path | None, typer.Option(help="Draw a result sheet (PNG).")]
Report = Annotated[Path | None, typer.Option(help="Write a report (HTML, one page).")]
Library = Annotated[
    Path | None, typer.Option(help="Folder of an image's library; else it is looked for.")
]


@app.command()
def search(  # noqa: PLR0913  a command's options
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|KEY[#SLICE]...",
            help="Image files, indexed scans (scans/…) or their slices; several are one query.",
        ),
    ],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Slices, or groups, to show.")] = 10,
    exclude_reservoir: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="No slices of this reservoir.")
    ] = None,
    only_reservoir: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only slices of this reservoir.")
    ] = None,
    exclude_sample: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="No slices of samples of this name.")
    ] = None,
    only_sample: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only slices of samples of this name.")
    ] = None,
    exclude_object: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="No slices of this scan.")
    ] = None,
    only_object: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only slices of this scan.")
    ] = None,
    include_own_sample: Annotated[
        bool, typer.Option("--include-own-sample", help="Show the query's own sample as well.")
    ] = False,
    modality: Annotated[
        list[ModalityChoice] | None, typer.Option(help="Only slices imaged so.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW:HIGH", help="Range of a property, such as porosity=0.15:0.25."
        ),
    ] = None,
    unmeasured: Annotated[
        Unmeasured, typer.Option(help="Slices whose property in a range was not measured.")
    ] = Unmeasured.DROP,
    group_by: Annotated[
        Grouping | None, typer.Option(help="Show the nearest slice of each only.")
    ] = None,
    per_sample: Annotated[
        int | None, typer.Option(min=1, help="Most slices of one sample.")
    ] = None,
    min_similarity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Show nothing less alike.")
    ] = 0.0,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="LEFT,TOP,RIGHT,BOTTOM",
            help="Look for a part of the query, as fractions of its sides from 0 to 1.",
        ),
    ] = None,
    query_reservoir: Annotated[
        str | None, typer.Option(metavar="NAME", help="Reservoir of the image files.")
    ] = None,
    query_sample: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sample of the image files.")
    ] = None,
    query_porosity: Annotated[
        float | None, typer.Option(help="Porosity of the image files, a fraction.")
    ] = None,
    query_permeability_md: Annotated[
        float | None, typer.Option(help="Permeability of the image files, millidarcy.")
    ] = None,
    query_pixel_size_um: Annotated[
        float | None, typer.Option(help="Pixel size of the image files, micrometres.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(help="Filters in words: 'not from E2, porosity 15-25%, only micro-CT'."),
    ] = None,
    view: Annotated[
        ViewChoice | None,
        typer.Option(help="three-rows: same sample, same reservoir, other reservoirs."),
    ] = None,
    output: Annotated[AnswerFormat, typer.Option("--format")] = AnswerFormat.TABLE,
    sheet: Sheet = None,
    report: Report = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Compare with another indexed model.")
    ] = None,
    library: Library = None,
    raw: Annotated[
        str | None, typer.Option(help="Layout of headerless volumes, as of `inspect`.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset inside HDF5 files, such as /ct/data.")
    ] = None,
) -> None:
    """Find the indexed slices that are most like an image, a scan or a slice."""
    from encoder.ranking import GroupBy  # noqa: PLC0415  heavy
    from search_ui.command import Output, Reading, parse_queries, run_search  # noqa: PLC0415
    from search_ui.requests import Filters, PropertyRange, SearchRequest, Told  # noqa: PLC0415

    filters = Filters(
        only_reservoirs=tuple(only_reservoir or ()),
        exclude_reservoirs=tuple(exclude_reservoir or ()),
        only_samples=tuple(only_sample or ()),
        exclude_samples=tuple(exclude_sample or ()),
        only_objects=tuple(only_object or ()),
        exclude_objects=tuple(exclude_object or ()),
        modalities=tuple(each.value for each in modality or ()),
        ranges=tuple(map(PropertyRange.parse, where or ())),
        keep_unmeasured=unmeasured is Unmeasured.KEEP,
    )
    told = Told(
        reservoir=query_reservoir,
        sample=query_sample,
        porosity=query_porosity,
        permeability_md=query_permeability_md,
        pixel_size_um=query_pixel_size_um,
    )
    reading = Reading(library=library, raw=raw, dataset=dataset, told=told, region=region)
    request = SearchRequest(
        queries=parse_queries(queries, reading),
        k=k,
        filters=filters,
        group_by=None if group_by is None else GroupBy(group_by.value),
        per_sample=per_sample,
        min_similarity=min_similarity,
        include_own_sample=include_own_sample,
        three_rows=view is ViewChoice.THREE_ROWS,
    )
    target = Output(form=output.value, sheet=sheet, report=report)
    raise typer.Exit(run_search(request, target, words=words, against=against))


@app.command()
def ui(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="LITHOSCOPE_UI__HOST")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port.", show_default="LITHOSCOPE_UI__PORT"),
    ] = None,
) -> None:
    """Serve the pages alone, until Ctrl-C: `lithoscope up` indexes what comes as well."""
    from search_ui.serving import run_ui  # noqa: PLC0415  heavy

    raise typer.Exit(run_ui(host=host, port=port))


@app.command()
def scans(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY|WORD...]",
            help="One scan by its key with all its slices, or words of the scans to list.",
        ),
    ] = None,
    *,
    output: Annotated[AnswerFormat, typer.Option("--format")] = AnswerFormat.TABLE,
) -> None:
    """List what is indexed: reservoirs, samples, scans, and what is known of them."""
    from search_ui.command import run_scans  # noqa: PLC0415  heavy

    raise typer.Exit(run_scans(words or [], output.value))
