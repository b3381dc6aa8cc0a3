"""Which scans of a library the rows of its tables are about, so that no row speaks for two.

A row may name its scan by a file's name, or a sample without its reservoir. Only the library's
list of scans tells whether that is unambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from encoder.metadata.columns import Field
from encoder.metadata.problems import MetadataProblem, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from encoder.metadata.places import Hit, ScanPlace


@dataclass
class Targets:
    """What was found when every scan of a library was held against every row.

    Attributes:
        exact: Rows (their ids) whose object key or whole path is a scan's.
        named: Scans that end with a row's ``Image``: by row, then by the rock that they show (the
            slices of a volume are one).
        tails: Length of the longest scan's path that a row's ``Image`` ends with, by row.
        reservoirs: A scan of each reservoir that a sample's row reaches, by row.
    """

    exact: set[int]
    named: dict[int, dict[str, str]] = field(default_factory=dict)
    tails: dict[int, int] = field(default_factory=dict)
    reservoirs: dict[int, dict[str | None, str]] = field(default_factory=dict)

    def add_named(self, hits: Iterable[Hit], scan: ScanPlace) -> None:
        """Note that rows name a scan by its file's name."""
        for hit in hits:
            self.named.setdefault(id(hit.row), {}).setdefault(scan.rock, scan.asked)

    def add_tail(self, hits: Iterable[Hit], length: int) -> None:
        """Note that the ``Image`` of rows ends with a scan's path of some length."""
        for hit in hits:
            self.tails[id(hit.row)] = max(length, self.tails.get(id(hit.row), 0))

    def add_sampled(self, hits: Iterable[Hit], scan: ScanPlace, *, reservoir: str | None) -> None:
        """Note that rows name a scan's sample, and no reservoir."""
        for hit in hits:
            self.reservoirs.setdefault(id(hit.row), {}).setdefault(reservoir, scan.asked)

    def ending_with(self, hits: Iterable[Hit], length: int) -> list[Hit]:
        """Of rows whose ``Image`` ends with a scan's path, those that are about no other scan."""
        return [
            hit
            for hit in hits
            if id(hit.row) not in self.exact
            and id(hit.row) not in self.named
            and self.tails.get(id(hit.row), 0) <= length
        ]

    def is_lost(self, hit: Hit) -> bool:
        """Whether no scan of the library bears the name of a row's ``Image``."""
        row = id(hit.row)
        return row not in self.exact and row not in self.named and row not in self.tails

    def name_problems(self, hits: Iterable[Hit], scan: ScanPlace) -> Iterable[MetadataProblem]:
        """What is wrong with rows that name a scan by its file's name: that of several scans."""
        for hit in hits:
            rivals = {**self.named.get(id(hit.row), {})}
            rivals.setdefault(scan.rock, scan.asked)
            if len(rivals) > 1:
                yield MetadataProblem(
                    source=hit.table.name,
                    row=hit.row.number,
                    column=hit.table.header_of(Field.IMAGE),
                    found=f"{shown(hit.row.image)}, which is {_both(rivals.values())}",
                    expected="the name of one scan",
                    remedy="write the scan's path relative to the table's folder",
                )

    def sample_problems(
        self, hits: Iterable[Hit], scan: ScanPlace, *, reservoir: str | None
    ) -> Iterable[MetadataProblem]:
        """What is wrong with rows that name a scan's sample: it is one of several reservoirs."""
        for hit in hits:
            rivals = {**self.reservoirs.get(id(hit.row), {})}
            rivals.setdefault(reservoir, scan.asked)
            if len(rivals) > 1:
                column = hit.table.header_of(Field.SAMPLE)
                sample = shown(hit.row.values[Field.SAMPLE])
                yield MetadataProblem(
                    source=hit.table.name,
                    row=hit.row.number,
                    column=column,
                    found=f"{sample} without a reservoir, which is {_reservoirs(rivals)}",
                    expected="a sample of one reservoir",
                    remedy="say which in a column 'Reservoir'",
                )


def tail_problem(scan: ScanPlace, hits: Iterable[Hit]) -> MetadataProblem:
    """Say that the ``Image`` of several rows ends with a scan's path."""
    return MetadataProblem(
        source=scan.asked,
        found=f"rows that may be about it: {_both(map(row_text, hits))}",
        expected="one row for a scan",
        remedy="write the scan's path relative to the table's folder in its row",
    )


def row_text(hit: Hit) -> str:
    """A row by its ``Image`` and place, for a message."""
    return f"{shown(hit.row.image)} ({hit.table.name} row {hit.row.number})"


def _both(names: Iterable[str]) -> str:
    first, second, *others = names
    return f"{first} and {second}" + (f" and {len(others)} more" if others else "")


def _reservoirs(rivals: Mapping[str | None, str]) -> str:
    return _both(
        f"{'none' if reservoir is None else shown(reservoir)} ({scan})"
        for reservoir, scan in rivals.items()
    )
