"""Open any rock scan: its content decides which reader takes it, its name only where it must.

The readers and their libraries are imported when a file asks for them.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from encoder.data_files import HEADERLESS_SUFFIXES, is_described_beside
from encoder.errors import ScanError, ScanFault
from encoder.planes import ReadOptions
from encoder.signatures import refuse_unknown

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.planes import PlaneSource, ScanInfo

_READERS = ("pictures", "tiff", "numpy_file", "nrrd", "metaimage", "nifti", "hdf5", "raw")
"""Modules of ``encoder.readers`` in the order they are asked; ``raw`` goes by name, so last."""

_HEAD_BYTES = 4096

_FORMATS_OF_SUFFIX = {
    ".png": ("PNG",),
    ".jpg": ("JPEG",),
    ".jpeg": ("JPEG",),
    ".webp": ("WebP",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF", "BigTIFF"),
    ".tiff": ("TIFF", "BigTIFF"),
    ".btf": ("TIFF", "BigTIFF"),
    ".npy": ("NumPy",),
    ".nrrd": ("NRRD",),
    ".nhdr": ("NRRD",),
    ".mha": ("MetaImage",),
    ".mhd": ("MetaImage",),
    ".nii": ("NIfTI",),
    ".nii.gz": ("NIfTI",),
    ".h5": ("HDF5",),
    ".hdf5": ("HDF5",),
    **dict.fromkeys(HEADERLESS_SUFFIXES, ("raw",)),
}
"""Beginnings of the format names that a suffix leads one to expect."""

SCAN_SUFFIXES = frozenset(_FORMATS_OF_SUFFIX)
"""Suffixes, in small letters, of the files that a walk through a folder picks up."""


class _Reader(Protocol):
    """What each module of ``encoder.readers`` offers."""

    def matches(self, head: bytes, path: Path) -> bool:
        """Say whether the file is this reader's, by its first bytes or its name."""

    def open_planes(self, path: Path, options: ReadOptions) -> PlaneSource:
        """Open it."""


def open_scan(path: Path, options: ReadOptions | None = None) -> PlaneSource:
    """Open a scan; close what comes back (``contextlib.closing``).

    Args:
        path: File of any kind that is read.
        options: Layout of a headerless volume, dataset of an HDF5 file, largest plane.

    Returns:
        The scan's facts and its planes, none of which is decoded yet.

    Raises:
        ScanError: The file can't be read, is empty, no image, damaged, or not of a kind that can
            be taken; its ``fault`` says which.
    """
    options = options or ReadOptions()
    head = _read_head(path)
    try:
        source = _reader_of(path, head, options=options).open_planes(path, options)
    except OSError as error:
        raise _unreadable(path, f"can't be read ({error.strerror or error})") from error
    note = _belied_suffix(path, source.info.format)
    if note is None:
        return source
    return _NotedSource(replace(source.info, notes=(note, *source.info.notes)), source)


def is_scan_name(path: Path) -> bool:
    """Say whether a walk through a folder should take a file for a scan.

    By its name alone, but for headerless files: those that an ``.mhd`` or ``.nhdr`` header
    beside them names are part of that scan.

    Args:
        path: Path of the file, relative to the working folder or absolute.
    """
    if path.name.startswith(".") or _suffix(path) not in SCAN_SUFFIXES:
        return False
    return _suffix(path) not in HEADERLESS_SUFFIXES or not is_described_beside(path)


def is_headerless(path: Path, options: ReadOptions | None = None) -> bool:
    """Say whether a file would be read as a headerless volume: its content tells no format.

    Args:
        path: The file.
        options: As for `open_scan`.

    Raises:
        ScanError: The file can't be read, is empty, or is no scan by content or name.
    """
    reader = _reader_of(path, _read_head(path), options=options or ReadOptions())
    return reader is _reader("raw")


@dataclass(frozen=True, slots=True)
class _NotedSource:
    """An open scan with a further note."""

    info: ScanInfo
    source: PlaneSource

    def plane(self, index: int) -> NDArray[Any]:
        return self.source.plane(index)

    def close(self) -> None:
        self.source.close()


def _read_head(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _unreadable(path, "is a folder, expected a file", remedy="name a file within it")
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(path, "is a device or a pipe, expected a file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise _unreadable(path, "does not exist", remedy="check its path") from error
    except (OSError, ValueError) as error:  # a null character in a path is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise _unreadable(path, f"can't be read ({reason})") from error
    if not head:
        raise ScanError(
            path.name,
            ScanFault.EMPTY,
            problem="the file is empty",
            remedy="copy it again from its origin",
        )
    return head


def _reader_of(path: Path, head: bytes, *, options: ReadOptions) -> _Reader:
    """Pick the reader; a layout that was given for a folder leaves its other scans alone."""
    told = options.raw is not None
    if told and _suffix(path) in HEADERLESS_SUFFIXES:
        return _reader("raw")
    for name in _READERS:
        reader = _reader(name)
        if reader.matches(head, path):
            return reader
    if told:
        return _reader("raw")
    raise refuse_unknown(path.name, head)


def _reader(name: str) -> _Reader:
    return cast("_Reader", import_module(f"encoder.readers.{name}"))


def _unreadable(
    path: Path, problem: str, *, remedy: str = "check the file and its permissions"
) -> ScanError:
    return ScanError(path.name, ScanFault.UNREADABLE, problem=problem, remedy=remedy)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def _belied_suffix(path: Path, format_name: str) -> str | None:
    expected = _FORMATS_OF_SUFFIX.get(_suffix(path))
    if expected is None or format_name.startswith(expected):
        return None
    return f"named {_suffix(path)}, but its content is {format_name}"
