"""What is known of a scan beside its pixels, and where each value was read.

Units are fixed: porosity as a fraction, permeability in millidarcy, pixel size in micrometres.
None means not known or not measured; no number ever stands for that here.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from encoder.metadata.problems import (
    NUMBER_RULES,
    MetadataError,
    MetadataProblem,
    is_number,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar: TypeAlias = int | float | bool | str
"""Value of a property; a date is a string in ISO 8601."""


class Modality(StrEnum):
    """How a rock was imaged."""

    MICRO_CT = "micro_ct"
    THIN_SECTION = "thin_section"


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """Laboratory properties of a sample; any may be missing.

    Attributes:
        porosity: Pore volume over bulk volume, a fraction from 0 to 1.
        permeability_md: Absolute permeability in millidarcy, at least 0. (Training takes values
            of 0 as not measured, since it works on logarithms.)
        extra: Free properties by name, each with the type it was written in.

    Raises:
        MetadataError: A value that is out of bounds, not finite or of the wrong type.
    """

    porosity: float | None = None
    permeability_md: float | None = None
    extra: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check every value, make numbers floats and keep an own copy of the free ones."""
        problems = [
            *_number_problems("porosity", self.porosity),
            *_number_problems("permeability_md", self.permeability_md),
            *(problem for item in self.extra.items() for problem in _extra_problems(*item)),
        ]
        if problems:
            raise MetadataError(problems)
        object.__setattr__(self, "extra", dict(self.extra))
        for name in ("porosity", "permeability_md"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    def number(self, name: str) -> float | None:
        """Value of a numeric property of any kind, or None where there is no number.

        Args:
            name: ``porosity``, ``permeability_md`` or the name of a free property.
        """
        value = getattr(self, name) if name in NUMBER_RULES else self.extra.get(name)
        return float(value) if is_number(value) else None


class SourceKind(StrEnum):
    """What kind of source a value was read from."""

    TABLE = "table"
    USER_METADATA = "user metadata"
    PATH = "path"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a value was read.

    Attributes:
        kind: Kind of source.
        source: Table's name, or the key or path of the scan itself.
        row: Row number as a spreadsheet shows it, for tables.
        column: Name of the column or of the user metadata's key.
        match: What led from the scan to the table's row, such as ``"Image"`` or ``"sample"``.
    """

    kind: SourceKind
    source: str
    row: int | None = None
    column: str | None = None
    match: str | None = None

    def __str__(self) -> str:
        if self.kind is SourceKind.TABLE:
            return f"{self.source} row {self.row}, column {self.column!r} (by {self.match})"
        if self.kind is SourceKind.USER_METADATA:
            return f"user metadata {self.column!r}"
        return str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanMetadata:
    """Everything that is known of a scan beside its pixels.

    Attributes:
        object_key: Key in the object store, or path inside a library, as it was asked for.
        reservoir: Formation that the sample comes from, or None.
        sample: Rock sample that the scan shows, or None; see `sample_or_own`.
        modality: How it was imaged, or None.
        pixel_size_um: Size of a pixel or voxel in micrometres, or None.
        properties: Laboratory properties.
        provenance: Where each value was read, by name of the field or free property.
        notes: Oddities worth telling, such as a row that was not used.

    Raises:
        MetadataError: A pixel size that is not a finite number above 0, or an empty name.
    """

    object_key: str
    reservoir: str | None = None
    sample: str | None = None
    modality: Modality | None = None
    pixel_size_um: float | None = None
    properties: Properties = field(default_factory=Properties)
    provenance: Mapping[str, Provenance] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Check the fields that are not properties."""
        problems = _number_problems("pixel_size_um", self.pixel_size_um)
        problems += [
            MetadataProblem(
                source=self.object_key,
                column=name,
                found="an empty name",
                expected="a name or None",
                remedy="leave it out where it is not known",
            )
            for name, value in (("reservoir", self.reservoir), ("sample", self.sample))
            if value is not None and not value.strip()
        ]
        if problems:
            raise MetadataError(problems)

    @property
    def sample_or_own(self) -> str:
        """Label of the sample for training and search: its name, else the scan's own key.

        A scan of an unknown sample is its own sample: it shares it with nothing, so its slices
        are similar to each other only, and hiding a query's own sample hides just that scan.
        """
        return self.object_key if self.sample is None else self.sample

    def with_file_pixel_size(self, pixel_size_um: float | None) -> ScanMetadata:
        """Fill in the pixel size that the scan's own file tells, where nothing else told one.

        Args:
            pixel_size_um: Size in micrometres, or None where the file doesn't tell.
        """
        if self.pixel_size_um is not None or pixel_size_um is None:
            return self
        origin = Provenance(kind=SourceKind.FILE, source=self.object_key)
        provenance = {**self.provenance, "pixel_size_um": origin}
        return replace(self, pixel_size_um=pixel_size_um, provenance=provenance)

    def values(self) -> dict[str, Scalar]:
        """Every known value by name, free properties included; no key, no provenance."""
        fields: dict[str, Scalar | None] = {
            "reservoir": self.reservoir,
            "sample": self.sample,
            "modality": None if self.modality is None else str(self.modality),
            "pixel_size_um": self.pixel_size_um,
            "porosity": self.properties.porosity,
            "permeability_md": self.properties.permeability_md,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return known | dict(self.properties.extra)

    def metadata_hash(self) -> str:
        """Digest of `values`: equal as long as nothing was corrected.

        It depends on neither the order of columns, the place a value was read, nor whether a
        whole number is stored as integer or float.

        Returns:
            64 hexadecimal digits (SHA-256).
        """
        canonical = {name: _canonical(value) for name, value in self.values().items()}
        text = json.dumps(canonical, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


def _canonical(value: Scalar) -> Scalar:
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value


def _number_problems(name: str, value: object) -> list[MetadataProblem]:
    if value is None:
        return []
    rule = NUMBER_RULES[name]
    number = value if is_number(value) else math.nan
    if rule.accepts(number):
        return []
    return [
        MetadataProblem(
            source="value of a scan",
            column=name,
            found=shown(value),
            expected=rule.expected_for(number),
            remedy=rule.remedy_for(number),
        )
    ]


def _extra_problems(name: str, value: object) -> list[MetadataProblem]:
    is_scalar = isinstance(value, int | float | str)
    if is_scalar and not (isinstance(value, float) and not math.isfinite(value)):
        return []
    return [
        MetadataProblem(
            source="value of a scan",
            column=name,
            found=shown(value),
            expected="text, a finite number, true or false",
            remedy="leave it out where it was not measured",
        )
    ]
