"""``lithoscope search``: from words to an answer on the terminal or in files."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from encoder.commands.outputs import check_output, written_whole
from encoder.errors import printable
from encoder.object_keys import SCANS_PREFIX
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout
from encoder.regions import Region
from infra.settings import load_settings
from infra.site import open_site
from search_ui.comparing import ModelComparer
from search_ui.exports import Answer, to_html, to_png
from search_ui.library import Library
from search_ui.listing import overview_text, scan_text
from search_ui.printing import as_csv, as_json, as_table
from search_ui.printing_moves import MOVE_WRITERS
from search_ui.query_words import understand
from search_ui.requests import FileQuery, ObjectQuery, Query, SearchError, SearchRequest, Told
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search_ui.comparing import Comparison
    from search_ui.results import SearchResult

_WRITERS = {"json": as_json, "csv": as_csv, "table": as_table}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where an answer goes.

    Attributes:
        form: ``table``, ``json`` or ``csv``.
        sheet: Result sheet (PNG) to draw, or None.
        report: Report (HTML) to write, or None.
    """

    form: str
    sheet: Path | None
    report: Path | None = None

    def check(self, inputs: Sequence[Path]) -> None:
        """Refuse files that can't be written, before the search.

        Raises:
            LithoscopeError: One of another ending, or that is looked for.
        """
        for path, suffix in ((self.sheet, ".png"), (self.report, ".html")):
            if path is not None:
                check_output(path, inputs=inputs, suffix=suffix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is told of all that is looked for.

    Attributes:
        library: Folder of the files' library; None to look for it.
        raw: Layout of headerless volumes as the user wrote it, or None.
        dataset: Dataset inside HDF5 files, or None.
        told: What the user tells of the files.
        region: Part that is looked for, as the user wrote it, or None.
    """

    library: Path | None = None
    raw: str | None = None
    dataset: str | None = None
    told: Told = field(default_factory=Told)
    region: str | None = None

    def read_options(self) -> ReadOptions | None:
        """What readers are told.

        Raises:
            LithoscopeError: The layout can't be understood.
        """
        if self.raw is None and self.dataset is None:
            return None
        layout = None if self.raw is None else parse_layout(self.raw)
        return ReadOptions(raw=layout, dataset=self.dataset)

    def part(self) -> Region | None:
        """The part that is looked for.

        Raises:
            LithoscopeError: It can't be understood.
        """
        if self.region is None:
            return None
        try:
            left, top, right, bottom = map(float, self.region.split(","))
        except ValueError as error:
            raise SearchError(
                f"--region {self.region!r}: expected LEFT,TOP,RIGHT,BOTTOM, fractions from 0 to 1, "
                "such as 0,0,0.5,0.5"
            ) from error
        return Region(left=left, top=top, right=right, bottom=bottom)


def parse_queries(words: Sequence[str], reading: Reading) -> tuple[Query, ...]:
    """Tell files from object keys: what is there as a file is one.

    Args:
        words: What was looked for.
        reading: What files are read with.

    Raises:
        LithoscopeError: A layout that can't be understood.
    """
    queries = tuple(_query(word, reading) for word in words)
    if reading.told != Told() and not any(isinstance(each, FileQuery) for each in queries):
        raise SearchError("--query-…: tells of image files, and none is looked for; leave it out")
    return queries


def run_search(
    request: SearchRequest, output: Output, *, words: str | None = None, against: str | None = None
) -> int:
    """Search, and print the answer.

    Args:
        request: What is asked for.
        output: Where the answer goes.
        words: What else is asked for, in words; None for nothing.
        against: Another model to compare with; None for none.

    Returns:
        0; also where there are no hits.

    Raises:
        LithoscopeError: The search can't be answered.
    """
    output.check([query.path for query in request.queries if isinstance(query, FileQuery)])
    with open_site(load_settings()) as site, SearchService(site) as service:
        with ThreadPoolExecutor(1) as ahead:  # counts what is indexed while the model is loaded
            opened = ahead.submit(service.open)
            if any(isinstance(query, FileQuery) for query in request.queries):
                service.load()
            opened.result()
        if words is not None:
            request = _with_words(request, words, service=service)
        if against is None:
            result = service.search(request)
            text, notes = _WRITERS[output.form](result), result.notes
        else:
            comparison = _compared(request, against, service=service)
            result, notes = comparison.ours, comparison.notes
            text = MOVE_WRITERS[output.form](comparison)
        _write_files(result, service, request=request, output=output)
    typer.echo(text)
    for note in notes:
        typer.echo(printable(f"note: {note}"), err=True)
    return 0


def run_scans(words: Sequence[str], form: str) -> int:
    """Print what is indexed.

    Args:
        words: The key of a scan, or words of those that are to be listed.
        form: ``table``, ``json`` or ``csv``.

    Returns:
        0; also where there are none.

    Raises:
        LithoscopeError: Nothing is live, or the index does not answer.
    """
    with open_site(load_settings()) as site:
        library = Library(site)
        overview = library.overview()
        keys = {scan.object_key for scan in overview.scans}
        if len(words) == 1 and (words[0] in keys or words[0].startswith(f"{SCANS_PREFIX}/")):
            typer.echo(scan_text(library.scan_page(words[0]), form))
        else:
            typer.echo(overview_text(overview, overview.find(" ".join(words)), form=form))
    return 0


def _compared(request: SearchRequest, bundle_id: str, *, service: SearchService) -> Comparison:
    with ModelComparer(service) as comparer:
        return comparer.compare(request, bundle_id)


def _with_words(request: SearchRequest, words: str, *, service: SearchService) -> SearchRequest:
    """Ask for what words say as well, if every one is understood."""
    overview = service.library.overview()
    asked = {query.object_key for query in request.queries if isinstance(query, ObjectQuery)}
    own = {scan.reservoir or "" for scan in overview.scans if scan.object_key in asked}
    names = replace(overview.names, own_reservoirs=tuple(sorted(own - {""})))
    understood = understand(words, names)
    if understood.not_understood:
        raise SearchError(f"--words: not understood: {'; '.join(understood.not_understood)}")
    return understood.apply(request)


def _query(word: str, reading: Reading) -> Query:
    path, region = Path(word), reading.part()
    numbered = re.fullmatch(r"(.+)#(\d{1,9})", word)
    name, number = (
        (numbered[1], int(numbered[2])) if numbered and not path.exists() else (word, None)
    )
    if word.startswith(f"{SCANS_PREFIX}/") and not path.is_file() and not Path(name).is_file():
        return ObjectQuery(object_key=name, slice_index=number, region=region)
    return FileQuery(
        path=Path(name),
        read=reading.read_options(),
        library=reading.library,
        told=None if reading.told == Told() else reading.told,
        slice_index=number,
        region=region,
    )


def _write_files(
    result: SearchResult, service: SearchService, *, request: SearchRequest, output: Output
) -> None:
    if output.sheet is None and output.report is None:
        return
    answer = Answer.of(request, result, service=service)
    objects = service.site.objects
    if output.sheet is not None:
        with written_whole(output.sheet) as partial:
            partial.write_bytes(to_png(answer, objects))
    if output.report is not None:
        with written_whole(output.report) as partial:
            partial.write_text(to_html(answer, objects), encoding="utf-8")
