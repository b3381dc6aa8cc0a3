"""Choosing what to look for: files of one's own, or a scan that is indexed."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import streamlit as st

from encoder.data_files import HEADERLESS_SUFFIXES
from encoder.errors import LithoscopeError, ScanError, ScanFault
from encoder.planes import ReadOptions
from search_ui import resources
from search_ui.components.layout_fields import layout_fields
from search_ui.components.messages import for_viewers
from search_ui.components.state import page_state
from search_ui.components.uploads import let_go
from search_ui.components.wording import (
    REFUSED_FOR_NOW,
    file_name,
    modality_text,
    rock,
    safe,
    short,
    upload_limit,
)
from search_ui.markdown import escaped
from search_ui.requests import ObjectQuery, UploadQuery
from search_ui.resources import Picture, picture_url
from search_ui.shell import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from encoder.planes import RawLayout
    from search_ui.library import LibraryOverview, ScanSummary
    from search_ui.requests import Query

_PER_PAGE = 12
_INSTEAD, _AS_WELL = "Look for it instead", "Look for it as well"
_REFUSED = "refused_upload"
_ASKS_LAYOUT = (ScanFault.UNKNOWN_SHAPE, ScanFault.SIZE_MISMATCH)


def query_picker(overview: LibraryOverview, *, adds: bool = False) -> None:
    """Let somebody choose a query; the page begins anew when they did.

    Args:
        overview: What is indexed.
        adds: Whether it is looked for beside what is looked for already.
    """
    mine, indexed = st.columns([2, 3], gap="large")
    with mine:
        st.markdown("### Your own image")
        _upload(adds=adds)
    with indexed:
        st.markdown("### A scan of the library")
        _indexed(overview, adds=adds)


@st.dialog("What to look for", width="large")
@for_viewers
def query_dialog(overview: LibraryOverview, *, serial: int) -> None:
    """The same, over an answer.

    Args:
        overview: What is indexed.
        serial: `PageState.serial` as it was opened: once something was chosen, it is another.
    """
    if page_state().serial != serial:
        st.rerun()
    adds = st.segmented_control(
        "What you choose",
        [_INSTEAD, _AS_WELL],
        default=_INSTEAD,
        required=True,
        key="query_dialog_adds",
        label_visibility="collapsed",
    )
    query_picker(overview, adds=adds == _AS_WELL)


def _upload(*, adds: bool) -> None:
    state = page_state()
    files = st.file_uploader(
        "Drop images or volumes here",
        accept_multiple_files=True,
        key=f"upload_{state.serial}",
        help="Several files are looked for as one: what is like any of them is found. A header "
        f"and its voxels (.mhd and .raw) belong together: drop both. {REFUSED_FOR_NOW}",
    )
    st.caption(
        "TIFF (stacks, 16 bit), PNG, JPEG, NumPy, HDF5, NIfTI, NRRD, MetaImage, raw; "
        f"{upload_limit(resources.site().settings.ui.upload_mib)}. What you upload is kept for "
        "links to your search, and for nobody else to list."
    )
    if files:
        _keep(files, adds=adds)


def _keep(files: Sequence[UploadedFile], *, adds: bool) -> None:
    """Keep uploaded files and look for them; what was refused is not tried again and again."""
    ids = tuple(each.file_id for each in files)
    refused_ids, error = st.session_state.get(_REFUSED, ((), None))
    if ids != refused_ids:
        error = _try(files, None, adds=adds)
        if error is None:
            st.rerun()
    if _asks_layout(error, files):
        with st.form("query_layout", border=True):
            st.markdown("**How is it laid out?** A headerless volume does not tell of itself.")
            typed = layout_fields("query_layout", asks_pixel_size=True)
            has_sent = st.form_submit_button("Use this layout", type="primary")
        if has_sent:
            try:
                layout = typed.layout()
            except LithoscopeError as problem:
                error = problem
            else:
                error = _try(files, layout, adds=adds)
                if error is None:
                    st.rerun()
    if error is not None:
        tell(error)


def _try(
    files: Sequence[UploadedFile], layout: RawLayout | None, *, adds: bool
) -> LithoscopeError | None:
    """Keep files and look for those that can be; else, why they were refused."""
    state = page_state()
    with st.spinner("Checking your files…"):
        tokens, problems = _kept(files, layout)
    if not tokens:
        st.session_state[_REFUSED] = tuple(each.file_id for each in files), problems[0]
        return problems[0]
    state.names |= {token: name for name, token in tokens.items()}
    _choose([UploadQuery(token=token) for token in tokens.values()], adds=adds)
    state.notes = tuple(f"{problem}; it is not looked for" for problem in problems)
    let_go(files)
    return None


def _kept(
    files: Sequence[UploadedFile], layout: RawLayout | None
) -> tuple[dict[str, str], list[LithoscopeError]]:
    """Keep files together; where one is refused, each by itself, with what is called the same.

    Returns:
        Tokens by file name, and why files were refused.
    """
    try:
        return _kept_together(files, layout), []
    except LithoscopeError as problem:
        groups: dict[str, list[UploadedFile]] = {}
        for each in files:
            groups.setdefault(PurePath(each.name).stem, []).append(each)
        if len(groups) < 2:
            return {}, [problem]
    tokens: dict[str, str] = {}
    problems: list[LithoscopeError] = []
    for group in groups.values():
        try:
            tokens |= _kept_together(group, layout)
        except LithoscopeError as problem:
            if _asks_layout(problem, group):
                return {}, [problem]
            problems.append(problem)
    return tokens, problems


def _kept_together(files: Sequence[UploadedFile], layout: RawLayout | None) -> dict[str, str]:
    for each in files:
        each.seek(0)
    return resources.service().kept.keep_all(
        [(each.name, each) for each in files],
        read=None if layout is None else ReadOptions(raw=layout),
    )


def _asks_layout(error: LithoscopeError | None, files: Sequence[UploadedFile]) -> bool:
    is_fault = isinstance(error, ScanError) and error.fault in _ASKS_LAYOUT
    return is_fault and _has_headerless(files)


def _has_headerless(files: Sequence[UploadedFile]) -> bool:
    return any(PurePath(each.name).suffix.lower() in HEADERLESS_SUFFIXES for each in files)


def _indexed(overview: LibraryOverview, *, adds: bool) -> None:
    state = page_state()
    asked = st.text_input(
        "Find a scan by name, reservoir or sample",
        key=f"find_{state.serial}",
        placeholder="name, reservoir or sample",
        icon=":material/search:",
        live=True,
    )
    found = overview.find(asked or "")
    if not found:
        st.caption("No scan is called so. Every word has to be in its name, reservoir or sample.")
        return
    pages = -(-len(found) // _PER_PAGE)
    page = 1
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        scans = "scan" if len(found) == 1 else "scans"
        st.caption(f"{len(found):,} {scans}")
        if pages > 1:
            page = st.pagination(
                pages, key=f"find_page_{state.serial}_{asked}", max_visible_pages=5
            )
    shown = found[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    with st.grid("auto", min_column_width=132, gap="small", key="find_grid"):
        for number, scan in enumerate(shown):
            with st.container(border=True, key=f"card_find_{number}", gap="xsmall"):
                _scan(scan, adds=adds)


def _scan(scan: ScanSummary, *, adds: bool) -> None:
    name = file_name(scan.object_key)
    slices = "1 slice" if scan.n_slices == 1 else f"{scan.n_slices:,} slices"
    whose = rock(scan.reservoir, scan.sample)
    source = picture_url(scan.thumbnail_key, kind=Picture.THUMB)
    title = safe(f"{scan.object_key}, {modality_text(scan.modality)}")
    st.html(
        f'<div class="litho-pic"><img src="{safe(source)}" alt="{safe(f"Scan {name}, {whose}")}" '
        f'loading="lazy"></div><div class="litho-text" title="{title}"><div class="line"><b>'
        f'{safe(whose)}</b></div><div class="line dim">{safe(short(name, 40))}</div>'
        f'<div class="line dim">{slices}</div></div>'
    )
    st.button(
        f"Look for {escaped(name)} of {escaped(whose)}",
        key=f"open_find_{scan.object_key}",  # not by its place: the list changes as one types
        on_click=_choose,
        args=([ObjectQuery(object_key=scan.object_key)],),
        kwargs={"adds": adds},
    )


def _choose(queries: Sequence[Query], *, adds: bool) -> None:
    state = page_state()
    former = state.wish.queries if adds and state.has_query else ()
    state.look_for(dict.fromkeys((*former, *queries)))
