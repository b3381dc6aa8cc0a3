"""An answer as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from encoder.errors import printable
from encoder.ranking import View
from infra.indexing.records import NUMBER_COLUMNS
from search_ui.rock_properties import RockProperties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from search_ui.results import SearchHit, SearchResult

VIEW_TITLES = {
    View.SAME_SAMPLE: "same sample",
    View.SAME_RESERVOIR: "same reservoir, other samples",
    View.OTHER_RESERVOIRS: "other reservoirs",
}

NOT_MEASURED = "not measured"

_COLUMNS = (
    "rank",
    "absolute",
    "similarity",
    "distance",
    "reservoir",
    "sample",
    "φ",
    "k (mD)",
    "slice",
)

_PREDICTED_COLUMNS = ("predicted φ", "predicted k (mD)")
"""Where the model predicts: beside what was measured."""


def as_json(result: SearchResult) -> str:
    """Write an answer as JSON: docs/search.md tells every name."""
    return json.dumps(result.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)


def as_csv(result: SearchResult) -> str:
    """Write what is shown as CSV, `SearchResult.lists`; what is not known is empty."""
    shown = [(str(view or "hits"), hit) for view, hits in result.lists.items() for hit in hits]
    rows = [_csv_row(name, hit) for name, hit in shown]
    numbers = tuple(shown[0][1].row.numbers) if shown else NUMBER_COLUMNS
    names = ("list", "rank", "absolute_rank", "object_key", "slice_index", "reservoir", "sample")
    measures = ("modality", "similarity", "distance", *numbers, "view", "preview_key")
    text = io.StringIO()
    writer = csv.DictWriter(text, (*names, *measures), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def as_table(result: SearchResult) -> str:
    """Write an answer for people to read."""
    lines = [_about(result), *_known_of_queries(result), ""]
    if result.views:
        for view, hits in result.views.items():
            lines += [VIEW_TITLES[view] + (":" if hits else ": none"), *_table(hits, result), ""]
    else:
        lines += [*_table(result.hits, result), ""]
    if not (result.hits or result.views):
        lines[-2:] = ["no slice passes these filters", ""]
    lines.append(_funnel_line(result))
    lines.append(_model_line(result))
    return printable_lines(lines)


def printable_lines(lines: Sequence[str]) -> str:
    """Join lines, each tamed: names of files and samples are anyone's words."""
    return "\n".join(printable(line) for line in lines)


def porosity_text(value: float | None) -> str:
    """Write a measured porosity."""
    return NOT_MEASURED if value is None else f"{value:.3g}"


def permeability_text(value: float | None) -> str:
    """Write a measured permeability: without powers of ten, which people don't read."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rank_text(rank: int | None, ranked: int) -> str:
    """Write an absolute rank; beyond what was looked through, that it is beyond."""
    return f">{ranked:,}" if rank is None else f"{rank:,}"


def rank_help(rank: int | None, ranked: int) -> str:
    """Say what a rank is, and why it is told no further where it isn't."""
    told = "Rank among all slices, without filters"
    if rank is not None:
        return told
    return f"{told}: beyond {ranked:,}, as far as was counted for this answer"


def csv_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of a line of CSV: no name is a formula to a spreadsheet that opens it."""
    return {name: _no_formula(value) for name, value in row.items()}


def csv_columns(table: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """Columns of a table on a page, which offers it as CSV: likewise."""
    return {name: [_no_formula(value) for value in values] for name, values in table.items()}


def _no_formula(value: Any) -> Any:  # noqa: ANN401  a cell
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _csv_row(name: str, hit: SearchHit) -> dict[str, Any]:
    return csv_cells({"list": name, **hit.to_dict()})


def _about(result: SearchResult) -> str:
    known = []
    for query in result.queries:
        slices = "slice" if query.n_slices == 1 else "slices"
        names = ", ".join(
            f"{kind} {name or 'not known'}"
            for kind, name in (("reservoir", query.reservoir), ("sample", query.sample))
        )
        known.append(f"{query.name} ({query.n_slices} {slices}; {names})")
    return "like " + " and ".join(known)


def _known_of_queries(result: SearchResult) -> list[str]:
    """What is measured and predicted of each query, side by side, where anything is."""
    lines = []
    for query in result.queries:
        known = query.properties
        values = (
            ("porosity", porosity_text(known.porosity), known.predicted_porosity, porosity_text),
            (
                "permeability",
                _with_unit(known.permeability_md),
                known.predicted_permeability_md,
                _with_unit,
            ),
        )
        told = [
            f"{name} {'measured ' * (measured != NOT_MEASURED)}{measured}"
            + ("" if predicted is None else f", predicted {text(predicted)}")
            for name, measured, predicted, text in values
        ]
        if known != RockProperties():
            lines.append(f"{query.name}: {'; '.join(told)}")
    return lines


def _with_unit(permeability_md: float | None) -> str:
    text = permeability_text(permeability_md)
    return text if permeability_md is None else f"{text} mD"


def _table(hits: Sequence[SearchHit], result: SearchResult) -> list[str]:
    if not hits:
        return []
    names: tuple[str, ...] = _COLUMNS
    left = [4, 5, 8]
    shown: list[tuple[str, ...]] = [_cells(hit, result.ranked) for hit in hits]
    predictions = [_predicted_cells(hit) for hit in hits]
    if any(map(any, predictions)):
        names, left = (*_COLUMNS[:-1], *_PREDICTED_COLUMNS, _COLUMNS[-1]), [4, 5, 10]
        shown = [
            (*cells[:-1], *(value or "–" for value in predicted), cells[-1])
            for cells, predicted in zip(shown, predictions, strict=True)
        ]
    return text_table([names, *shown], left=left)


def text_table(rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> list[str]:
    """Lay rows out in columns.

    Args:
        rows: Cells, the header first.
        left: Numbers of the columns that begin at the left; figures end at the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(hit: SearchHit, ranked: int) -> tuple[str, ...]:
    row = hit.row
    return (
        str(hit.rank),
        rank_text(hit.absolute_rank, ranked),
        f"{hit.similarity:.3f}",
        f"{hit.distance:.4g}",
        row.reservoir or "not known",
        row.sample or "not known",
        porosity_text(row.numbers.get("porosity")),
        permeability_text(row.numbers.get("permeability_md")),
        f"{row.object_key}#{row.slice_index}",
    )


def _predicted_cells(hit: SearchHit) -> tuple[str, str]:
    """Predicted porosity and permeability; empty where there are none."""
    numbers = hit.row.numbers
    porosity = numbers.get("predicted_porosity")
    permeability = numbers.get("predicted_permeability_md")
    return (
        "" if porosity is None else porosity_text(porosity),
        "" if permeability is None else permeability_text(permeability),
    )


def _funnel_line(result: SearchResult) -> str:
    steps = " → ".join(f"{each.slices:,} {each.step}" for each in result.funnel.steps)
    hidden = result.funnel.hidden_own
    more = f"; {hidden:,} of the query's own sample hidden" if hidden else ""
    return f"slices: {steps}{more}" + ("" if result.funnel.exact else " (counts not exact)")


def _model_line(result: SearchResult) -> str:
    model = result.model
    name = model.bundle_id or model.collection
    init = f" ({model.init})" if model.init else ""
    exact = "exact" if result.exact else "not exact"
    return (
        f"model: {name}{init}, {model.metric}; similarity = {model.similarity}; {exact} search; "
        f"{result.timings_ms['total']:.0f} ms"
    )
