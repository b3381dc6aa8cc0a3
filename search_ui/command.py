"""``lithoscope search``: from words to an answer on the terminal or in files."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from encoder.commands.outputs import check_output, written_whole
from encoder.errors import printable
from encoder.object_keys import SCANS_PREFIX
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout
from infra.settings import load_settings
from infra.site import open_site
from search_ui.printing import as_csv, as_json, as_table
from search_ui.query_words import understand
from search_ui.requests import FileQuery, ObjectQuery, Query, SearchError, SearchRequest
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search_ui.results import SearchResult

_WRITERS = {"json": as_json, "csv": as_csv, "table": as_table}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where an answer goes.

    Attributes:
        form: ``table``, ``json`` or ``csv``.
        sheet: Result sheet (PNG) to draw, or None.
    """

    form: str
    sheet: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What files that are looked for are read with.

    Attributes:
        library: Folder of their library; None to look for it.
        raw: Layout of headerless volumes as the user wrote it, or None.
        dataset: Dataset inside HDF5 files, or None.
    """

    library: Path | None = None
    raw: str | None = None
    dataset: str | None = None

    def read_options(self) -> ReadOptions | None:
        """What readers are told.

        Raises:
            LithoscopeError: The layout can't be understood.
        """
        if self.raw is None and self.dataset is None:
            return None
        layout = None if self.raw is None else parse_layout(self.raw)
        return ReadOptions(raw=layout, dataset=self.dataset)


def parse_queries(words: Sequence[str], reading: Reading) -> tuple[Query, ...]:
    """Tell files from object keys: what is there as a file is one.

    Args:
        words: What was looked for.
        reading: What files are read with.

    Raises:
        LithoscopeError: A layout that can't be understood.
    """
    read = reading.read_options()
    return tuple(_query(word, reading.library, read=read) for word in words)


def run_search(request: SearchRequest, output: Output, *, words: str | None = None) -> int:
    """Search, and print the answer.

    Args:
        request: What is asked for.
        output: Where the answer goes.
        words: What else is asked for, in words; None for nothing.

    Returns:
        0; also where there are no hits.

    Raises:
        LithoscopeError: The search can't be answered.
    """
    if output.sheet is not None:
        files = [query.path for query in request.queries if isinstance(query, FileQuery)]
        check_output(output.sheet, inputs=files, suffix=".png")
    with open_site(load_settings()) as site, SearchService(site) as service:
        with ThreadPoolExecutor(1) as ahead:  # counts what is indexed while the model is loaded
            opened = ahead.submit(service.open)
            if any(isinstance(query, FileQuery) for query in request.queries):
                service.load()
            opened.result()
        if words is not None:
            request = _with_words(request, words, service=service)
        result = service.search(request)
        if output.sheet is not None:
            _draw(result, service, request=request, path=output.sheet)
    typer.echo(_WRITERS[output.form](result))
    for note in result.notes:
        typer.echo(printable(f"note: {note}"), err=True)
    return 0


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


def _query(word: str, library: Path | None, *, read: ReadOptions | None) -> Query:
    path = Path(word)
    if not word.startswith(f"{SCANS_PREFIX}/") or path.is_file():
        return FileQuery(path=path, read=read, library=library)
    numbered = re.fullmatch(r"(.+)#(\d{1,9})", word)
    if numbered is None:
        return ObjectQuery(object_key=word)
    return ObjectQuery(object_key=numbered[1], slice_index=int(numbered[2]))


def _draw(
    result: SearchResult, service: SearchService, *, request: SearchRequest, path: Path
) -> None:
    from search_ui.sheet import result_sheet  # noqa: PLC0415  matplotlib, for its font

    pictures = [
        service.draw(query) if isinstance(query, FileQuery) else None for query in request.queries
    ]
    sheet = result_sheet(result, service.site.objects, pictures=pictures)
    with written_whole(path) as partial:
        sheet.save(partial, format="PNG")
