"""Metadata of a scan out of all its sources.

For each field the first source that knows it wins:

1. a row of a metadata table, by ``object_key``;
2. by ``Image``, relative to the table's place (``E1/S1/a.png``);
3. by the file's name: ``Image`` is a tail of the scan's path (``a.png``, ``S1/a.png``); else the
   scan's path is a tail of one ``Image`` only (tables written elsewhere);
4. by sample: a row that names a sample and no scan speaks for all its scans;
5. user metadata or tags of the stored object;
6. the path: ``scans/<reservoir>/<sample>/…``, or ``<reservoir>/<sample>/…`` in a library.

In 2 and 3 the extension may be left out, and the name of a volume stands for its slices
``<volume>_slice<n>…``; in each table the most exact name counts. A table speaks for the scans of
its folder and those below. Rows that reach a scan on the same step must agree, else it is an error
that shows both.

Whether a file's name or a sample's is unambiguous depends on the scans that there are. An index
that was given them refuses a row that reaches several scans by their files' name (the slices of a
volume are one), a sample without reservoir that several reservoirs have, and a scan whose path
several rows end with; a row whose whole path is a scan's is about that scan alone. An index
without such a list takes a name for each scan that bears it.

A sample's name counts within its reservoir: a row for S1 of E1 says nothing of S1 of E3. Only
RockIR's ``Created_label`` names a folder, in whatever reservoir; such rows speak for their sample
even where they name an image, for scans that no row names.
"""

from __future__ import annotations

from functools import cached_property
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from encoder.metadata.columns import Field
from encoder.metadata.draft import MetadataDraft
from encoder.metadata.places import (
    Hit,
    Names,
    RowsOfPlace,
    ScanPlace,
    below,
    clean_path,
    composed,
    names_of_folders,
    stem_of,
    tails_of,
    volume_of,
)
from encoder.metadata.problems import MetadataError, MetadataProblem, shown
from encoder.metadata.tables import MetadataTable, TableRow, read_table
from encoder.metadata.targets import Targets, row_text, tail_problem
from encoder.metadata.user import read_user_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from encoder.metadata.records import ScanMetadata
    from encoder.metadata.user import UserValue
    from encoder.object_keys import ObjectKey

_NO_METADATA: Mapping[str, str] = {}


class MetadataIndex:
    """Metadata tables, ready to answer for any scan in constant time.

    Attributes:
        tables: Every table with the folder it is relative to (``""`` for the root; ``scans`` for
            tables of a bucket's ``metadata/``).
    """

    def __init__(
        self,
        tables: Iterable[tuple[MetadataTable, str]] = (),
        scans: Iterable[str] | None = None,
    ) -> None:
        """Take the tables.

        Args:
            tables: Tables, each with its folder.
            scans: Paths or keys of all scans of the library. It is gone through once, and only
                when some row names a scan by less than its whole path.
        """
        self.tables = tuple((table, clean_path(place)) for table, place in tables)
        self._by_key: dict[str, list[Hit]] = {}
        self._by_path: dict[str, list[Hit]] = {}
        self._places: dict[str, RowsOfPlace] = {}
        self._used: set[int] = set()
        self._has_images = False
        self._scans = scans
        for table, place in self.tables:
            self._places.setdefault(place, RowsOfPlace())
            for row in table.rows:
                self._add(Hit(table, row), place)

    @classmethod
    def read(
        cls, paths: Iterable[Path], *, root: Path, scans: Iterable[str] | None = None
    ) -> MetadataIndex:
        """Read tables that lie in a library; each is relative to its own folder.

        Args:
            paths: The tables' files (`tables.find_tables`), inside ``root``.
            root: The library's folder, which the paths given to `resolve` are relative to.
            scans: Paths of all scans of the library, relative to ``root``.

        Raises:
            MetadataError: The problems of all tables.
            ValueError: A table is not inside ``root``.
        """
        tables, problems = [], []
        for path in paths:
            inside = path.absolute().relative_to(root.absolute())
            try:
                place = "" if inside.parent == Path() else inside.parent.as_posix()
                tables.append((read_table(path, name=inside.as_posix()), place))
            except MetadataError as error:
                problems += error.problems
        if problems:
            raise MetadataError(problems)
        return cls(tables, scans)

    def resolve(
        self,
        path: str | PurePath | ObjectKey,
        user_metadata: Mapping[str, str] = _NO_METADATA,
    ) -> ScanMetadata:
        """Gather what is known of a scan.

        Args:
            path: Its object key, or its path relative to the library's folder.
            user_metadata: User metadata or tags of the stored object.

        Returns:
            Metadata in our units, with the source of every value.

        Raises:
            MetadataError: Rows that contradict each other, user metadata that is wrong, or a
                path that leaves the library.
        """
        scan = ScanPlace.of(path)
        draft = self._draft(scan, read_user_metadata(user_metadata, source=scan.asked))
        self._used.update(id(hit.row) for hit in draft.hits)
        if self._scans is not None:
            self._check(draft)
        return draft.finished()

    def _draft(self, scan: ScanPlace, user: Mapping[str, UserValue]) -> MetadataDraft:
        draft = MetadataDraft(scan)
        draft.take_rows(self._hits_by_key(scan), match="object_key")
        draft.take_rows(exact := self._hits_by_path(scan), match="Image")
        named = self._hits_by_name(scan, exact) if self._has_images else []
        if self._has_images and not named and not exact:
            named = self._hits_by_tail(draft)
        draft.take_rows(named, match="file name")
        draft.take_rows(self._hits_by_sample(draft, user), match="sample")
        draft.take_user_metadata(user)
        draft.take_path(
            _names_below(scan, place) for place in scan.places() if place in self._places
        )
        return draft

    def _check(self, draft: MetadataDraft) -> None:
        """Refuse rows that are about several scans; tell rows that may mean this one."""
        scan = draft.scan
        if named := draft.by_match["file name"]:
            draft.refuse(self._targets.name_problems(named, scan))
        if sampled := _without_reservoir(draft):
            reservoir = draft.text_of(Field.RESERVOIR)
            draft.refuse(self._sampled.sample_problems(sampled, scan, reservoir=reservoir))
        if draft.hits:
            return
        name = scan.text.rpartition("/")[2]
        rows = (self._places[place] for place in scan.places() if place in self._places)
        alike = [hit for each in rows for hit in each.ending_with(name)]
        if lost := [hit for hit in alike if self._targets.is_lost(hit)]:
            more = f" and {len(lost) - 2} more" if len(lost) > 2 else ""
            draft.note(
                f"no row is about it, but {' and '.join(map(row_text, lost[:2]))}{more} would be "
                "by the file's name: correct the path there if it is this scan's"
            )

    def unused_rows(self) -> list[MetadataProblem]:
        """Rows that no scan resolved so far was found by: often a misspelt ``Image``."""
        return [
            MetadataProblem(
                source=table.name,
                row=row.number,
                found=f"no scan for {shown(_name_of(row))}",
                expected="a scan that the row is about",
                remedy="correct the name, or remove the row",
            )
            for table, _ in self.tables
            for row in table.rows
            if id(row) not in self._used
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """Oddities of the tables that are worth telling."""
        return tuple(note for table, _ in self.tables for note in table.notes)

    def _add(self, hit: Hit, place: str) -> None:
        row, rows = hit.row, self._places[place]
        if row.object_key is not None:
            self._by_key.setdefault(row.object_key, []).append(hit)
        if row.image is not None:
            self._has_images = True
            image = clean_path(row.image)
            path = clean_path(f"{place}/{row.image}") if place else image
            if below(path, place) is not None:  # a table speaks for its folder only
                self._by_path.setdefault(path, []).append(hit)
            rows.by_image.setdefault(image, []).append(hit)
        sample = row.values.get(Field.SAMPLE)
        if sample is not None and not row.names_scan:
            rows.by_sample.setdefault(composed(str(sample)), []).append(hit)
        elif sample is not None and hit.table.is_keyed_by_folder:
            rows.by_sample_folder.setdefault(composed(str(sample)), []).append(hit)

    def _hits_by_key(self, scan: ScanPlace) -> list[Hit]:
        return [] if scan.key is None else self._by_key.get(scan.key, [])

    def _hits_by_path(self, scan: ScanPlace) -> list[Hit]:
        """Rows by exact path; a stored key may also be written as it is, escapes and all."""
        return _first_of_each_table(
            self._by_path.get(spelling, [])
            for text in dict.fromkeys((scan.text, composed(scan.asked)))
            for spelling in _spellings(text)
        )

    def _hits_by_name(self, scan: ScanPlace, exact: Sequence[Hit]) -> list[Hit]:
        """Rows by the file's name, of tables that have none for its path."""
        taken = {id(hit.table) for hit in exact}
        named = (
            self._free(rows_there.by_image.get(tail, []), taken)
            for rows_there, inside in self._insides(scan)
            for tail in tails_of(inside)
        )
        volume = volume_of(stem_of(scan.text))
        of_volume = (
            self._free(self._places[place].of_volume(inside), taken)
            for place in scan.places()
            if volume and place in self._places and (inside := below(volume, place))
        )
        return _first_of_each_table(chain(named, of_volume))

    def _hits_by_tail(self, draft: MetadataDraft) -> list[Hit]:
        """Rows whose ``Image`` ends with the scan's path; if several do, they tell nothing."""
        groups = []
        for rows_there, inside in self._insides(draft.scan):
            hits = rows_there.ending_with(inside)
            if hits and self._scans is not None:
                hits = self._targets.ending_with(hits, len(inside))
            if len({hit.row.image for hit in hits}) == 1:
                groups.append(hits)
            elif hits and self._scans is not None:
                draft.refuse([tail_problem(draft.scan, hits)])
        return _first_of_each_table(groups)

    def _free(self, hits: Iterable[Hit], taken: set[int]) -> list[Hit]:
        """Rows, of tables that are not taken, that don't name another scan by its whole path."""
        free = [hit for hit in hits if id(hit.table) not in taken]
        if not free or self._scans is None:
            return free
        return [hit for hit in free if id(hit.row) not in self._exact]

    @cached_property
    def _places_of_scans(self) -> list[ScanPlace]:
        return [ScanPlace.of(scan) for scan in self._scans or ()]

    @cached_property
    def _exact(self) -> set[int]:
        """Rows (their ids) whose object key or whole path is a scan's."""
        return {
            id(hit.row)
            for scan in self._places_of_scans
            for hit in chain(self._hits_by_key(scan), self._hits_by_path(scan))
        }

    @cached_property
    def _targets(self) -> Targets:
        """What each row that names a scan is about."""
        targets = Targets(self._exact)
        for scan in self._places_of_scans:
            targets.add_named(self._hits_by_name(scan, self._hits_by_path(scan)), scan)
            for rows_there, inside in self._insides(scan):
                targets.add_tail(rows_there.ending_with(inside), len(inside))
        return targets

    @cached_property
    def _sampled(self) -> Targets:
        """What each row that names a sample is about."""
        targets = Targets(self._exact)
        for scan in self._places_of_scans:
            draft = self._draft(scan, {})
            reservoir = draft.text_of(Field.RESERVOIR)
            targets.add_sampled(_without_reservoir(draft), scan, reservoir=reservoir)
        return targets

    def _insides(self, scan: ScanPlace) -> Iterator[tuple[RowsOfPlace, str]]:
        """The scan's spellings from each folder that has tables, the whole path's first."""
        places = [place for place in scan.places() if place in self._places]
        for spelling in _spellings(scan.text):
            for place in places:
                if inside := below(spelling, place):
                    yield self._places[place], inside

    def _hits_by_sample(self, draft: MetadataDraft, user: Mapping[str, UserValue]) -> list[Hit]:
        """Rows for the scan's sample; the draft learns which reading of its path they confirm."""
        told = Names(
            *(
                draft.text_of(name) or (str(user[name].value) if name in user else None)
                for name in (Field.RESERVOIR, Field.SAMPLE)
            )
        )
        found: list[Hit] = []
        for place in draft.scan.places():
            rows = self._places.get(place)
            if rows is None:
                continue
            for names in _possible_names(draft.scan, place, told=told):
                # rows of other scans are of no use to a scan with rows of its own
                hits = rows.of_sample(names.sample, with_images=not draft.hits)
                if fitting := draft.of_reservoir(hits, names.reservoir):
                    found += fitting
                    draft.path_names = draft.path_names if told.sample else names
                    break
        return found


def _without_reservoir(draft: MetadataDraft) -> list[Hit]:
    """Rows about the scan's sample that say nothing of its reservoir."""
    return [
        hit
        for hit in draft.by_match["sample"]
        if Field.RESERVOIR not in hit.row.values and not hit.table.is_keyed_by_folder
    ]


def _first_of_each_table(groups: Iterable[list[Hit]]) -> list[Hit]:
    """Of groups of rows, likeliest first, those of the first group that a table is in."""
    found: list[Hit] = []
    seen: set[int] = set()
    for group in groups:
        new = [hit for hit in group if id(hit.table) not in seen]
        seen.update(id(hit.table) for hit in new)
        found += new
    return found


def _spellings(text: str) -> Iterator[str]:
    """What may stand in ``Image`` for a scan: its path, also without extension, or its volume's."""
    yield text
    stem = stem_of(text)
    if stem != text:
        yield stem
    volume = volume_of(stem)
    if volume is not None:
        yield volume


def _possible_names(scan: ScanPlace, place: str, *, told: Names) -> Iterator[Names]:
    """Reservoir and sample that a table's sample rows are looked up by, likeliest first.

    What a row or user metadata told is certain, as is an object key. A library's path is read from
    its root, then from the table's folder; a single folder may be a sample as well.
    """
    certain = told.reservoir or (scan.names.reservoir if scan.is_key else None)
    if told.sample is not None:
        yield Names(certain, told.sample)
        return
    readings = [scan.names]
    if not scan.is_key:
        readings.append(_names_below(scan, place))
        if len(folders := _folders_below(scan, place)) == 1:
            readings.append(Names(None, folders[0]))
    for names in dict.fromkeys(readings):
        if names.sample is not None:
            yield Names(certain or names.reservoir, names.sample)


def _folders_below(scan: ScanPlace, place: str) -> list[str]:
    return (below(scan.text, place) or "").split("/")[:-1]


def _names_below(scan: ScanPlace, place: str) -> Names:
    return names_of_folders(_folders_below(scan, place))


def _name_of(row: TableRow) -> str:
    return row.object_key or row.image or str(row.values.get(Field.SAMPLE))
