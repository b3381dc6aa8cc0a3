"""A scan's metadata while its sources are asked one after the other, the first answer kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from encoder.metadata.columns import Field
from encoder.metadata.problems import MetadataError, MetadataProblem, is_number, shown
from encoder.metadata.records import (
    Modality,
    Properties,
    Provenance,
    Scalar,
    ScanMetadata,
    SourceKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from encoder.metadata.places import Hit, Names, ScanPlace
    from encoder.metadata.user import UserValue

_FIELDS = frozenset(map(str, Field))


class MetadataDraft:
    """What is known of a scan so far.

    Attributes:
        scan: Where the scan lies.
        hits: Rows that were about it.
        by_match: The same, by how they were found.
        path_names: Reservoir and sample that its path is taken to tell.
    """

    def __init__(self, scan: ScanPlace) -> None:
        self.scan = scan
        self.hits: list[Hit] = []
        self.by_match: dict[str, Sequence[Hit]] = {}
        self.path_names = scan.names
        self._found: dict[str, tuple[Scalar, Provenance]] = {}
        self._problems: list[MetadataProblem] = []
        self._notes: list[str] = []

    def text_of(self, field: Field) -> str | None:
        """Value of a text field, where it is known."""
        return str(self._found[field][0]) if field in self._found else None

    def take_rows(self, hits: Sequence[Hit], *, match: str) -> None:
        """Take what the rows know and earlier sources didn't.

        Args:
            hits: Rows that were found on the same step.
            match: How they were found, in words.
        """
        self.hits += hits
        self.by_match[match] = hits
        known = frozenset(self._found)
        for hit in hits:
            for name, value in hit.row.values.items():
                if name in known:
                    continue
                new = value, _origin(hit, name, match=match)
                first = self._found.setdefault(name, new)
                if not _agree(first[0], value):
                    self._problems.append(self._contradiction(name, (first, new)))

    def take_user_metadata(self, values: Mapping[str, UserValue]) -> None:
        """Take what user metadata knows and no row did."""
        for name, user in values.items():
            origin = Provenance(
                kind=SourceKind.USER_METADATA, source=self.scan.asked, column=user.key
            )
            self._found.setdefault(name, (user.value, origin))

    def take_path(self, readings: Iterable[Names]) -> None:
        """Take the names that the path tells and no other source did.

        A path that disagrees with the known reservoir is read from a table's folder where that
        agrees. Where none does, and the scan's row leaves its sample empty, the tree is sorted by
        something else than samples: the sample stays unknown.

        Args:
            readings: Names as the path tells them from the folders of the tables.
        """
        reservoir = self.text_of(Field.RESERVOIR)
        names = self.path_names
        disagrees = not self.scan.is_key and reservoir not in (None, names.reservoir)
        if disagrees:
            names = next((each for each in readings if each.reservoir == reservoir), names)
            disagrees = names.reservoir != reservoir
        left_empty = any(hit.table.has(Field.SAMPLE) for hit in self.hits)
        self._take_name(Field.RESERVOIR, names.reservoir)
        if not (disagrees and left_empty):
            self._take_name(Field.SAMPLE, names.sample)

    def of_reservoir(self, hits: Sequence[Hit], reservoir: str | None) -> list[Hit]:
        """Rows of a sample that are about the scan's reservoir, or about no certain one.

        Args:
            hits: Rows that name the scan's sample.
            reservoir: The scan's reservoir, or None where only the path may tell it.
        """
        named = {hit.row.values.get(Field.RESERVOIR) for hit in hits} - {None}
        likely = self.path_names.reservoir if reservoir is None else reservoir
        if likely in named:
            return [hit for hit in hits if hit.row.values.get(Field.RESERVOIR) in (None, likely)]
        if reservoir is None:
            return list(hits)
        fitting = [
            hit
            for hit in hits
            if Field.RESERVOIR not in hit.row.values or hit.table.is_keyed_by_folder
        ]
        self._notes += [
            f"{hit.table.name} row {hit.row.number} was not used: it is about this sample's "
            f"namesake in reservoir {shown(hit.row.values[Field.RESERVOIR])}, "
            f"not {shown(reservoir)}"
            for hit in hits
            if hit not in fitting
        ]
        return fitting

    def refuse(self, problems: Iterable[MetadataProblem]) -> None:
        """Note what is wrong with rows that were taken: `finished` will raise it."""
        self._problems += problems

    def note(self, note: str) -> None:
        """Note an oddity."""
        self._notes.append(note)

    def finished(self) -> ScanMetadata:
        """The metadata, checked.

        Raises:
            MetadataError: Rows that contradict each other.
        """
        if self._problems:
            raise MetadataError(self._problems)
        extra = {name: value for name, (value, _) in self._found.items() if name not in _FIELDS}
        modality = self.text_of(Field.MODALITY)
        return ScanMetadata(
            object_key=self.scan.asked,
            reservoir=self.text_of(Field.RESERVOIR),
            sample=self.text_of(Field.SAMPLE),
            modality=None if modality is None else Modality(modality),
            pixel_size_um=self._number_of(Field.PIXEL_SIZE_UM),
            properties=Properties(
                porosity=self._number_of(Field.POROSITY),
                permeability_md=self._number_of(Field.PERMEABILITY_MD),
                extra=extra,
            ),
            provenance={name: origin for name, (_, origin) in self._found.items()},
            notes=tuple(self._notes),
        )

    def _number_of(self, field: Field) -> float | None:
        value = self._found[field][0] if field in self._found else None
        return float(value) if is_number(value) else None

    def _take_name(self, field: Field, name: str | None) -> None:
        if name is not None and name.strip():
            origin = Provenance(kind=SourceKind.PATH, source=self.scan.asked)
            self._found.setdefault(str(field), (name, origin))

    def _contradiction(
        self, name: str, answers: Iterable[tuple[Scalar, Provenance]]
    ) -> MetadataProblem:
        both = " and ".join(f"{shown(value)} in {origin}" for value, origin in answers)
        return MetadataProblem(
            source=self.scan.asked,
            column=name,
            found=both,
            expected="one value",
            remedy="correct or remove one of the rows, or name each scan by its object_key",
        )


def _origin(hit: Hit, name: str, *, match: str) -> Provenance:
    return Provenance(
        kind=SourceKind.TABLE,
        source=hit.table.name,
        row=hit.row.number,
        column=hit.table.header_of(name),
        match=match,
    )


def _agree(first: Scalar, second: Scalar) -> bool:
    """Whether two values are the same; conversion between units may round the last digit."""
    if is_number(first) and is_number(second):
        return math.isclose(first, second, rel_tol=1e-9)
    return first == second
