"""What is indexed, as text: for people a table, for programs JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from encoder.errors import printable
from search_ui.printing import (
    csv_cells,
    permeability_text,
    porosity_text,
    printable_lines,
    text_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from search_ui.library_views import (
        LibraryOverview,
        NameCount,
        ScanPage,
        ScanSummary,
        SlicePage,
    )

_COLUMNS = ("reservoir", "sample", "modality", "slices", "φ", "k (mD)", "scan")
_SLICE_COLUMNS = ("slice", "place", "predicted φ", "predicted k (mD)")


def overview_text(overview: LibraryOverview, scans: Sequence[ScanSummary], *, form: str) -> str:
    """Write what is indexed.

    Args:
        overview: All of it.
        scans: Those that are to be listed.
        form: ``table``, ``json`` or ``csv``.
    """
    if form == "json":
        return _json(overview_dict(overview, scans))
    if form == "csv":
        return _scans_csv(scans, overview.numbers)
    known = f"{len(overview.scans):,} scans of {len(overview.samples):,} samples"
    lines = [
        f"{overview.bundle_id or overview.collection}: {known}, {overview.n_slices:,} slices",
        "reservoirs: " + (", ".join(map(_count_text, overview.reservoirs)) or "none"),
        "known of: "
        + ", ".join(f"{name} {count:,}" for name, count in overview.coverage.items() if count),
        "",
        *text_table([_COLUMNS, *map(_scan_cells, scans)], left=(0, 1, 2, 6)),
    ]
    return printable_lines(lines)


def scan_text(page: ScanPage, form: str) -> str:
    """Write what is known of a scan.

    Args:
        page: It.
        form: ``table``, ``json`` or ``csv``.
    """
    if form == "json":
        return _json(scan_dict(page))
    if form == "csv":
        return _slices_csv(page)
    known = page.properties
    facts = {
        "reservoir": page.reservoir or "not known",
        "sample": page.sample or "not known",
        "modality": page.modality or "not known",
        "porosity": porosity_text(known.porosity),
        "permeability": permeability_text(known.permeability_md)
        + ("" if known.permeability_md is None else " mD"),
        "pixel size": "not known" if page.pixel_size_um is None else f"{page.pixel_size_um:g} µm",
        **{name: str(value) for name, value in {**page.facts, **page.free}.items()},
    }
    lines = [
        page.object_key,
        *(f"{name}: {printable(value)}" for name, value in facts.items()),
        "",
        *text_table([_SLICE_COLUMNS, *map(_slice_cells, page.slices)], left=(1,)),
    ]
    return printable_lines(lines)


def overview_dict(overview: LibraryOverview, scans: Iterable[ScanSummary]) -> dict[str, Any]:
    """What is indexed, as plain JSON types."""
    return {
        "model": overview.bundle_id,
        "collection": overview.collection,
        "n_scans": len(overview.scans),
        "n_samples": len(overview.samples),
        "n_slices": overview.n_slices,
        "reservoirs": [_count_dict(each) for each in overview.reservoirs],
        "modalities": [_count_dict(each) for each in overview.modalities],
        "coverage": dict(overview.coverage),
        "scans": [_scan_row(scan) for scan in scans],
    }


def scan_dict(page: ScanPage) -> dict[str, Any]:
    """What is known of a scan, as plain JSON types."""
    return {
        "object_key": page.object_key,
        "reservoir": page.reservoir,
        "sample": page.sample,
        "modality": page.modality,
        "pixel_size_um": page.pixel_size_um,
        **page.properties.to_dict(),
        "facts": dict(page.facts),
        "properties": dict(page.free),
        "slices": [_slice_row(each) for each in page.slices],
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)


def _count_text(count: NameCount) -> str:
    return f"{count.name or 'not known'} ({count.n_scans:,})"


def _count_dict(count: NameCount) -> dict[str, Any]:
    names = ("name", "n_samples", "n_scans", "n_slices")
    return {name: getattr(count, name) for name in names}


def _scan_row(scan: ScanSummary) -> dict[str, Any]:
    names = ("object_key", "reservoir", "sample", "modality", "n_slices")
    return {name: getattr(scan, name) for name in names} | dict(scan.numbers)


def _slice_row(each: SlicePage) -> dict[str, Any]:
    names = ("slice_index", "place", "position", "width_um", "preview_key")
    return {name: getattr(each, name) for name in names} | dict(each.numbers)


def _scan_cells(scan: ScanSummary) -> tuple[str, ...]:
    return (
        scan.reservoir or "not known",
        scan.sample or "not known",
        scan.modality or "not known",
        f"{scan.n_slices:,}",
        porosity_text(scan.numbers.get("porosity")),
        permeability_text(scan.numbers.get("permeability_md")),
        scan.object_key,
    )


def _slice_cells(each: SlicePage) -> tuple[str, ...]:
    porosity = each.numbers.get("predicted_porosity")
    permeability = each.numbers.get("predicted_permeability_md")
    return (
        str(each.slice_index),
        each.place,
        "–" if porosity is None else porosity_text(porosity),
        "–" if permeability is None else permeability_text(permeability),
    )


def _scans_csv(scans: Sequence[ScanSummary], numbers: Sequence[str]) -> str:
    names = ("object_key", "reservoir", "sample", "modality", "n_slices", *numbers)
    return _csv(names, map(_scan_row, scans))


def _slices_csv(page: ScanPage) -> str:
    rows = [_slice_row(each) for each in page.slices]
    return _csv(tuple(rows[0]), rows)


def _csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(csv_cells, rows))
    return text.getvalue().rstrip("\n")
