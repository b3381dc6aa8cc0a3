"""``lithoscope inspect``: tell what each scan is, and draw a contact sheet."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from encoder.commands.inspection import Inspection, count_text
from encoder.commands.outputs import check_output, written_whole
from encoder.commands.reading import Libraries, ReadingRequest
from encoder.decoding import DecodeOptions
from encoder.errors import ScanError, printable
from encoder.metadata.problems import MetadataError
from encoder.progress import progress_bar
from encoder.sheets import CELL_PX, Cell, draw_sheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from encoder.commands.collect import ScanFile
    from encoder.decoding import DecodedScan
    from encoder.windows import WindowRule

SHEET_CELLS = 60
"""Pictures of a contact sheet, at most."""

SLICES_OF_ONE = 12
"""Pictures of one scan on a contact sheet, at most."""

BLOCKS_UP_TO = 8
"""Scans that are told in full; more are told in a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectRequest:
    """What ``lithoscope inspect`` was asked for.

    Attributes:
        reading: Paths and limits.
        sheet: Contact sheet to draw, or None.
        as_json: Print JSON lines.
        window: How the grey window is found.
    """

    reading: ReadingRequest
    sheet: Path | None
    as_json: bool
    window: WindowRule


def run_inspect(request: InspectRequest) -> int:
    """Inspect scans and print what was found.

    Returns:
        0, or 1 where something was refused.

    Raises:
        LithoscopeError: The request can't be carried out.
    """
    files = request.reading.files()
    if request.sheet is not None:
        check_output(request.sheet, inputs=(file.path for file in files), suffix=".png")
    libraries = Libraries.of(files)
    for problem in libraries.problems:
        typer.echo(printable(problem), err=True)
    tally, sheet = _Tally(), _Sheet(len(files))
    for number, inspection in enumerate(_inspections(files, libraries, request=request)):
        tally.add(inspection)
        sheet.add(number, inspection)
        typer.echo(_text(inspection, n_scans=len(files), as_json=request.as_json))
    for note in (*files.notes, *libraries.notes(request.reading.paths)):
        typer.echo(printable(f"note: {note}"), err=True)
    if not request.as_json:
        typer.echo(tally.summary())
    if request.sheet is not None:
        with written_whole(request.sheet) as partial:
            draw_sheet(sheet.cells).save(partial, format="PNG")
    return 1 if tally.refused or libraries.problems else 0


def _inspections(
    files: Sequence[ScanFile], libraries: Libraries, *, request: InspectRequest
) -> Iterator[Inspection]:
    options = DecodeOptions(
        read=request.reading.read_options(), window=request.window, max_side=CELL_PX
    )
    with request.reading.pool() as pool, progress_bar() as progress:
        bar = progress.add_task("Inspecting", total=len(files), visible=not sys.stdout.isatty())
        results = pool.decode_many((file.path for file in files), options)
        for file, (_, result) in zip(files, results, strict=True):
            yield _inspect(file, result, libraries=libraries)
            progress.advance(bar)


def _inspect(
    file: ScanFile, result: DecodedScan | ScanError, *, libraries: Libraries
) -> Inspection:
    problems = [file.problem or result.reason] if isinstance(result, ScanError) else []
    scan = None if isinstance(result, ScanError) else result
    metadata = None
    try:
        metadata = libraries.resolve(file)
        if scan is not None:
            metadata = metadata.with_file_pixel_size(scan.info.pixel_size_um)
    except MetadataError as error:
        problems += [str(problem) for problem in error.problems]
    return Inspection(path=file.path, scan=scan, metadata=metadata, problems=tuple(problems))


def _text(inspection: Inspection, *, n_scans: int, as_json: bool) -> str:
    if as_json:
        return inspection.json()
    return inspection.block() if n_scans <= BLOCKS_UP_TO else inspection.line()


@dataclass(slots=True)
class _Tally:
    """Counts of what was seen."""

    scans: int = 0
    refused: int = 0
    slices: int = 0
    formats: Counter[str] = field(default_factory=Counter)

    def add(self, inspection: Inspection) -> None:
        self.scans += 1
        self.refused += bool(inspection.problems)
        if inspection.scan is not None:
            self.slices += len(inspection.scan.slices)
            self.formats[inspection.scan.info.format] += 1

    def summary(self) -> str:
        formats = ", ".join(f"{count} {name}" for name, count in self.formats.most_common())
        good = self.scans - self.refused
        return (
            f"{count_text(self.scans, 'scan')}: {good} good, {self.refused} refused; "
            f"{count_text(self.slices, 'slice')}; {formats or 'no format known'}"
        )


class _Sheet:
    """The cells of a contact sheet: several slices of each of few scans, one of each of many."""

    def __init__(self, n_scans: int) -> None:
        shown = min(n_scans, SHEET_CELLS)
        self._numbers = {number * n_scans // shown for number in range(shown)}
        self._slices_of_one = min(SLICES_OF_ONE, SHEET_CELLS // shown)
        self.cells: list[Cell] = []

    def add(self, number: int, inspection: Inspection) -> None:
        if number not in self._numbers:
            return
        name = inspection.path.name
        if inspection.scan is None:
            self.cells.append(Cell(lines=(name, inspection.problems[0])))
            return
        scan = inspection.scan
        pixel_size_um = inspection.metadata.pixel_size_um if inspection.metadata else None
        shown = min(len(scan.slices), self._slices_of_one)
        for step in range(shown):
            piece = scan.slices[(2 * step + 1) * len(scan.slices) // (2 * shown)]
            width_px = piece.tile.width if piece.tile else scan.info.width
            self.cells.append(
                Cell(
                    lines=(name, _place_text(piece.plane, inspection)),
                    pixels=piece.pixels,
                    width_um=pixel_size_um and pixel_size_um * width_px,
                )
            )


def _place_text(plane: int | None, inspection: Inspection) -> str:
    metadata = inspection.metadata
    names = [metadata.reservoir, metadata.sample] if metadata else []
    place = [] if plane is None else [f"plane {plane}"]
    return " · ".join([*place, *(name for name in names if name)])
