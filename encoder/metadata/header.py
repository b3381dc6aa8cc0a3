"""The header row of a metadata table: which column holds what, and what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.metadata.columns import (
    ONE,
    ROCKIR_RESERVOIR,
    SAMPLE_FOLDER_COLUMN,
    Field,
    Meaning,
    free_name,
    meaning_of,
    squash,
    unit_words,
)
from encoder.metadata.problems import MetadataError, MetadataProblem, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        index: Its place, counted from 0.
        header: Its name as it stands in the table.
        name: Field of ours, or name of the free property.
        field: Field of ours, or None for a free property.
        factor: What its numbers are multiplied by to get our unit.
        unit: Unit as the name gives it, or ``""`` for ours.
    """

    index: int
    header: str
    name: str
    field: Field | None
    factor: Decimal = ONE
    unit: str = ""

    @property
    def is_sample_folder(self) -> bool:
        """Whether it is RockIR's ``Created_label``, the folder of a sample."""
        return squash(self.header) == SAMPLE_FOLDER_COLUMN


def read_header(
    headers: Sequence[str], *, source: str, row: int | None = None
) -> tuple[Column, ...]:
    """Give every named column its meaning; nameless ones are left out.

    Args:
        headers: Names of the columns, in order.
        source: Name of the table, for messages.
        row: Row number of the header as a spreadsheet shows it.

    Raises:
        MetadataError: All units that are unknown or wrong for their field, and all fields or
            free properties that two columns claim.
    """
    named = {index: header.strip() for index, header in enumerate(headers) if header.strip()}
    meanings = _second_choices_settled({i: meaning_of(name) for i, name in named.items()}, named)
    columns = tuple(_column(index, named[index], meaning=meanings[index]) for index in named)
    problems = [
        MetadataProblem(
            source=source,
            row=row,
            column=column.header,
            found=f"the unit {shown(column.unit)}",
            expected=f"a unit of {column.name}: {unit_words(column.name)}",
            remedy="convert the column, or give it another name if it holds something else",
        )
        for column in columns
        if not meanings[column.index].unit_known
    ]
    problems += _repeated(columns, source=source, row=row)
    if problems:
        raise MetadataError(problems)
    return columns


def _second_choices_settled(
    meanings: dict[int, Meaning], named: dict[int, str]
) -> dict[int, Meaning]:
    """Demote second-choice names where a first choice exists; read ``Label`` as RockIR means it."""
    taken = {meaning.field for meaning in meanings.values() if meaning.first_choice}
    squashed = {index: squash(name) for index, name in named.items()}
    is_rockir = SAMPLE_FOLDER_COLUMN in squashed.values() and Field.RESERVOIR not in taken
    settled = {}
    for index, meaning in meanings.items():
        if is_rockir and squashed[index] == ROCKIR_RESERVOIR:
            settled[index] = Meaning(Field.RESERVOIR)
        elif not meaning.first_choice and (
            meaning.field in taken or (is_rockir and meaning.field is Field.RESERVOIR)
        ):
            settled[index] = Meaning(None)
        else:
            settled[index] = meaning
    return settled


def _column(index: int, header: str, *, meaning: Meaning) -> Column:
    return Column(
        index=index,
        header=header,
        name=free_name(header) if meaning.field is None else str(meaning.field),
        field=meaning.field,
        factor=meaning.factor,
        unit=meaning.unit,
    )


def _repeated(columns: Sequence[Column], *, source: str, row: int | None) -> list[MetadataProblem]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for column in columns:
        by_name[column.name].append(column.header)
    return [
        MetadataProblem(
            source=source,
            row=row,
            found=f"{len(headers)} columns for {name}: {', '.join(map(shown, headers))}",
            expected="one",
            remedy="remove the others, or give them names of their own",
        )
        for name, headers in by_name.items()
        if len(headers) > 1
    ]
