"""What is measured of a query, and what the live model predicts of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from encoder.inference import Encoded
    from encoder.metadata.records import ScanMetadata
    from infra.indexing.records import SliceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RockProperties:
    """Properties of what was looked for; None for what is not known.

    Attributes:
        porosity: As measured, a fraction.
        permeability_md: As measured, in millidarcy.
        predicted_porosity: As predicted, the mean over its slices.
        predicted_permeability_md: Likewise, the geometric mean.
    """

    porosity: float | None = None
    permeability_md: float | None = None
    predicted_porosity: float | None = None
    predicted_permeability_md: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Return them by name."""
        return asdict(self)


def of_rows(rows: Iterable[SliceRow]) -> RockProperties:
    """Read properties out of the indexed slices of a scan."""
    numbers = [row.numbers for row in rows]
    return RockProperties(
        porosity=mean(each.get("porosity") for each in numbers),
        permeability_md=geometric_mean(each.get("permeability_md") for each in numbers),
        predicted_porosity=mean(each.get("predicted_porosity") for each in numbers),
        predicted_permeability_md=geometric_mean(
            each.get("predicted_permeability_md") for each in numbers
        ),
    )


def of_file(
    metadata: ScanMetadata | None, encoded: Encoded, *, indexed: RockProperties
) -> RockProperties:
    """Put together what is known of a file.

    Args:
        metadata: What its library tells; None where that can't be told.
        encoded: What the model makes of its slices.
        indexed: Of indexed scans of the same content, where the library tells nothing.
    """
    told = None if metadata is None else metadata.properties
    porosity = None if told is None else told.porosity
    permeability = None if told is None else told.permeability_md
    return RockProperties(
        porosity=indexed.porosity if porosity is None else porosity,
        permeability_md=indexed.permeability_md if permeability is None else permeability,
        predicted_porosity=mean(_known(encoded.porosity)),
        predicted_permeability_md=geometric_mean(_known(encoded.permeability_md)),
    )


def predicted(known: RockProperties, encoded: Encoded) -> RockProperties:
    """What is known, with what the model makes of some slices in place of former predictions."""
    return replace(
        known,
        predicted_porosity=mean(_known(encoded.porosity)),
        predicted_permeability_md=geometric_mean(_known(encoded.permeability_md)),
    )


def _known(values: Iterable[float] | None) -> list[float]:
    return [] if values is None else [float(value) for value in values]


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Permeabilities are averaged by their logarithms; one of 0 makes the mean 0."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if known and min(known) <= 0:
        return 0.0
    logarithm = mean(math.log(value) for value in known)
    return None if logarithm is None else math.exp(logarithm)
