"""Adding scans from the page: files, and what is known of them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from encoder.metadata.records import Modality
from encoder.metadata.tables import TABLE_SUFFIXES
from encoder.scans import SCAN_SUFFIXES
from infra.coverage_words import counted
from search_ui import resources
from search_ui.adding import Added, Adding, Description, Outcome, scans_of, write_files
from search_ui.components.layout_fields import layout_fields
from search_ui.components.messages import guarded
from search_ui.components.uploads import let_go
from search_ui.components.wording import REFUSED_FOR_NOW, modality_text, upload_limit
from search_ui.markdown import escaped, without_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from search_ui.components.layout_fields import TypedLayout
    from search_ui.library import LibraryOverview

_DONE, _SERIAL = "added_scans", "added_times"
_SIGNS = {
    Outcome.STORED: (":material/check_circle:", "stored"),
    Outcome.UNCHANGED: (":material/done_all:", "there already"),
    Outcome.REFUSED: (":material/error:", "not taken"),
}
_PER_CENT = 100.0


def adding_form(overview: LibraryOverview | None) -> None:
    """Take scans from the browser into the bucket.

    Args:
        overview: What is indexed, for names to choose from; None where nothing is.
    """
    with st.form("add_scans", border=True):
        files = st.file_uploader(
            "Scans",
            accept_multiple_files=True,
            key=f"add_files_{st.session_state.setdefault(_SERIAL, 0)}",
            help=f"{', '.join(sorted(SCAN_SUFFIXES))}; a header together with its voxels; and "
            f"tables named metadata… ({', '.join(TABLE_SUFFIXES)}) that tell of them. "
            f"{REFUSED_FOR_NOW}",
        )
        limit = upload_limit(resources.site().settings.ui.upload_mib)
        st.caption(f"Files of {limit}; larger ones are for `lithoscope upload`.")
        described, typed = _fields(overview)
        has_sent = st.form_submit_button("Add to the library", type="primary")
    if has_sent and not files:
        st.info("Choose at least one file first.", icon=":material/upload_file:")
    elif has_sent:
        done: list[Added] = []
        st.session_state[_DONE] = done  # what was stored is told even where the rest fails
        with guarded():
            layout = None if typed.is_empty else typed.layout()
            _add(files, replace(described, raw=layout), done=done)
            if all(each.outcome is not Outcome.REFUSED for each in done):
                let_go(files)
                st.session_state[_SERIAL] += 1
                st.rerun()
    _tell(st.session_state.get(_DONE, []))


def _fields(overview: LibraryOverview | None) -> tuple[Description, TypedLayout]:
    reservoirs = [] if overview is None else _names(each.name for each in overview.reservoirs)
    samples = [] if overview is None else _names(each.sample for each in overview.samples)
    st.caption("Of all these scans. It wins over tables; leave out what is not known.")
    left, middle, right = st.columns(3)
    with left:
        reservoir = _name("Reservoir", reservoirs)
        porosity = _number("Porosity in %", most=_PER_CENT)
    with middle:
        sample = _name("Sample", samples)
        permeability = _number("Permeability in mD")
    with right:
        modality = st.selectbox(
            "Imaged by",
            list(Modality),
            index=None,
            format_func=modality_text,
            placeholder="not known",
        )
        pixel_size = _number("Pixel size in µm")
    with st.expander("Headerless volumes (.raw, .bin, .vol): how they are laid out"):
        st.caption("Only where neither a side-car nor the name tells it.")
        typed = layout_fields("add_layout", asks_pixel_size=False)
    replaces = st.checkbox("Replace scans of the same name, reservoir and sample")
    described = Description(
        reservoir=reservoir,
        sample=sample,
        modality=modality,
        porosity=None if porosity is None else porosity / _PER_CENT,
        permeability_md=permeability,
        pixel_size_um=pixel_size,
        replace=replaces,
    )
    return described, typed


def _name(label: str, known: list[str]) -> str | None:
    found = st.selectbox(
        label, known, index=None, accept_new_options=True, placeholder="choose or type"
    )
    return (found or "").strip() or None


def _number(label: str, *, most: float | None = None) -> float | None:
    return st.number_input(
        label, value=None, min_value=0.0, max_value=most, format="%g", placeholder="not measured"
    )


def _names(names: Iterable[str | None]) -> list[str]:
    return sorted({name for name in names if name})


def _add(files: list[UploadedFile], described: Description, *, done: list[Added]) -> None:
    """Store what was sent, and tell each file as it is done.

    Raises:
        LithoscopeError: What was typed in can't be right, or the store is away.
    """
    with (
        st.status(f"Looking at {counted(len(files), 'file')}", expanded=True) as status,
        tempfile.TemporaryDirectory(prefix="lithoscope-") as name,
        Adding(resources.site(), described) as adding,
    ):
        folder = Path(name)
        done += write_files(((each.name, each) for each in files), folder)
        total = len(scans_of(sorted(folder.iterdir()))) or 1
        bar = st.progress(0.0)
        for number, added in enumerate(adding.add(folder), start=1):
            done.append(added)
            bar.progress(min(number / total, 1.0), text=escaped(added.name))
        resources.meter().forget()
        stored = sum(each.outcome is not Outcome.REFUSED for each in done)
        status.update(
            label=f"{stored:,} of {counted(len(done), 'scan')} are in the library",
            state="complete" if stored == len(done) else "error",
            expanded=False,
        )


def _tell(done: list[Added]) -> None:
    """Say what became of the files that were sent last, until others are."""
    for added in done:
        icon, words = _SIGNS[added.outcome]
        told = f": {escaped(without_options(added.told))}" if added.told else ""
        st.markdown(f"{icon} **{escaped(added.name)}** {words}{told}")
    if any(each.outcome is Outcome.STORED for each in done):
        st.caption("New scans can be searched once they are indexed, as “Indexing” tells.")
