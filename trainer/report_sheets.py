"""Sheets of retrieved slices as in the paper's Figs 9-12: three of each view, for each model."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoder.ranking import Origin, View, view_of
from encoder.sheets import Cell, draw_sheet
from trainer.measures import Case
from trainer.rankings import rank_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from trainer.evaluation import ModelResult, Trial
    from trainer.slice_set import SliceSet

COLUMNS = 3
"""Slices of a view that are shown."""


class Found(NamedTuple):
    """A slice that a query found.

    Attributes:
        row: Number of the slice in its set.
        rank: Its place in the whole ranking, the query itself left out, from 1.
    """

    row: int
    rank: int


def choose_queries(trial: Trial, number: int) -> list[int]:
    """Choose queries to show: spread over reservoirs, of each the middle slice of a sample.

    Nothing of how well they do enters into the choice.

    Args:
        trial: The slices.
        number: How many, at most.
    """
    reservoirs = trial.slices.reservoir[trial.queries]
    present = np.unique(reservoirs)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, number).round().astype(int))]
    queries = []
    for reservoir in chosen:
        of_reservoir = trial.queries[reservoirs == reservoir]
        samples = trial.slices.sample[of_reservoir]
        of_sample = of_reservoir[samples == samples[len(samples) // 2]]
        queries.append(int(of_sample[len(of_sample) // 2]))
    return queries


def find_views(trial: Trial, model: ModelResult, *, query: int) -> dict[View, list[Found]]:
    """Find the first slices of each view, as a search page shows them.

    Args:
        trial: The slices.
        model: Whose vectors rank.
        query: Number of a slice among the queries.

    Returns:
        Three slices of each view, or as many as there are.
    """
    described, trial = model.asked_of(query, trial)
    asked = described.embedded(np.array([query]), trial.slices)
    database = described.embedded(trial.database, trial.slices)
    (chunk,) = rank_database(asked, database, case=Case.QUERY_OUT)
    origin = _origin(trial.slices, query)
    views: dict[View, list[Found]] = {view: [] for view in View}
    ordered = trial.database[chunk.order[0][: chunk.candidates[0]]]
    for rank, row in enumerate(ordered.tolist(), start=1):
        view = view_of(_origin(trial.slices, row), [origin])
        if view is not None and len(views[view]) < COLUMNS:
            views[view].append(Found(row, rank))
        if all(len(found) == COLUMNS for found in views.values()):
            break
    return views


def draw_found(slices: SliceSet, found: Sequence[Found]) -> Image.Image:
    """Draw the slices of one view in a row; what there is none of is said so."""
    cells = [
        Cell(
            lines=(f"{one.rank}. {_place(slices, one.row)}", measured_line(slices, one.row)),
            pixels=np.asarray(slices.pixels[one.row]),
        )
        for one in found
    ]
    cells += [Cell(lines=("no further slice",))] * (COLUMNS - len(cells))
    return draw_sheet(cells, columns=COLUMNS)


def draw_query(slices: SliceSet, query: int) -> Image.Image:
    """Draw the slice that is asked with."""
    lines = (_place(slices, query), measured_line(slices, query))
    return draw_sheet([Cell(lines=lines, pixels=np.asarray(slices.pixels[query]))], columns=1)


def measured_line(slices: SliceSet, row: int) -> str:
    """Write a slice's measured properties."""
    porosity, permeability = float(slices.porosity[row]), float(slices.permeability_md[row])
    words = []
    if math.isfinite(porosity):
        words.append(f"porosity {porosity:.3f}")
    if math.isfinite(permeability):
        words.append(f"{float(f'{permeability:.3g}'):,g} mD")
    return ", ".join(words) or "not measured"


def webp(picture: Image.Image) -> bytes:
    """Compress a sheet."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=85)
    return stream.getvalue()


def _place(slices: SliceSet, row: int) -> str:
    return f"{slices.sample_names[slices.sample[row]]} #{slices.number[row]}"


def _origin(slices: SliceSet, row: int) -> Origin:
    return Origin(
        reservoir=slices.reservoir_names[slices.reservoir[row]],
        sample=slices.sample_names[slices.sample[row]],
        object_key=f"{slices.scan_names[slices.scan[row]]}#{row}",
    )
