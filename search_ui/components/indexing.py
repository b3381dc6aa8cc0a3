"""How far the index is: what waits, how fast it goes, what can't be read and why."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import streamlit as st

from infra.commands.stack_status import duration, stack_lines
from infra.coverage_words import counted
from search_ui import resources
from search_ui.access import Role
from search_ui.components.messages import guarded
from search_ui.ingest_state import TOLD, retry
from search_ui.markdown import escaped
from search_ui.printing import csv_columns

if TYPE_CHECKING:
    from search_ui.ingest_state import IngestState

_SECONDS = 3.0
_BEHIND = {
    "missing": "new",
    "changed": "changed since",
    "stale": "indexed with another preprocessing",
    "corrected": "with corrected metadata",
    "orphaned": "removed from the bucket",
}
_RETRIED = "retried_scans"


@st.fragment(run_every=_SECONDS)
def indexing() -> None:
    """Show how far the index is, again and again."""
    with guarded():
        resources.require(Role.VIEWER)  # the frame round the page, which asks, is not run again
        found = resources.meter().look()
        _progress(found)
        _refused(found)
        _workers(found)


def _progress(found: IngestState) -> None:
    if found.problem:
        st.warning(escaped(found.problem), icon=":material/info:")
    total = found.scans if found.scans is not None else found.indexed + found.waiting
    columns = st.columns(4)
    columns[0].metric("Indexed", f"{found.indexed:,}", help="Scans that searches find.")
    columns[1].metric("Waiting", f"{found.waiting:,}", help="Scans that will be, by themselves.")
    rate = "–" if found.per_minute is None else f"{found.per_minute:,.3g} / min"
    columns[2].metric("Rate", rate, help="Scans indexed lately.")
    left = "–" if found.seconds_left is None else duration(found.seconds_left)
    columns[3].metric("Time left", left, help="For what waits, at this rate.")
    if not total:
        st.info(
            "Nothing is here yet. Add scans on this page, or put them into the bucket.",
            icon=":material/inbox:",
        )
        return
    if found.waiting:
        st.progress(found.indexed / max(total, found.indexed + found.waiting))
    if found.is_complete:
        st.success("Everything that can be read is indexed.", icon=":material/check_circle:")
    elif found.behind or found.compared_seconds_ago is not None:
        st.caption(escaped(_behind(found)))
    for problem in found.tables:
        st.warning(f"Metadata: {escaped(problem)}", icon=":material/table_chart:")


def _behind(found: IngestState) -> str:
    """What is behind; of a stack, when that was."""
    parts = [f"{count:,} {_BEHIND.get(name, name)}" for name, count in found.behind.items()]
    told = ", ".join(parts) or "nothing behind"
    if found.compared_seconds_ago is None:
        return told
    ago = duration(found.compared_seconds_ago)
    return f"When bucket and index were last compared, {ago} ago: {told}."


def _refused(found: IngestState) -> None:
    """Tell failures with their reasons, and try some again."""
    if again := st.session_state.pop(_RETRIED, 0):
        st.success(f"{counted(again, 'scan')} will be tried again.", icon=":material/refresh:")
    if not found.refused:
        return
    more = "+" if len(found.refused) == TOLD else ""
    st.subheader(f"Can't be read: {len(found.refused):,}{more}")
    table: dict[str, list[Any]] = {
        "Scan": [each.object_key for each in found.refused],
        "Why, and what helps": [each.reason for each in found.refused],
        "Tried": [each.attempts for each in found.refused],
        "Last": [each.last_attempt for each in found.refused],
    }
    may = resources.user().may(Role.EDITOR)
    event = st.dataframe(
        csv_columns(table),
        hide_index=True,
        on_select="rerun" if may else "ignore",
        selection_mode="multi-row",
        key=f"refused_{_digest(found)}",  # rows are chosen by number: those of another table
        column_config={"Why, and what helps": st.column_config.TextColumn(width="large")},
    )
    if not may:
        return
    rows = list(event.selection.rows)  # type: ignore[union-attr]  # it is selectable here
    chosen = [found.refused[row].object_key for row in rows if row < len(found.refused)]
    keys = chosen or [each.object_key for each in found.refused]
    label = f"Try {counted(len(chosen), 'scan')} again" if chosen else "Try all again"
    st.button(label, icon=":material/refresh:", key="retry", on_click=_retry, args=(keys,))


def _digest(found: IngestState) -> str:
    """Name what is refused: another scan or order gives another name."""
    keys = [each.object_key for each in found.refused]
    return hashlib.sha256(repr(keys).encode()).hexdigest()[:16]


def _retry(keys: list[str]) -> None:
    with guarded():
        resources.require(Role.EDITOR)
        st.session_state[_RETRIED] = retry(resources.site(), keys)
        resources.meter().forget()


def _workers(found: IngestState) -> None:
    if found.stack is None:
        return
    with st.expander("Workers and queues", icon=":material/dns:", key="workers"):
        for label, text in stack_lines(found.stack):
            st.markdown(f"**{escaped(label)}** {escaped(text)}" if label else escaped(text))
