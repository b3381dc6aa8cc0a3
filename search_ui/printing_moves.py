"""A comparison of two models as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from search_ui.printing import VIEW_TITLES, csv_cells, printable_lines, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from search_ui.comparing import Comparison, Move
    from search_ui.results import ModelFacts

_COLUMNS = ("live", "other", "moved", "reservoir", "sample", "slice")
_NAMES = ("list", "ours", "theirs", "shift", "object_key", "slice_index", "reservoir", "sample")


def _as_json(comparison: Comparison) -> str:
    return json.dumps(comparison.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)


def _as_csv(comparison: Comparison) -> str:
    lists = {str(v): m for v, m in comparison.views.items()} or {"hits": comparison.moves}
    rows: list[dict[str, Any]] = [
        {"list": name, **move.to_dict()} for name, moves in lists.items() for move in moves
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(csv_cells, rows))
    return text.getvalue().rstrip("\n")


def _as_table(comparison: Comparison) -> str:
    ours, theirs = comparison.ours.model, comparison.theirs.model
    lines = [f"live: {_model(ours)}", f"other: {_model(theirs)}", ""]
    lists = {VIEW_TITLES[view]: moves for view, moves in comparison.views.items()}
    for title, moves in (lists or {"most alike": comparison.moves}).items():
        lines += [title + (":" if moves else ": none"), *_table(moves), ""]
    return printable_lines(lines).rstrip("\n")


def _model(model: ModelFacts) -> str:
    return f"{model.bundle_id or model.collection}" + (f" ({model.init})" if model.init else "")


def _table(moves: Sequence[Move]) -> list[str]:
    if not moves:
        return []
    return text_table([_COLUMNS, *map(_cells, moves)], left=(3, 4, 5))


def _cells(move: Move) -> tuple[str, ...]:
    row = move.hit.row
    shift = "" if move.shift is None else f"{move.shift:+d}" if move.shift else "="
    return (
        "–" if move.ours is None else str(move.ours),
        "–" if move.theirs is None else str(move.theirs),
        shift,
        row.reservoir or "not known",
        row.sample or "not known",
        f"{move.object_key}#{move.slice_index}",
    )


MOVE_WRITERS: dict[str, Callable[[Comparison], str]] = {
    "json": _as_json,
    "csv": _as_csv,
    "table": _as_table,
}
"""Writers by the name of the format."""
