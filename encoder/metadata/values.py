"""Values of a column, each checked by the rules of its field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.metadata.cells import (
    RawCell,
    free_values,
    is_error,
    is_missing,
    modality_of,
    number_of,
    text_of,
)
from encoder.metadata.columns import ONE, Field
from encoder.metadata.problems import CORRECT, NUMBER_RULES, MetadataProblem, shown
from encoder.object_keys import ObjectKey, ObjectKeyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.metadata.header import Column
    from encoder.metadata.records import Scalar


@dataclass(slots=True, kw_only=True)
class ColumnReader:
    """Reads the columns of one source and gathers what is wrong with them.

    Attributes:
        source: Name of the table or object, for messages.
        decimal_comma: Whether numbers are written ``0,23``.
        problems: What was wrong so far.
    """

    source: str
    decimal_comma: bool = False
    problems: list[MetadataProblem] = field(default_factory=list)

    def values(
        self, column: Column, cells: Sequence[RawCell], *, rows: Sequence[int | None]
    ) -> list[Scalar | None]:
        """Read a column.

        Args:
            column: What it holds.
            cells: Its cells, top to bottom.
            rows: Row numbers of the cells, for messages.

        Returns:
            Values in our units; None where missing or wrong (then it is among ``problems``).
        """
        cells = self._without_errors(column, cells, rows=rows)
        if column.field is None:
            return free_values(cells, decimal_comma=self.decimal_comma)
        return [
            None if is_missing(cell) else self._value(column, cell, row=row)
            for cell, row in zip(cells, rows, strict=True)
        ]

    def _without_errors(
        self, column: Column, cells: Sequence[RawCell], *, rows: Sequence[int | None]
    ) -> Sequence[RawCell]:
        """Refuse a spreadsheet's errors: what was measured is not known to be missing."""
        errors = [index for index, cell in enumerate(cells) if is_error(cell)]
        for index in errors:
            self._refuse(
                column, cells[index], row=rows[index], expected="a value, not a formula's error"
            )
        lost = frozenset(errors)
        return ["" if i in lost else cell for i, cell in enumerate(cells)] if lost else cells

    def _value(self, column: Column, cell: RawCell, *, row: int | None) -> Scalar | None:
        if column.name in NUMBER_RULES:
            return self._number(column, cell, row=row)
        if column.field is Field.MODALITY:
            modality = modality_of(cell)
            if modality is None:
                self._refuse(column, cell, row=row, expected="micro_ct or thin_section")
            return modality
        return (
            self._key(column, cell, row=row) if column.field is Field.OBJECT_KEY else text_of(cell)
        )

    def _key(self, column: Column, cell: RawCell, *, row: int | None) -> str | None:
        try:
            return str(ObjectKey.parse(text_of(cell)))
        except ObjectKeyError:
            self._refuse(
                column, cell, row=row, expected="scans/<reservoir>/<sample>/<file>, escaped"
            )
            return None

    def _number(self, column: Column, cell: RawCell, *, row: int | None) -> float | None:
        rule = NUMBER_RULES[column.name]
        value = number_of(cell, column.factor, decimal_comma=self.decimal_comma)
        if value is None:
            mark = "comma, as elsewhere in the file," if self.decimal_comma else "point"
            expected = f"a number with a decimal {mark} and no unit"
            self._refuse(column, cell, row=row, expected=expected)
        elif not rule.accepts(value):
            is_ours = column.factor == ONE
            converted = "" if is_ours else f" after conversion from {column.unit}"
            self._refuse(
                column,
                cell,
                row=row,
                expected=rule.expected_for(value) + converted,
                remedy=rule.remedy_for(value) if is_ours else CORRECT,
            )
            return None
        return value

    def _refuse(
        self,
        column: Column,
        cell: RawCell,
        *,
        row: int | None,
        expected: str,
        remedy: str = CORRECT,
    ) -> None:
        self.problems.append(
            MetadataProblem(
                source=self.source,
                row=row,
                column=column.header,
                found=shown(text_of(cell)),
                expected=expected,
                remedy=remedy,
            )
        )
