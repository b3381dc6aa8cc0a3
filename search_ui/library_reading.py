"""From rows of the index to what people look through."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from infra.indexing.schema import ColumnKind
from infra.pictures import preview_key, thumbnail_key
from search_ui.library_views import (
    LibraryOverview,
    NameCount,
    SamplePoint,
    ScanPage,
    ScanSummary,
    SlicePage,
)
from search_ui.places import place_text, position_of, size_um
from search_ui.rock_properties import RockProperties, geometric_mean, mean, of_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from infra.indexing.records import ScanRecord, SliceRow
    from infra.vector_index import Collection

_PERMEABILITY = frozenset({"permeability_md", "predicted_permeability_md"})
"""Columns that are averaged by their logarithms."""


def read_overview(
    collection: Collection, records: Sequence[ScanRecord], *, bundle_id: str | None
) -> LibraryOverview:
    """Put together what is indexed.

    Args:
        collection: Where.
        records: Its scans.
        bundle_id: The model; None where it is not published.
    """
    numbers = collection.schema.names(ColumnKind.NUMBER)
    means = _scan_means(collection, numbers)
    nothing = dict.fromkeys(numbers)
    scans = tuple(
        _summary(record, means.get(record.object_key, nothing))
        for record in sorted(records, key=lambda each: each.object_key)
    )
    return LibraryOverview(
        collection=collection.name,
        bundle_id=bundle_id,
        numbers=tuple(numbers),
        scans=scans,
        reservoirs=_counts(scans, lambda scan: scan.reservoir),
        modalities=_counts(scans, lambda scan: scan.modality),
        samples=_samples(scans),
        coverage={
            name: sum(scan.numbers.get(name) is not None for scan in scans) for name in numbers
        },
    )


def read_scan_page(record: ScanRecord, rows: Sequence[SliceRow]) -> ScanPage:
    """Put together what is known of a scan.

    Args:
        record: The scan.
        rows: Its slices, in order, at least one.
    """
    middle = rows[len(rows) // 2]
    facts, free = middle.extra.get("scan"), middle.extra.get("properties")
    return ScanPage(
        object_key=record.object_key,
        reservoir=record.reservoir,
        sample=record.sample,
        modality=record.modality,
        properties=of_rows(rows),
        pixel_size_um=middle.numbers.get("pixel_size_um"),
        facts=dict(facts) if isinstance(facts, dict) else {},
        free=dict(free) if isinstance(free, dict) else {},
        slices=tuple(map(_slice_page, rows)),
    )


def _slice_page(row: SliceRow) -> SlicePage:
    size = size_um(row)
    key, generation, index = row.object_key, row.generation, row.slice_index
    return SlicePage(
        slice_index=index,
        place=place_text(row),
        position=position_of(row),
        thumbnail_key=thumbnail_key(key, generation, slice_index=index),
        preview_key=preview_key(key, generation, slice_index=index),
        width_um=None if size is None else size[0],
        numbers=dict(row.numbers),
    )


def _scan_means(
    collection: Collection, numbers: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Number columns by scan: the mean over its slices."""
    values: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for row in collection.values(numbers):
        of_scan = values[row["object_key"]]
        for name in numbers:
            of_scan[name].append(row[name])
    return {
        key: {name: average(name, each) for name, each in of_scan.items()}
        for key, of_scan in values.items()
    }


def average(name: str, values: Iterable[float | None]) -> float | None:
    """Mean of a column's known values; None where there are none."""
    return geometric_mean(values) if name in _PERMEABILITY else mean(values)


def _summary(record: ScanRecord, numbers: Mapping[str, float | None]) -> ScanSummary:
    middle = record.n_slices // 2  # slices are numbered from 0
    return ScanSummary(
        object_key=record.object_key,
        reservoir=record.reservoir,
        sample=record.sample,
        modality=record.modality,
        n_slices=record.n_slices,
        numbers=dict(numbers),
        thumbnail_key=thumbnail_key(record.object_key, record.generation, slice_index=middle),
    )


def _counts(
    scans: Iterable[ScanSummary], name_of: Callable[[ScanSummary], str | None]
) -> tuple[NameCount, ...]:
    groups: dict[str | None, list[ScanSummary]] = defaultdict(list)
    for scan in scans:
        groups[name_of(scan)].append(scan)
    counts = [
        NameCount(
            name=name,
            n_samples=len({scan.sample_identity for scan in group}),
            n_scans=len(group),
            n_slices=sum(scan.n_slices for scan in group),
        )
        for name, group in groups.items()
    ]
    return tuple(sorted(counts, key=lambda each: (each.name is None, each.name or "")))


def _samples(scans: Iterable[ScanSummary]) -> tuple[SamplePoint, ...]:
    groups: dict[Any, list[ScanSummary]] = defaultdict(list)
    for scan in scans:
        groups[scan.sample_identity].append(scan)
    points = [_point(group) for group in groups.values()]
    return tuple(sorted(points, key=lambda p: (p.reservoir or "\U0010ffff", p.sample or "~")))


def _point(scans: Sequence[ScanSummary]) -> SamplePoint:
    def of(name: str) -> float | None:
        return average(name, [scan.numbers.get(name) for scan in scans])

    return SamplePoint(
        reservoir=scans[0].reservoir,
        sample=scans[0].sample,
        object_keys=tuple(scan.object_key for scan in scans),
        n_slices=sum(scan.n_slices for scan in scans),
        properties=RockProperties(
            porosity=of("porosity"),
            permeability_md=of("permeability_md"),
            predicted_porosity=of("predicted_porosity"),
            predicted_permeability_md=of("predicted_permeability_md"),
        ),
    )
