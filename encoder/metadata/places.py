"""Where a scan lies, and the rows of a folder's tables by the names that they use.

Texts are compared in Unicode's composed form (NFC), since macOS stores file names decomposed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from encoder.metadata.problems import MetadataError, MetadataProblem, shown
from encoder.object_keys import SCANS_PREFIX, ObjectKey, ObjectKeyError, key_of_file, split_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from encoder.metadata.tables import MetadataTable, TableRow

_SLICE_NAME = re.compile(r"(?P<volume>.+?)_slice[0-9]+(?:_.*)?")


class Hit(NamedTuple):
    """A row that is about a scan."""

    table: MetadataTable
    row: TableRow


class Names(NamedTuple):
    """Reservoir and sample that a path tells, each None where it doesn't."""

    reservoir: str | None
    sample: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlace:
    """Where a scan lies.

    Attributes:
        asked: Key or path as it was asked for.
        text: Path that rows are compared with: names unescaped, unknown names left out.
        key: Canonical object key, or None where the path can't become one.
        names: Reservoir and sample by the path alone.
        is_key: Whether it was asked for by its object key.
    """

    asked: str
    text: str
    key: str | None
    names: Names
    is_key: bool

    @classmethod
    def of(cls, path: str | PurePath | ObjectKey) -> ScanPlace:
        """Read an object key, or a path relative to a library's folder.

        A path below ``scans/`` is read as an object key where it is one.

        Raises:
            MetadataError: An absolute path, one with ``..``, or an empty one.
        """
        asked = path.as_posix() if isinstance(path, PurePath) else str(path)
        if asked.startswith(f"{SCANS_PREFIX}/"):
            try:
                return cls._of_key(ObjectKey.parse(asked), asked)
            except ObjectKeyError:
                pass  # a library may have a folder named scans: its paths are no keys
        try:
            parts = split_path(asked)
        except ObjectKeyError as error:
            raise MetadataError([_no_place(asked, error)]) from None
        names = names_of_folders(parts[:-1])
        text = composed("/".join(parts))
        return cls(asked=asked, text=text, key=_key_text(parts, names), names=names, is_key=False)

    @classmethod
    def _of_key(cls, key: ObjectKey, asked: str) -> ScanPlace:
        names = Names(key.reservoir, key.sample)
        known = [name for name in names if name is not None]
        text = composed("/".join((SCANS_PREFIX, *known, *key.path)))
        return cls(asked=asked, text=text, key=str(key), names=names, is_key=True)

    @property
    def rock(self) -> str:
        """Path of what it shows, the same for the slices of a volume: no extension, no slice."""
        stem = stem_of(self.text)
        return volume_of(stem) or stem

    def places(self) -> Iterator[str]:
        """Every folder that the scan is in, from the root (``""``) down."""
        yield ""
        for slash in re.finditer("/", self.text):
            yield self.text[: slash.start()]


@dataclass
class RowsOfPlace:
    """The rows of all tables that are relative to one folder.

    Attributes:
        by_image: Rows by their cleaned ``Image``.
        by_sample: Rows about a whole sample, by its name.
        by_sample_folder: Rows about one image that speak for its sample's folder too.
    """

    by_image: dict[str, list[Hit]] = field(default_factory=dict)
    by_sample: dict[str, list[Hit]] = field(default_factory=dict)
    by_sample_folder: dict[str, list[Hit]] = field(default_factory=dict)

    def ending_with(self, text: str) -> list[Hit]:
        """Rows whose ``Image`` ends with a path: a table written elsewhere."""
        return [hit for image in self._images_by_tail.get(text, ()) for hit in self.by_image[image]]

    def of_volume(self, volume: str) -> list[Hit]:
        """Rows whose ``Image``, without extension, is the longest tail of a volume's path."""
        for tail in tails_of(volume):
            if hits := self._by_stem.get(tail):
                return hits
        return []

    def of_sample(self, sample: str | None, *, with_images: bool) -> list[Hit]:
        """Rows about a sample; ``with_images`` adds those that also name one of its images."""
        name = composed(sample or "")
        hits = self.by_sample.get(name, [])
        return hits + self.by_sample_folder.get(name, []) if with_images else hits

    @cached_property
    def _images_by_tail(self) -> dict[str, list[str]]:
        by_tail: dict[str, list[str]] = {}
        for image in self.by_image:
            for tail in tails_of(image):
                if tail != image:
                    by_tail.setdefault(tail, []).append(image)
        return by_tail

    @cached_property
    def _by_stem(self) -> dict[str, list[Hit]]:
        by_stem: dict[str, list[Hit]] = {}
        for image, hits in self.by_image.items():
            by_stem.setdefault(stem_of(image), []).extend(hits)
        return by_stem


def composed(text: str) -> str:
    """Text in the form that is compared (NFC)."""
    return unicodedata.normalize("NFC", text)


def clean_path(written: str) -> str:
    """A path as tables write it: slashes forward, no empty or ``.`` parts, ``..`` resolved.

    Of an absolute path, and of what leads above its start, only the tail can be compared.
    """
    parts: list[str] = []
    for part in composed(written.strip()).replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def below(text: str, place: str) -> str | None:
    """A path relative to a folder, or None where it isn't inside."""
    if not place:
        return text
    return text[len(place) + 1 :] if text.startswith(f"{place}/") else None


def tails_of(text: str) -> Iterator[str]:
    """The path itself, then without its first folder, and so on down to the file's name."""
    yield text
    for slash in re.finditer("/", text):
        yield text[slash.end() :]


def names_of_folders(folders: Sequence[str]) -> Names:
    """Names by ``reservoir/sample/…/file``; a single folder is the reservoir."""
    reservoir, sample = (*folders[:2], None, None)[:2]
    return Names(reservoir, sample)


def stem_of(text: str) -> str:
    """A path without the file's extension (``.nii.gz`` is one)."""
    folder, slash, name = text.rpartition("/")
    base = name.removesuffix(".gz") or name
    return f"{folder}{slash}{base.rpartition('.')[0] or base}"


def volume_of(stem: str) -> str | None:
    """Path of the volume that a slice belongs to by its name, or None.

    This is RockIR's naming: ``E002M0_slice0_cropped.png`` is a slice of ``E002M0``.
    """
    folder, slash, name = stem.rpartition("/")
    match = _SLICE_NAME.fullmatch(name)
    return f"{folder}{slash}{match['volume']}" if match else None


def _key_text(parts: tuple[str, ...], names: Names) -> str | None:
    try:
        return str(key_of_file("/".join(parts), reservoir=names.reservoir, sample=names.sample))
    except ObjectKeyError:
        return None


def _no_place(asked: str, error: ObjectKeyError) -> MetadataProblem:
    return MetadataProblem(
        source=shown(asked),
        found=str(error),
        expected="an object key, or a path inside the library",
        remedy="give the scan's path relative to the library's folder",
    )
