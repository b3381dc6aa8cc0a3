"""Plots of an evaluation, as PNG: intervals, cross plots, histograms of differences.

Drawn through matplotlib's own classes, not pyplot: nothing global is touched.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.property_measures import COMPARED, PropertyValues, Quantity, average_by_sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from trainer.evaluation import EvaluationResult, ModelResult, Trial
    from trainer.figures import FigureKey

INK = "#1f2933"
FAINT = "#9aa5b1"
ACCENT = "#b4531f"
SECOND = "#1f6f8b"
THIRD = "#6b7f2a"
_RANK_COLOURS = (ACCENT, SECOND, THIRD)
_DPI = 110


class Points(NamedTuple):
    """Points of a cross plot.

    Attributes:
        x: (N,), NaN where not known.
        y: (N,), likewise.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @property
    def known(self) -> Points:
        """Those with both coordinates."""
        there = np.isfinite(self.x) & np.isfinite(self.y)
        return Points(self.x[there], self.y[there])


def axis_name(quantity: Quantity) -> str:
    """A quantity with its unit, for an axis."""
    return {
        Quantity.POROSITY: "porosity (fraction)",
        Quantity.LOG_PERMEABILITY: "log₁₀ permeability (mD)",
        Quantity.PERMEABILITY: "permeability (mD)",
    }[quantity]


def draw_intervals(result: EvaluationResult, key: FigureKey) -> bytes | None:
    """Draw a figure of every model with its 95 % interval; None where no model has it."""
    found = [(model.name, model.interval(key)) for model in result.models]
    shown = [(name, interval) for name, interval in found if interval is not None]
    if not shown:
        return None
    figure = _figure(7.6, 0.7 + 0.36 * len(shown))
    axes = figure.subplots()
    for place, (_, interval) in enumerate(shown):
        axes.plot([interval.low, interval.high], [place, place], color=SECOND, linewidth=2)
        axes.plot(interval.value, place, "o", color=ACCENT, markersize=6)
    axes.set_yticks(range(len(shown)), [_plain(name) for name, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x", color="#e4e7eb")
    axes.set_xlabel(f"{key}")
    return _png(figure)


def draw_predictions(trial: Trial, model: ModelResult) -> bytes | None:
    """Draw predicted against measured properties, and their differences (Figs 4 and 5).

    Returns:
        Two rows of a cross plot and a histogram; None where nothing was predicted or measured.
    """
    predicted = model.description.predictions(trial.queries)
    if predicted is None:
        return None
    measured = trial.measured(trial.queries)
    _, averaged = average_by_sample(predicted, trial.samples)
    _, truth = average_by_sample(measured, trial.samples)
    shown = [
        quantity
        for quantity in COMPARED
        if len(Points(measured.of(quantity), predicted.of(quantity)).known.x)
    ]
    if not shown:
        return None
    figure = _figure(8.2, 3.5 * len(shown))
    grid = figure.subplots(len(shown), 2, squeeze=False)
    for (cross, histogram), quantity in zip(grid, shown, strict=True):
        slices = Points(measured.of(quantity), predicted.of(quantity)).known
        samples = Points(truth.of(quantity), averaged.of(quantity)).known
        _draw_cross(cross, slices, colour=FAINT, size=4, label="slice")
        _draw_cross(cross, samples, colour=ACCENT, size=16, label="mean of a sample")
        _finish_cross(cross, slices, quantity=quantity, words=("measured", "predicted"))
        _legend_above(cross)
        groups = {"slice": slices, "mean of a sample": samples}
        _draw_differences(histogram, groups, colours=(FAINT, ACCENT), quantity=quantity)
        histogram.set_xlabel(f"predicted − measured, {quantity.unit}", fontsize=9)
    return _png(figure)


def draw_retrieved(trial: Trial, model: ModelResult) -> bytes | None:
    """Draw properties of retrieved slices against the query's, and differences (Figs 6-8).

    Returns:
        A row for each property: a cross plot for each rank, and a histogram; None where nothing
        was measured on both sides.
    """
    queries = trial.measured(trial.queries)
    retrieved = [trial.measured(rows) for rows in model.retrieved.T]
    shown = [
        quantity
        for quantity in COMPARED
        if len(_against(queries, retrieved[0], quantity=quantity).known.x)
    ]
    if not shown:
        return None
    figure = _figure(13.2, 3.3 * len(shown))
    grid = figure.subplots(len(shown), len(retrieved) + 1, squeeze=False)
    for row, quantity in zip(grid, shown, strict=True):
        groups = {}
        for rank, values in enumerate(retrieved, start=1):
            points = _against(queries, values, quantity=quantity).known
            axes, colour = row[rank - 1], _RANK_COLOURS[(rank - 1) % 3]
            _draw_cross(axes, points, colour=colour, size=9, label=f"top-{rank}")
            _finish_cross(axes, points, quantity=quantity, words=("query", f"top-{rank}"))
            groups[f"top-{rank}"] = points
        _draw_differences(row[-1], groups, colours=_RANK_COLOURS, quantity=quantity)
        row[-1].set_xlabel(f"retrieved − query, {quantity.unit}", fontsize=9)
    return _png(figure)


def _against(queries: PropertyValues, found: PropertyValues, *, quantity: Quantity) -> Points:
    return Points(queries.of(quantity), found.of(quantity))


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _draw_cross(axes: Axes, points: Points, *, colour: str, size: float, label: str) -> None:
    axes.scatter(points.x, points.y, s=size, color=colour, linewidths=0, alpha=0.6, label=label)


def _finish_cross(
    axes: Axes, points: Points, *, quantity: Quantity, words: tuple[str, str]
) -> None:
    """Draw the diagonal, give both axes one range, name them."""
    ends = [*points.x, *points.y] or [0.0, 1.0]
    low, high = float(min(ends)), float(max(ends))
    room = 0.05 * (high - low) or 0.05
    axes.plot([low - room, high + room], [low - room, high + room], color=INK, linewidth=0.8)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(low - room, high + room)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{words[0]} {axis_name(quantity)}", fontsize=9)
    axes.set_ylabel(f"{words[1]} {axis_name(quantity)}", fontsize=9)
    axes.tick_params(labelsize=8)


def _draw_differences(
    axes: Axes, groups: dict[str, Points], *, colours: tuple[str, ...], quantity: Quantity
) -> None:
    """Histograms of y - x, each as a share of its points, on common bins."""
    differences = {name: points.y - points.x for name, points in groups.items()}
    widest = max(
        (float(np.abs(values).max()) for values in differences.values() if len(values)), default=0.0
    )
    least = 0.005 if quantity is Quantity.POROSITY else 0.05
    bins = np.linspace(-max(widest, least), max(widest, least), 41)
    for (name, values), colour in zip(differences.items(), colours, strict=False):
        if len(values):
            shares = np.full(len(values), 1.0 / len(values))
            axes.hist(
                values, bins.tolist(), weights=shares, histtype="step", color=colour, label=name
            )
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_ylabel("share of points", fontsize=9)
    axes.tick_params(labelsize=8)
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    """Name colours above the plot: inside, its marks would pass for points."""
    axes.legend(
        frameon=False,
        fontsize=8,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        ncols=3,
        columnspacing=1.2,
        handlelength=1.2,
    )


def _plain(text: str) -> str:
    """Keep matplotlib from reading formulas in names."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()
