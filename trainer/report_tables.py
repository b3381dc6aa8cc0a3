"""Figures of an evaluation as text: cells, a terminal table and JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from trainer.bootstrap import Interval, Statistic
    from trainer.evaluation import EvaluationResult, ModelResult, Trial
    from trainer.figures import FigureKey

SIGNED = "+.3f"

PIPE_WIDTH = 140
"""Characters of a line where there is no terminal."""

_MODEL_WIDTH = 28
_FIGURE_WIDTH = 12


def headlines(result: EvaluationResult) -> tuple[FigureKey, ...]:
    """Figures of the short table that any model has."""
    return tuple(key for key in result.headlines if key in result.keys)


def title(key: FigureKey) -> tuple[str, str]:
    """A figure's name and what it is of, for the head of a column.

    Such as ``("mAP@10", "standard, sample out")``; units stay with the name.
    """
    measure, scope = str(key.measure), str(key.scope)
    if key.at.startswith("top"):
        return f"{measure}, {key.at}", scope
    if not key.at:
        return measure, scope
    name, _, definition = measure.partition(" (")
    return f"{name}@{key.at}", f"{definition.rstrip(')')}, {scope}" if definition else scope


def number(value: float, form: str = ".3f") -> str:
    """Write a number with three decimals, or four digits where it is large; a dash for none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:{form}}"


def bounds(interval: Interval) -> str:
    """Write the ends of an interval, or why it has none; nothing where there is no figure."""
    if not math.isfinite(interval.low):
        return "too few samples for an interval" if math.isfinite(interval.value) else ""
    return f"{number(interval.low)} … {number(interval.high)}"


def short_bounds(interval: Interval) -> str:
    """The same for a narrow column."""
    if not math.isfinite(interval.low):
        return "few samples" if math.isfinite(interval.value) else ""
    return f"{number(interval.low, '.2f')}…{number(interval.high, '.2f')}"


def facts(trial: Trial) -> list[tuple[str, str]]:
    """What was measured on, in rows of name and value."""
    slices = trial.slices

    def extent(rows: Any) -> str:  # noqa: ANN401  an array of rows
        samples, reservoirs = set(slices.sample[rows]), set(slices.reservoir[rows])
        return (
            f"{len(rows):,} slices of {len(samples):,} samples from {len(reservoirs):,} "
            "reservoirs or classes"
        )

    itself = set(trial.queries) == set(trial.database)
    return [
        ("Queries", extent(trial.queries)),
        ("Database", "the queries themselves" if itself else extent(trial.database)),
        *(("Note", note) for note in trial.notes),
    ]


def best_names(result: EvaluationResult, key: FigureKey) -> set[str]:
    """Models with the best value of a figure; of errors and distances the smallest is best."""
    values = {
        model.name: round(model.statistics[key].value, 3)
        for model in result.models
        if key in model.statistics and math.isfinite(model.statistics[key].value)
    }
    if len(values) < 2:
        return set()
    smallest = key.measure.startswith(("MAE", "distance"))
    best = min(values.values()) if smallest else max(values.values())
    return {name for name, value in values.items() if value == best}


def terminal_tables(result: EvaluationResult, *, width: int = PIPE_WIDTH) -> list[Table]:
    """Lay the short table out, and paired differences where there are several models.

    Args:
        result: The evaluation.
        width: Characters of a line; on a narrow terminal the last columns are left out.
    """
    keys = headlines(result)[: max(1, (width - _MODEL_WIDTH - 4) // (_FIGURE_WIDTH + 3))]
    table = _table("Figures with 95 % intervals", keys)
    for model in result.models:
        table.add_row(_name(model), *(_cell(result, model, key=key) for key in keys))
    if len(result.models) == 1:
        return [table]
    paired = _table(f"Differences to {result.base.name}, by paired bootstrap", keys)
    columns = [result.differences(key) for key in keys]
    for model in result.others:
        found = [column.get(model.name) for column in columns]
        paired.add_row(Text(model.name), *map(_difference, found))
    return [table, paired]


def report_dict(result: EvaluationResult) -> dict[str, Any]:
    """Everything as plain JSON types; what can't be measured is null."""
    slices = result.trial.slices
    return {
        "lithoscope": version("lithoscope"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "fingerprint": slices.fingerprint(),
            "queries": len(result.trial.queries),
            "database": len(result.trial.database),
            "query_samples": len(set(result.trial.samples.tolist())),
            "reservoirs": len(set(slices.reservoir[result.trial.queries].tolist())),
            "notes": list(result.trial.notes),
        },
        "reference": result.base.name,
        "models": [_model_dict(result, model) for model in result.models],
    }


def _model_dict(result: EvaluationResult, model: ModelResult) -> dict[str, Any]:
    base = result.base
    compared = {} if model is base else dict(base.statistics)
    return {
        "name": model.name,
        "origin": model.description.origin,
        "bundle": model.description.bundle_id,
        "dimension": int(model.description.vectors.shape[1]),
        "metric": model.description.metric.value,
        "runs": model.runs,
        "note": model.note,
        "queries_learnt": model.learnt,
        "figures": [
            _figure_dict(key, statistic, base=compared.get(key))
            for key, statistic in model.statistics.items()
        ],
    }


def _figure_dict(key: FigureKey, statistic: Statistic, *, base: Statistic | None) -> dict[str, Any]:
    slices, samples = statistic.measured
    described: dict[str, Any] = {
        "measure": str(key.measure),
        "scope": str(key.scope),
        "at": key.at,
        **_interval_dict(statistic.interval()),
        "measured": slices,
        "samples": samples,
    }
    if base is not None:
        described["difference_to_reference"] = _interval_dict(statistic.difference(base))
    return described


def _interval_dict(interval: Interval) -> dict[str, float | None]:
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _name(model: ModelResult) -> Text:
    runs = f", mean of {model.runs} runs" if model.runs > 1 else ""
    details = "; ".join(filter(None, (f"{model.description.origin}{runs}", model.note)))
    return Text.assemble((model.name, "bold"), ("\n" + details, "dim"))


def _table(words: str, keys: tuple[FigureKey, ...]) -> Table:
    table = Table(title=Text(words), title_justify="left", box=SIMPLE_HEAD, show_lines=True)
    table.add_column("model", min_width=_MODEL_WIDTH)
    for key in keys:
        table.add_column(Text("\n".join(title(key))), justify="right", width=_FIGURE_WIDTH)
    return table


def _difference(interval: Interval | None) -> Text:
    if interval is None:
        return Text("–")
    return Text.assemble(number(interval.value, SIGNED), (f"\n{short_bounds(interval)}", "dim"))


def _cell(result: EvaluationResult, model: ModelResult, *, key: FigureKey) -> Text:
    interval = model.interval(key)
    if interval is None:
        return Text("–")
    style = "bold" if model.name in best_names(result, key) else ""
    return Text.assemble((number(interval.value), style), (f"\n{short_bounds(interval)}", "dim"))
