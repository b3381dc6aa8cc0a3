"""The report of an evaluation: ``report.json`` for programs, ``report.html`` for people."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from encoder.commands.outputs import written_whole
from encoder.errors import OutputError
from encoder.ranking import View
from trainer import report_page as html
from trainer.measures import Measure
from trainer.report_plots import draw_intervals, draw_predictions, draw_retrieved
from trainer.report_sheets import choose_queries, draw_found, draw_query, find_views, webp
from trainer.report_tables import (
    SIGNED,
    best_names,
    bounds,
    facts,
    headlines,
    number,
    report_dict,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.evaluation import EvaluationResult, ModelResult
    from trainer.figures import FigureKey

JSON_NAME = "report.json"
HTML_NAME = "report.html"

QUERIES_SHOWN = 4

_VIEW_NAMES = {
    View.SAME_SAMPLE: "Same sample",
    View.SAME_RESERVOIR: "Same reservoir, other samples",
    View.OTHER_RESERVOIRS: "Other reservoirs (analogs)",
}

_READING = (
    "mAP (standard)@k is the area under each query's precision at its relevant slices within the "
    "first k, divided by the smaller of k and the number of relevant slices. mAP (RockIR)@k is the "
    "mean precision at the first k relevant slices, wherever in the ranking they stand, as the "
    "code of Shim et al. (2023) has it. Relevant is what comes from the query's reservoir (or "
    "class). “Sample out” leaves every slice of the query's sample out, “query out” the query "
    "itself, “query in” nothing: a query that finds itself counts as a hit. Intervals are 95 % "
    "bootstrap intervals that draw whole samples; differences are paired."
)


class ReportFiles(NamedTuple):
    """Where a report is.

    Attributes:
        json: For programs.
        html: For people.
    """

    json: Path
    html: Path


def write_report(
    result: EvaluationResult, folder: Path, *, beside: Sequence[str] = ()
) -> ReportFiles:
    """Write both files; each appears whole or not at all.

    Args:
        result: The evaluation.
        folder: Folder to write into; made where it is missing.
        beside: Names of the two models whose retrieved slices are shown side by side; by default
            the first two.

    Raises:
        OutputError: A file can't be written.
    """
    files = ReportFiles(folder / JSON_NAME, folder / HTML_NAME)
    contents = (
        json.dumps(report_dict(result), indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        report_page(result, beside=beside),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: can't be made ({error.strerror}); name a folder of yours"
        ) from error
    for path, content in zip(files, contents, strict=True):
        with written_whole(path) as partial:
            # Names of files may hold bytes that are no text.
            partial.write_text(content, encoding="utf-8", errors="backslashreplace")
    return files


def report_page(result: EvaluationResult, *, beside: Sequence[str] = ()) -> str:
    """Write the page.

    Args:
        result: The evaluation.
        beside: As in `write_report`.
    """
    sections = [
        ("Figures", "figures", _figures(result)),
        ("Predicted properties", "predicted", _predicted(result)),
        ("Properties of retrieved slices", "retrieved", _retrieved(result)),
        ("Retrieved slices", "slices", _sheets(result, beside)),
        ("Every figure", "every", _every_figure(result)),
    ]
    shown = [(name, anchor, parts) for name, anchor, parts in sections if parts]
    title_ = "Evaluation of " + ", ".join(model.name for model in result.models)
    parts = [
        html.heading("Retrieval of rock images: evaluation", 1),
        html.terms(facts(result.trial)),
        html.links((name, anchor) for name, anchor, _ in shown),
        *(
            html.heading(name, 2, anchor=anchor) + "\n".join(section)
            for name, anchor, section in shown
        ),
    ]
    return html.page(title_, parts)


def _figures(result: EvaluationResult) -> list[str]:
    keys = headlines(result)
    head = [("Model", ""), *map(title, keys)]
    rows = [
        [_model_cell(model), *(_figure_cell(result, model, key=key) for key in keys)]
        for model in result.models
    ]
    parts = [
        html.table(head, rows, caption="The best value of each column is coloured."),
        html.paragraph(_READING, soft=True),
    ]
    plotted = draw_intervals(result, keys[0])
    if plotted:
        parts.append(html.figure(plotted, "png", words=f"{keys[0]}, with 95 % intervals"))
    if len(result.models) > 1:
        parts.append(_differences(result, keys))
    return parts


def _differences(result: EvaluationResult, keys: Sequence[FigureKey]) -> str:
    columns = [result.differences(key) for key in keys]
    rows = [
        [
            html.cell(model.name),
            *(
                html.cell(number(column[model.name].value, SIGNED), bounds(column[model.name]))
                if model.name in column
                else html.cell("–")
                for column in columns
            ),
        ]
        for model in result.others
    ]
    first = result.base.name
    caption = f"Each model less {first}, by paired bootstrap over samples"
    return html.heading(f"Differences to {first}", 3) + html.table(
        [("Model", ""), *map(title, keys)], rows, caption=caption
    )


def _predicted(result: EvaluationResult) -> list[str]:
    parts = []
    for model in result.models:
        drawn = draw_predictions(result.trial, model)
        if drawn:
            words = (
                f"{model.name}: predicted against measured properties, and their differences; "
                "a sample's predictions are averaged over its slices (Figs 4 and 5 of the paper)"
            )
            parts.append(html.heading(model.name, 3) + html.figure(drawn, "png", words=words))
    keys = [key for key in result.keys if key.measure == "R²" or key.measure.startswith("MAE")]
    if not parts or not keys:
        return []
    return [_figure_table(result, keys, caption="Predicted properties"), *parts]


def _retrieved(result: EvaluationResult) -> list[str]:
    keys = [key for key in result.keys if key.measure.startswith("distance")]
    if not keys:
        return []
    caption = (
        "Mean perpendicular distance of (query, retrieved) to the diagonal; the query's sample "
        "is left out"
    )
    parts = [_figure_table(result, keys, caption=caption)]
    for model in result.models:
        drawn = draw_retrieved(result.trial, model)
        if drawn:
            words = (
                f"{model.name}: properties of the first, second and third slice that were "
                "retrieved against the query's, and their differences (Figs 6 to 8 of the paper)"
            )
            parts.append(html.heading(model.name, 3) + html.figure(drawn, "png", words=words))
    return parts


def _sheets(result: EvaluationResult, beside: Sequence[str]) -> list[str]:
    named = {model.name: model for model in result.models}
    models = [named[name] for name in beside if name in named] or list(result.models[:2])
    slices = result.trial.slices
    parts = [
        html.paragraph(
            "Each picture bears its rank in the whole ranking, the query left out, its sample and "
            "what was measured (Figs 9 to 12 of the paper). Queries are chosen by their place in "
            "the data, not by how well they do.",
            soft=True,
        )
    ]
    for query in choose_queries(result.trial, QUERIES_SHOWN):
        columns = []
        for model in models:
            rows = [html.heading(model.name, 3)]
            for view, found in find_views(result.trial, model, query=query).items():
                words = f"{_VIEW_NAMES[view]}, as {model.name} ranks them"
                sheet = html.picture(webp(draw_found(slices, found)), "webp", words=words)
                rows.append(html.heading(_VIEW_NAMES[view], 4) + sheet)
            columns.append("".join(rows))
        asked = html.picture(
            webp(draw_query(slices, query)), "webp", words=f"Query: {slices.name_of(query)}"
        )
        name = html.paragraph(f"Query: {slices.name_of(query)}")
        parts.append(f'<div class="query">{asked}{name}</div>{html.side_by_side(columns)}')
    return parts


def _every_figure(result: EvaluationResult) -> list[str]:
    """Tables of all ks and cases, folded: one for each measure and case."""
    parts = []
    for (measure, scope), keys in groupby(
        (key for key in result.keys if key.measure in set(Measure)),
        key=lambda key: (key.measure, key.scope),
    ):
        content = _figure_table(result, list(keys), caption="")
        parts.append(html.folded(f"{measure}, {scope}", content))
    return parts


def _figure_table(result: EvaluationResult, keys: Sequence[FigureKey], *, caption: str) -> str:
    """Models in columns: those that have any of the figures."""
    models = [model for model in result.models if not model.statistics.keys().isdisjoint(keys)]
    head = [("Figure", ""), *((model.name, "") for model in models)]
    rows = [
        [html.cell(*title(key)), *(_figure_cell(result, model, key=key) for model in models)]
        for key in keys
    ]
    return html.table(head, rows, caption=caption)


def _figure_cell(result: EvaluationResult, model: ModelResult, *, key: FigureKey) -> str:
    interval = model.interval(key)
    if interval is None:
        return html.cell("–")
    best = model.name in best_names(result, key)
    return html.cell(number(interval.value), bounds(interval), best=best)


def _model_cell(model: ModelResult) -> str:
    runs = f"mean of {model.runs} runs" if model.runs > 1 else ""
    return html.cell(
        model.name, "; ".join(filter(None, (model.description.origin, runs, model.note)))
    )
