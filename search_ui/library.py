"""What is indexed, for people to look through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.site import Site
    from search_ui.query_words import Names
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
        scans: By key.
        reservoirs: By name, those that are not known last.
        modalities: Likewise.
        samples: By reservoir and name.
        coverage: Scans of which each number column is known.
    """

    collection: str
    bundle_id: str | None
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
        raise NotImplementedError

    def values(self, name: str) -> tuple[float, ...]:
        """Known values of a number column, one for each scan: for histograms."""
        raise NotImplementedError

    def find(self, text: str) -> tuple[ScanSummary, ...]:
        """Scans whose key, reservoir or sample holds every word of a text."""
        raise NotImplementedError


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


class Library:
    """The live collection, to look through. Any thread may ask."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def overview(self) -> LibraryOverview:
        """What is indexed; remembered until something else is.

        Raises:
            SearchError: Nothing is live.
        """
        raise NotImplementedError

    def scan_page(self, object_key: str) -> ScanPage:
        """Everything that is known of a scan.

        Raises:
            SearchError: It is not indexed.
        """
        raise NotImplementedError
