"""What is indexed: how much, of which reservoirs, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from search_ui.components.wording import modality_text
from search_ui.printing import csv_columns
from search_ui.resources import Picture, picture_url

if TYPE_CHECKING:
    from search_ui.library import LibraryOverview, ScanSummary

_NOT_KNOWN = "not known"
_SHOWN = 500
_MEASURED = ("porosity", "permeability_md", "pixel_size_um")
_LABELS = {
    "porosity": "Porosity",
    "permeability_md": "Permeability (mD)",
    "pixel_size_um": "Pixel size (µm)",
    "predicted_porosity": "Porosity, predicted",
    "predicted_permeability_md": "Permeability (mD), predicted",
}


def holdings(overview: LibraryOverview) -> None:
    """Show what is indexed."""
    known = [each for each in overview.reservoirs if each.name]
    columns = st.columns(4)
    columns[0].metric("Reservoirs", f"{len(known):,}")
    columns[1].metric("Samples", f"{len(overview.samples):,}")
    columns[2].metric("Scans", f"{len(overview.scans):,}")
    columns[3].metric("Slices", f"{overview.n_slices:,}")
    left, right = st.columns(2, gap="medium")
    with left:
        _reservoirs(overview)
    with right:
        _known(overview)
    _scans(overview)


def _reservoirs(overview: LibraryOverview) -> None:
    st.subheader("Reservoirs")
    table: dict[str, list[Any]] = {
        "Reservoir": [each.name or _NOT_KNOWN for each in overview.reservoirs],
        "Samples": [each.n_samples for each in overview.reservoirs],
        "Scans": [each.n_scans for each in overview.reservoirs],
        "Slices": [each.n_slices for each in overview.reservoirs],
    }
    st.dataframe(csv_columns(table), hide_index=True, key="reservoirs")


def _known(overview: LibraryOverview) -> None:
    """Of how many scans something is known: filters can't tell anything of the others."""
    st.subheader("What is known")
    total = len(overview.scans) or 1
    names = [*_MEASURED, *(name for name in overview.coverage if name not in _MEASURED)]
    names = [each for each in names if overview.coverage.get(each) or each in _MEASURED]
    table = {
        "Property": [_LABELS.get(name, name) for name in names],
        "Known of": [100.0 * overview.coverage.get(name, 0) / total for name in names],
        "Scans": [overview.coverage.get(name, 0) for name in names],
    }
    st.dataframe(
        table,
        hide_index=True,
        key="coverage",
        column_config={
            "Known of": st.column_config.ProgressColumn(
                format="%.0f %%", min_value=0.0, max_value=100.0
            )
        },
    )
    kinds = [f"{modality_text(each.name)} {each.n_scans:,}" for each in overview.modalities]
    st.caption(f"Scans by imaging: {', '.join(kinds)}.")


def _scans(overview: LibraryOverview) -> None:
    st.subheader("Scans")
    words = st.text_input(
        "Find scans",
        placeholder="words of a reservoir, sample or file name",
        icon=":material/search:",
        key="find_scans",
    )
    found = overview.find(words)
    if not found:
        st.info("No scan has all of these words; try fewer.", icon=":material/search_off:")
        return
    st.dataframe(
        csv_columns(_table(found[:_SHOWN])),
        hide_index=True,
        key="scans",
        row_height=56,
        placeholder="not measured",
        column_config={
            "Picture": st.column_config.ImageColumn(width="small"),
            "Porosity (%)": st.column_config.NumberColumn(format="%.1f"),
            "Permeability (mD)": st.column_config.NumberColumn(format="%.4g"),
            "Pixel size (µm)": st.column_config.NumberColumn(format="%.4g"),
        },
    )
    if len(found) > _SHOWN:
        st.caption(f"The first {_SHOWN:,} of {len(found):,}; find fewer by more words.")


def _table(scans: tuple[ScanSummary, ...]) -> dict[str, list[Any]]:
    plain: dict[str, list[Any]] = {
        "Picture": [picture_url(each.thumbnail_key, kind=Picture.THUMB) for each in scans],
        "Reservoir": [each.reservoir or _NOT_KNOWN for each in scans],
        "Sample": [each.sample or _NOT_KNOWN for each in scans],
        "Imaged by": [modality_text(each.modality) for each in scans],
        "Slices": [each.n_slices for each in scans],
    }
    numbers: dict[str, list[Any]] = {
        "Porosity (%)": [_per_cent(each.numbers.get("porosity")) for each in scans],
        "Permeability (mD)": [each.numbers.get("permeability_md") for each in scans],
        "Pixel size (µm)": [each.numbers.get("pixel_size_um") for each in scans],
    }
    return plain | numbers | {"Object": [each.object_key for each in scans]}


def _per_cent(value: float | None) -> float | None:
    return None if value is None else 100.0 * value
