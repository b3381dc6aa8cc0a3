"""The figures of a model's card, named for people: one line each, its interval beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = {"epochs": "Epochs trained", "final_loss": "Loss at the end"}
_FIGURES = {
    "map_at_10": "mAP@10",
    "r2_porosity": "R² of porosity",
    "mae_porosity": "Mean error of porosity",
    "r2_log10_permeability": "R² of log₁₀ permeability",
    "mae_log10_permeability": "Mean error of log₁₀ permeability",
}
_OF = {
    "test": "unseen samples",
    "difference": "less that of the model before it",
    "validation": "validation samples",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a model.

    Attributes:
        name: What was measured, in words; its own name where there are none for it.
        value: The figure.
        interval: Ends of its 95 % interval; None where there is none.
    """

    name: str
    value: float
    interval: tuple[float, float] | None


def measures_of(metrics: Mapping[str, float]) -> list[Measure]:
    """Tell the figures of a model's card.

    Args:
        metrics: Figures by name; the ends of intervals are named as their figure, with ``_low``
            and ``_high`` after it.
    """
    ends = {f"{name}{end}" for name in metrics for end in ("_low", "_high")}
    told = [
        Measure(_named(name), value, _interval(metrics, name))
        for name, value in metrics.items()
        if name not in ends
    ]
    return sorted(told, key=lambda measure: measure.name)


def _named(name: str) -> str:
    """What a figure is called: ``test_map_at_10`` is "mAP@10, unseen samples"."""
    of, _, figure = name.partition("_")
    if of in _OF and figure in _FIGURES:
        return f"{_FIGURES[figure]}, {_OF[of]}"
    return _WHOLE.get(name, name)


def _interval(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return None if low is None or high is None else (low, high)
