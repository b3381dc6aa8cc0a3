"""What people look through: the library as a whole, and its scans one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from encoder.ranking import Origin
from search_ui.query_words import Names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_ui.rock_properties import RockProperties


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSummary:
    """An indexed scan in a list.

    Attributes:
        object_key: Its key.
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        modality: How it was imaged, or None.
        n_slices: Its slices.
        numbers: Number columns; what is predicted is the mean over its slices (of permeability
            the geometric one). None where not known.
        thumbnail_key: Small picture of its middle slice.
    """

    object_key: str
    reservoir: str | None
    sample: str | None
    modality: str | None
    n_slices: int
    numbers: Mapping[str, float | None]
    thumbnail_key: str

    @property
    def sample_identity(self) -> tuple[str | None, str]:
        """What tells samples apart."""
        return Origin(self.reservoir, self.sample, self.object_key).sample_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCount:
    """A reservoir, sample or modality and what is indexed of it.

    Attributes:
        name: Its name; None for what is not known.
        n_samples: Its samples.
        n_scans: Its scans.
        n_slices: Its slices.
    """

    name: str | None
    n_samples: int
    n_scans: int
    n_slices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePoint:
    """A sample of the porosity-permeability cross plot.

    Attributes:
        reservoir: Formation, or None.
        sample: Its name; None where it is not known: then it is one scan.
        object_keys: Its scans.
        n_slices: Its slices.
        properties: What is measured and predicted of it.
    """

    reservoir: str | None
    sample: str | None
    object_keys: tuple[str, ...]
    n_slices: int
    properties: RockProperties


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryOverview:
    """What is indexed.

    Attributes:
        collection: Where.
        bundle_id: The model; None where it is not published.
        numbers: Number columns.
        scans: By key.
        reservoirs: By name, those that are not known last.
        modalities: Likewise.
        samples: By reservoir and name.
        coverage: Scans of which each number column is known.
    """

    collection: str
    bundle_id: str | None
    numbers: tuple[str, ...] = ()
    scans: tuple[ScanSummary, ...] = ()
    reservoirs: tuple[NameCount, ...] = ()
    modalities: tuple[NameCount, ...] = ()
    samples: tuple[SamplePoint, ...] = ()
    coverage: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_slices(self) -> int:
        """Slices of all scans."""
        return sum(scan.n_slices for scan in self.scans)

    @property
    def names(self) -> Names:
        """What can be named in filters."""
        samples = {point.sample for point in self.samples if point.sample is not None}
        return Names(
            reservoirs=_known(self.reservoirs),
            samples=tuple(sorted(samples)),
            modalities=_known(self.modalities),
            numbers=self.numbers,
        )

    def values(self, name: str) -> tuple[float, ...]:
        """Known values of a number column, one for each scan: for histograms."""
        found = (scan.numbers.get(name) for scan in self.scans)
        return tuple(value for value in found if value is not None)

    def find(self, text: str) -> tuple[ScanSummary, ...]:
        """Scans whose key, reservoir or sample holds every word of a text."""
        words = text.casefold().split()
        return tuple(scan for scan in self.scans if _holds(scan, words))


def _known(counts: tuple[NameCount, ...]) -> tuple[str, ...]:
    return tuple(each.name for each in counts if each.name is not None)


def _holds(scan: ScanSummary, words: list[str]) -> bool:
    names = (scan.object_key, unquote(scan.object_key), scan.reservoir or "", scan.sample or "")
    told = "\n".join(names).casefold()
    return all(word in told for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePage:
    """A slice of a scan that is looked at.

    Attributes:
        slice_index: Its number.
        place: Where it lies in the scan, in words.
        position: Likewise, 0 to 1 along a volume's axis; None for images.
        thumbnail_key: Its small picture.
        preview_key: Its large picture.
        width_um: Width that it shows, or None.
        numbers: Its number columns.
    """

    slice_index: int
    place: str
    position: float | None
    thumbnail_key: str
    preview_key: str
    width_um: float | None
    numbers: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPage:
    """Everything that is known of an indexed scan.

    Attributes:
        object_key: Its key.
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        modality: How it was imaged, or None.
        properties: What is measured, and predicted on the mean of its slices.
        pixel_size_um: Size of a pixel, or None.
        facts: Facts of the file: format, size, type of its pixels, grey window.
        free: Free properties.
        slices: In order.
    """

    object_key: str
    reservoir: str | None
    sample: str | None
    modality: str | None
    properties: RockProperties
    pixel_size_um: float | None
    facts: Mapping[str, Any]
    free: Mapping[str, Any]
    slices: tuple[SlicePage, ...]
