"""The same search on two models: their rows, and what moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.comparing import ModelComparer
from search_ui.components.cards import picture_html
from search_ui.components.palette import MARKS
from search_ui.components.state import page_state
from search_ui.components.wording import rock, safe
from search_ui.markdown import escaped
from search_ui.printing import VIEW_TITLES
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from encoder.ranking import View
    from search_ui.comparing import Comparison, Move, OtherModel
    from search_ui.results import SearchHit, SearchResult
    from search_ui.service import SearchService

_WIDTH = 112
_COLUMNS = 8
_LIVE = "live"


def two_models(result: SearchResult) -> Comparison | None:
    """Answer the wish with the live model and another one, side by side.

    Args:
        result: The live model's answer as it is known by now.

    Returns:
        What is shown; None where there is nothing to compare.
    """
    comparer = _comparer(resources.service())
    others = {each.bundle_id: each for each in comparer.others()}
    if not others:
        st.info(
            "Only the live model has an index. Publish another one and index the library with it "
            "(`lithoscope reindex`), and both can be compared here.",
            icon=":material/compare_arrows:",
        )
        return None
    chosen = _choice(others)
    comparison = _compared(comparer, chosen, live=result.model.collection)
    if comparison is None:
        return None
    for note in comparison.notes:
        st.info(escaped(note), icon=":material/info:")
    for view in comparison.ours.views:
        _view(comparison, view)
    return comparison


def newest_other() -> str | None:
    """Name of the model to compare with unless another one is chosen; None where there is none."""
    return next((each.bundle_id for each in _comparer(resources.service()).others()), None)


def shift_text(move: Move) -> str:
    """How a hit moved, seen from the live model's list."""
    if move.theirs is None:
        return "new"
    if move.ours is None:
        return "gone"
    shift = move.shift or 0
    return "=" if not shift else f"{'↑' if shift > 0 else '↓'}{abs(shift)}"


def place_text(move: Move) -> str:
    """Where the live model has a hit of the other one."""
    return "not live" if move.ours is None else f"live {move.ours}"


def _choice(others: Mapping[str, OtherModel]) -> str:
    state = page_state()
    if state.other is not None and state.other not in others:
        st.info(
            escaped(
                f"The model {state.other} is live by now, or has no index: another one is compared."
            ),
            icon=":material/info:",
        )
    st.session_state["other"] = state.other if state.other in others else next(iter(others))
    return st.selectbox(
        "Compare the live model with",
        list(others),
        format_func=lambda name: _model_text(others[name]),
        key="other",
        on_change=_choose,
    )


def _choose() -> None:
    page_state().other = st.session_state["other"]


def _model_text(model: OtherModel) -> str:
    scans = "scan" if model.n_scans == 1 else "scans"
    return f"{model.bundle_id} ({model.init}, {model.n_scans:,} {scans})"


def _compared(comparer: ModelComparer, other: str, *, live: str) -> Comparison | None:
    state = page_state()
    request = replace(state.wish, three_rows=True)
    key = request, live, other
    if state.compared is None or state.compared[0] != key:
        try:
            with st.skeleton(height=420):
                state.compared = key, comparer.compare(request, other)
        except LithoscopeError as error:
            tell(error)
            return None
    return state.compared[1]


def _view(comparison: Comparison, view: View) -> None:
    mark = MARKS[view]
    moves = {(move.object_key, move.slice_index): move for move in comparison.views[view]}
    st.html(
        f'<h3 class="litho-head"><span style="color:{mark.color}">{mark.sign}</span> '
        f"{safe(VIEW_TITLES[view].capitalize())}</h3>"
    )
    if not moves:
        st.caption("Neither model finds any.")
        return
    for result, name in ((comparison.ours, _LIVE), (comparison.theirs, "other")):
        model = result.model
        st.caption(f"{escaped(model.bundle_id or model.collection)} ({name})")
        hits = result.views[view]
        if hits:
            _strip(hits, result, moves=moves, is_live=name == _LIVE, key=f"two_{view}_{name}")
        else:
            st.caption("None.")
    gone = [move for move in moves.values() if move.ours is None]
    new = [move for move in moves.values() if move.theirs is None]
    kept = len(moves) - len(gone) - len(new)
    st.caption(
        f"{kept} found by both, {len(new)} by the live model only, {len(gone)} by the other only"
    )


def _strip(
    hits: Sequence[SearchHit],
    result: SearchResult,
    *,
    moves: dict[tuple[str, int], Move],
    is_live: bool,
    key: str,
) -> None:
    columns = max(len(hits), _COLUMNS)
    with st.grid(columns, wrap=False, min_column_width=_WIDTH, gap="xsmall", key=key):
        for hit in hits:
            row = hit.row
            move = moves.get((row.object_key, row.slice_index))
            moved = "" if move is None else shift_text(move) if is_live else place_text(move)
            badges = f'<span class="rank">{hit.rank}</span><span class="place">{safe(moved)}</span>'
            name = rock(row.reservoir, row.sample)
            alt = f"Hit {hit.rank} of {result.model.bundle_id}: {name}, {moved}"
            st.html(
                picture_html(row, alt=alt, badges=badges)
                + f'<div class="litho-text"><div class="line" title="{safe(name)}">{safe(name)}'
                f'</div><div class="line dim">{hit.similarity:.3f}</div></div>'
            )


def _comparer(service: SearchService) -> ModelComparer:
    return _comparer_of(service, number=id(service))


@st.cache_resource(show_spinner=False, max_entries=2)
def _comparer_of(_service: SearchService, *, number: int) -> ModelComparer:
    """One for all visitors of a service, which it is told apart by."""
    del number
    return ModelComparer(_service)
