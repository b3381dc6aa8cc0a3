"""What a search is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
from encoder.metadata.problems import NUMBER_RULES

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.planes import ReadOptions
    from encoder.ranking import GroupBy
    from encoder.regions import Region

MAX_HITS = 1000
"""Most slices, or groups, of an answer."""

NOTHING_LIVE = (
    "search: nothing is indexed yet; index scans first (`lithoscope ingest PATH --encoder dsnn "
    "--init seed:0`, or another encoder)"
)


class SearchError(LithoscopeError):
    """A search that can't be answered as it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an asker tells of a file; it wins over what the file and its library tell.

    Attributes:
        reservoir: Formation; None for what else is known.
        sample: Rock sample, likewise.
        pixel_size_um: Size of a pixel in micrometres, likewise.
        porosity: A fraction, likewise.
        permeability_md: In millidarcy, likewise.

    Raises:
        SearchError: A number out of its bounds, or an empty name.
    """

    reservoir: str | None = None
    sample: str | None = None
    pixel_size_um: float | None = None
    porosity: float | None = None
    permeability_md: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no rock has."""
        for name in ("reservoir", "sample"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise SearchError(f"{name}: an empty name; leave it out where it is not known")
        for name, rule in NUMBER_RULES.items():
            value = getattr(self, name)
            if value is not None and not rule.accepts(value):
                raise SearchError(
                    f"{name}: found {value:g}, expected {rule.expected_for(value)}; "
                    f"{rule.remedy_for(value)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """An image or volume that need not be indexed.

    Attributes:
        path: The file.
        read: What its reader needs to be told; None for nothing.
        library: Folder of its library; None to look for it.
        name: What it is called in answers, where its path tells nothing of it; None for its path.
        told: What the asker tells of it; None for nothing.
        slice_index: The slice's number; None for all of them.
        region: Part of the slice, in its scan's grey window; without a slice, of every plane of a
            volume, or of the whole image. None for all of it.
    """

    path: Path
    read: ReadOptions | None = None
    library: Path | None = None
    name: str | None = None
    told: Told | None = None
    slice_index: int | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadQuery:
    """A file that was uploaded, and kept (`search_ui.kept_queries`).

    Attributes:
        token: What it was kept under.
        told: As of `FileQuery`.
        slice_index: Likewise.
        region: Likewise.
    """

    token: str
    told: Told | None = None
    slice_index: int | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectQuery:
    """An indexed scan, or one slice of it.

    Attributes:
        object_key: The scan.
        slice_index: The slice's number; None for all of them.
        region: Part of it, as of `FileQuery`; its object is fetched and decoded then.
    """

    object_key: str
    slice_index: int | None = None
    region: Region | None = None


Query = FileQuery | UploadQuery | ObjectQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyRange:
    """A closed interval of a numeric property.

    Attributes:
        name: Column.
        low: Smallest value, or None for no bound.
        high: Largest value, or None for no bound.
    """

    name: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str) -> PropertyRange:
        """Read ``porosity=0.15:0.25``; either bound may be left out, ``porosity=0.2`` is a value.

        Raises:
            SearchError: It is no such text.
        """
        name, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        if not name.strip() or not equals:
            raise SearchError(f"range {text!r}: expected NAME=LOW:HIGH, such as porosity=0.15:0.25")
        first = _bound(low, text)
        last = _bound(high, text) if colon else first
        if first is None and last is None:
            raise SearchError(f"range {text!r}: no bound; give LOW, HIGH or both")
        if first is not None and last is not None and first > last:
            raise SearchError(f"range {text!r}: {first:g} is above {last:g}; swap the bounds")
        return cls(name=name.strip(), low=first, high=last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which slices may be hits; an empty tuple asks for nothing.

    Attributes:
        only_reservoirs: Only slices of these.
        exclude_reservoirs: No slices of these.
        only_samples: Only slices of samples of these names, of any reservoir.
        exclude_samples: No slices of samples of these names, of any reservoir.
        only_objects: Only slices of these scans.
        exclude_objects: No slices of these scans.
        modalities: Only slices imaged so.
        ranges: Intervals that properties lie in.
        keep_unmeasured: Whether slices stay whose property was not measured.
    """

    only_reservoirs: tuple[str, ...] = ()
    exclude_reservoirs: tuple[str, ...] = ()
    only_samples: tuple[str, ...] = ()
    exclude_samples: tuple[str, ...] = ()
    only_objects: tuple[str, ...] = ()
    exclude_objects: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    ranges: tuple[PropertyRange, ...] = ()
    keep_unmeasured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search.

    Attributes:
        queries: What to look for; several are one query, merged by minimum distance.
        k: Slices, or groups, that are wanted.
        filters: Which slices may be hits.
        group_by: Show the nearest slice of each sample or reservoir only; None for no groups.
        per_sample: Most slices of one sample; None for no bound.
        min_similarity: Show nothing less alike, from 0 to 1.
        include_own_sample: Whether slices of the query's own samples may be hits.
        three_rows: Answer the paper's three views as well, ``k`` slices each.

    Raises:
        SearchError: Nothing to look for, or a number out of its range.
    """

    queries: tuple[Query, ...]
    k: int = 10
    filters: Filters = Filters()
    group_by: GroupBy | None = None
    per_sample: int | None = None
    min_similarity: float = 0.0
    include_own_sample: bool = False
    three_rows: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be answered."""
        if not self.queries:
            raise SearchError("search: nothing to look for; name an image file or an object key")
        if not 1 <= self.k <= MAX_HITS:
            raise SearchError(f"search: {self.k} hits asked for; ask for 1 to {MAX_HITS}")
        if self.per_sample is not None and self.per_sample < 1:
            raise SearchError(f"search: at most {self.per_sample} per sample; ask for 1 or more")
        if not 0.0 <= self.min_similarity <= 1.0:
            raise SearchError(
                f"search: smallest similarity {self.min_similarity:g}; give a number from 0 to 1"
            )


def _bound(text: str, whole: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SearchError(
            f"range {whole!r}: {text!r} is no number; expected NAME=LOW:HIGH, such as "
            "porosity=0.15:0.25"
        )
    return value
