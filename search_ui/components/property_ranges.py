"""Ranges of porosity and permeability, chosen over what the library holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from search_ui.components.wording import permeability_words
from search_ui.markdown import escaped
from search_ui.requests import PropertyRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search_ui.components.state import PageState
    from search_ui.library import LibraryOverview

_BINS = 32
_STEPS_PER_DECADE = (1, 1.5, 2, 3, 5, 7)
_NEAR = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """A property, and the values that its slider stops at."""

    name: str
    title: str
    stops: tuple[float, ...]
    values: tuple[float, ...]

    def shown(self, low: float | None, high: float | None) -> tuple[float, float]:
        """Stops that are nearest to a range."""
        first = self.stops[0] if low is None else _nearest(self.stops, low)
        last = self.stops[-1] if high is None else _nearest(self.stops, high)
        return first, max(first, last)

    def chosen(self, first: float, last: float) -> PropertyRange | None:
        """The range of two stops; at an end there is no bound."""
        low = None if first <= self.stops[0] else first
        high = None if last >= self.stops[-1] else last
        if low is None and high is None:
            return None
        return PropertyRange(name=self.name, low=low, high=high)


def property_ranges(state: PageState, overview: LibraryOverview) -> None:
    """Show a slider under the histogram of each property that anything indexed has."""
    scales = [_porosity(overview), _permeability(overview)]
    known = [scale for scale in scales if scale is not None]
    for scale in known:
        _range(state, scale)
    names = {scale.name for scale in known}
    for asked in state.wish.filters.ranges:
        if asked.name not in names:
            st.caption(escaped(f"{asked.name}: {_bounds(asked)}".replace("_", " ")))
    if not known:
        st.caption("Nothing that is indexed has a measured porosity or permeability.")
        return
    st.session_state["keep_unmeasured"] = state.wish.filters.keep_unmeasured
    st.toggle(
        "Keep what is not measured",
        key="keep_unmeasured",
        disabled=not state.wish.filters.ranges,
        on_change=lambda: state.filter_by(
            keep_unmeasured=bool(st.session_state["keep_unmeasured"])
        ),
    )


def histogram_html(
    values: Sequence[float], *, stops: Sequence[float], lit: tuple[float, float]
) -> str:
    """Draw how values are spread over a slider's stops.

    Args:
        values: The values.
        stops: The slider's stops; equal distances between them.
        lit: First and last stop of what is chosen.
    """
    evenly = np.linspace(0.0, 1.0, len(stops))
    counts, _ = np.histogram(np.interp(values, stops, evenly), bins=_BINS, range=(0.0, 1.0))
    most = max(int(counts.max()), 1)
    first, last = np.interp(lit, stops, evenly)
    bars = []
    for number, count in enumerate(counts):
        height = 0.0 if not count else 8 + 92 * count / most
        middle = (number + 0.5) / _BINS
        kind = "in" if first - _NEAR <= middle <= last + _NEAR else "out"
        bars.append(f'<i class="{kind}" style="height:{height:.1f}%"></i>')
    return f'<div class="litho-hist" aria-hidden="true">{"".join(bars)}</div>'


def _range(state: PageState, scale: _Scale) -> None:
    asked = next((each for each in state.wish.filters.ranges if each.name == scale.name), None)
    low, high = (None, None) if asked is None else (asked.low, asked.high)
    shown = scale.shown(low, high)
    n_known = len(scale.values)
    n_scans = "scan" if n_known == 1 else "scans"
    st.markdown(f"**{scale.title}**  :small[:gray[of {n_known:,} {n_scans}]]")
    st.html(histogram_html(scale.values, stops=scale.stops, lit=shown))
    key = f"range_{scale.name}"
    st.session_state[key] = shown

    def changed() -> None:
        first, last = st.session_state[key]
        others = tuple(each for each in state.wish.filters.ranges if each.name != scale.name)
        chosen = scale.chosen(first, last)
        state.filter_by(ranges=others if chosen is None else (*others, chosen))

    st.select_slider(
        scale.title,
        scale.stops,
        value=(scale.stops[0], scale.stops[-1]),  # tells that it is a range; the key holds what is
        key=key,
        format_func=_percent if scale.name == "porosity" else permeability_words,
        label_visibility="collapsed",
        on_change=changed,
    )


def _porosity(overview: LibraryOverview) -> _Scale | None:
    values = overview.values("porosity")
    if not values:
        return None
    last = math.ceil(max(values) * 20) / 20
    stops = tuple(round(number / 200, 3) for number in range(round(last * 200) + 1))
    if len(stops) < 2:
        return None
    return _Scale(name="porosity", title="Porosity", stops=stops, values=values)


def _permeability(overview: LibraryOverview) -> _Scale | None:
    values = tuple(value for value in overview.values("permeability_md") if value > 0)
    if not values:
        return None
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    stops = [
        float(f"{step * 10.0**decade:.6g}")
        for decade in range(first, max(last, first + 1))
        for step in _STEPS_PER_DECADE
    ]
    stops.append(float(f"{10.0 ** max(last, first + 1):.6g}"))
    return _Scale(name="permeability_md", title="Permeability", stops=tuple(stops), values=values)


def _nearest(stops: Sequence[float], value: float) -> float:
    return min(stops, key=lambda stop: abs(stop - value))


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _bounds(asked: PropertyRange) -> str:
    low = "" if asked.low is None else f"at least {asked.low:g}"
    high = "" if asked.high is None else f"at most {asked.high:g}"
    return ", ".join(filter(None, (low, high)))
