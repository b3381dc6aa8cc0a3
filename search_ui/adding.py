"""Adding scans from a page: looked at as ingest does, packed, and stored under their keys.

Whoever watches the bucket indexes them. What is known of a scan goes with it, as user metadata.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from encoder.commands.collect import ScanFile
from encoder.commands.reading import Libraries
from encoder.data_files import is_described_beside
from encoder.decoding import DecodeLimits, DecodeOptions, DecoderPool
from encoder.errors import LithoscopeError, ScanError, printable
from encoder.metadata.problems import MetadataError
from encoder.metadata.records import Properties, ScanMetadata
from encoder.metadata.tables import is_table_name
from encoder.object_keys import key_of_file
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout
from infra.packing import pack
from infra.store_errors import BadMetadataError, ObjectMissingError, StoreError
from infra.store_keys import check_key, check_metadata
from infra.stored_scans import layout_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from encoder.metadata.records import Modality, Scalar
    from encoder.planes import RawLayout
    from infra.object_store import ObjectStat
    from infra.packing import Packed
    from infra.site import Site

_IN_KEY = ("reservoir", "sample")
_SIDE_CAR = ".json"


class AddingError(LithoscopeError):
    """A scan that is not taken."""


class Outcome(StrEnum):
    """What became of a file."""

    STORED = "stored"
    UNCHANGED = "there already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of one file.

    Attributes:
        name: The file.
        outcome: What became of it.
        key: Its object's key; None where it was refused.
        told: Why it was refused, or what else is worth telling; one line.
    """

    name: str
    outcome: Outcome
    key: str | None = None
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What somebody says of the scans that they add; it wins over what a table beside them says.

    Attributes:
        reservoir: Formation, or None.
        sample: Rock sample, or None.
        modality: How they were imaged, or None.
        porosity: A fraction from 0 to 1, or None.
        permeability_md: In millidarcy, or None.
        pixel_size_um: In micrometres, or None.
        raw: Layout of headerless volumes, or None; as text such as ``1000x1000x1000:uint16``.
        replace: Take the place of other scans of the same name.
    """

    reservoir: str | None = None
    sample: str | None = None
    modality: Modality | None = None
    porosity: float | None = None
    permeability_md: float | None = None
    pixel_size_um: float | None = None
    raw: RawLayout | str | None = None
    replace: bool = False

    def values(self) -> dict[str, Scalar]:
        """What is said, by name.

        Raises:
            MetadataError: A number that can't be right.
        """
        measured = Properties(porosity=self.porosity, permeability_md=self.permeability_md)
        return ScanMetadata(
            object_key="what was typed in",
            reservoir=self.reservoir,
            sample=self.sample,
            modality=self.modality,
            pixel_size_um=self.pixel_size_um,
            properties=measured,
        ).values()

    def read_options(self) -> ReadOptions:
        """What readers are told.

        Raises:
            LithoscopeError: The layout can't be understood.
        """
        return ReadOptions(raw=parse_layout(self.raw) if isinstance(self.raw, str) else self.raw)


class Adding:
    """Adds scans to a site's bucket. A context manager; for one thread at a time."""

    def __init__(self, site: Site, described: Description) -> None:
        """Take what is said of the scans.

        Raises:
            LithoscopeError: Something that is said can't be right.
        """
        self._objects = site.objects
        self._scratch = site.settings.home / "cache"
        self._replaces = described.replace
        self._told = described.values()
        self._options = described.read_options()
        self._max_bytes = site.settings.decode.download_mib << 20
        limits = site.settings.decode
        self._pool = DecoderPool(
            1, DecodeLimits(memory_bytes=limits.memory_mib << 20, seconds=limits.seconds)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process that looks at files."""
        self._pool.close()

    def add(self, folder: Path) -> Iterator[Added]:
        """Add every scan of a folder that was filled for it.

        Args:
            folder: Holds the files, the halves of pairs together, and tables that tell of them.

        Yields:
            What became of each scan, as it happens; and each table that is wrong.

        Raises:
            StoreAwayError: The store is away; what was stored stays.
        """
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        files = [ScanFile(path, folder, path.relative_to(folder)) for path in scans_of(paths)]
        libraries = Libraries.of(files)
        for problem in libraries.problems:
            yield _refused("table", problem.replace(f"{folder}/", ""))
        for file in files:
            name = file.path.name
            try:
                yield self._added(file, libraries)
            except ScanError as error:
                yield _refused(name, _reason(error))
            except MetadataError as error:
                told = "; ".join(map(str, error.problems))
                yield _refused(name, told.replace(f"{folder}/", ""))
            except StoreError as error:
                if error.retryable:
                    raise
                yield _refused(name, str(error))
            except LithoscopeError as error:
                yield _refused(name, str(error))

    def _added(self, file: ScanFile, libraries: Libraries) -> Added:
        known = libraries.resolve(file, strict=True).values() | self._told
        packed = pack(file.path, self._options)
        if file.path.stat().st_size > self._max_bytes:
            raise AddingError(
                f"found more than {self._max_bytes >> 20:,} MiB, which nothing here reads; cut the "
                "scan into parts"
            )
        # As ingest will: a scan that would be refused there is refused here, while its owner looks.
        self._pool.decode(file.path, DecodeOptions(read=self._options, indices=frozenset({0})))
        names = {name: None if name not in known else str(known[name]) for name in _IN_KEY}
        key = check_key(str(key_of_file(packed.name, **names)))
        metadata, left_out = _user_metadata(packed, known)
        outcome = self._store(key, packed, metadata=metadata)
        told = f"not kept, since no store takes it so: {', '.join(left_out)}" if left_out else ""
        return Added(name=file.path.name, outcome=outcome, key=key, told=printable(told))

    def _store(self, key: str, packed: Packed, *, metadata: Mapping[str, str]) -> Outcome:
        there = self._there(key)
        if there is not None:
            told = replace(there, user_metadata={**there.user_metadata, **metadata})
            is_same = there.sha256 == packed.sha256() and layout_of(told) == layout_of(there)
            if not is_same and not self._replaces:
                raise AddingError(
                    "another scan of this name is there already for this reservoir and sample; "
                    "rename the file, or choose to replace it"
                )
            if is_same and there.user_metadata.items() >= metadata.items():
                return Outcome.UNCHANGED
            if is_same:
                metadata = told.user_metadata
        with packed.file(self._scratch) as path:
            self._objects.put(key, path, user_metadata=metadata)
        return Outcome.STORED

    def _there(self, key: str) -> ObjectStat | None:
        try:
            return self._objects.stat(key)
        except ObjectMissingError:
            return None


def write_files(files: Iterable[tuple[str, BinaryIO]], folder: Path) -> list[Added]:
    """Write what a browser sent into a folder, each under its own name.

    Args:
        files: Names as the browser tells them, and contents.
        folder: An empty one.

    Returns:
        What can't be written: names that are none, or that two have.
    """
    refused = []
    for told, content in files:
        name = told.replace("\\", "/").rpartition("/")[2]
        if not name or name.startswith(".") or not name.isprintable():
            refused.append(_refused(told, "no name of a file; rename it"))
            continue
        try:
            with (folder / name).open("xb") as file:
                shutil.copyfileobj(content, file)
        except FileExistsError:
            refused.append(_refused(told, "two files have this name; rename one"))
        except OSError as error:
            refused.append(_refused(told, f"can't be written here ({error.strerror}); rename it"))
    return refused


def scans_of(paths: Sequence[Path]) -> list[Path]:
    """Leave out what belongs to another file: tables, voxels beside a header, side-cars."""
    names = {path.name for path in paths}
    return [
        path
        for path in paths
        if not is_table_name(path.name)
        and not is_described_beside(path)
        and not _is_side_car(path, names)
    ]


def _is_side_car(path: Path, names: set[str]) -> bool:
    if path.suffix.lower() != _SIDE_CAR:
        return False
    return any(
        name == path.stem or name.startswith(f"{path.stem}.") for name in names - {path.name}
    )


def _user_metadata(packed: Packed, known: Mapping[str, Scalar]) -> tuple[dict[str, str], list[str]]:
    """What goes with an object; and names of free properties that no store takes."""
    texts = dict(packed.user_metadata)
    left_out = []
    for name, value in known.items():
        if name in _IN_KEY:
            continue
        text = value if isinstance(value, str) else repr(value)
        try:
            texts = check_metadata({**texts, name.replace("_", "-"): text})
        except BadMetadataError:
            left_out.append(name)
    return texts, left_out


def _reason(error: ScanError) -> str:
    if not error.datasets:
        return error.reason
    # An object's bytes alone tell what is indexed of it: none can say which dataset is meant.
    return (
        f"{error.problem}; the library takes one image or volume of each file: write the one you "
        "want into a file of its own, and add that"
    )


def _refused(name: str, told: str) -> Added:
    return Added(name=printable(name), outcome=Outcome.REFUSED, told=printable(told))
