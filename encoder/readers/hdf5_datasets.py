"""Which dataset of an HDF5 file is the scan, found without leaving the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from encoder.errors import ScanError, ScanFault
from encoder.readers.faults import unsupported
from encoder.readers.grid import COLOUR_SAMPLES

if TYPE_CHECKING:
    # h5py has no types.
    import h5py  # type: ignore[import-untyped]
    import numpy as np

_MAX_OBJECTS = 10_000
_MAX_LINKS = 16
_MAX_LISTED = 20
_MAX_OFFERED = 100


class _Found(NamedTuple):
    """A dataset: its name, its axes, and what it holds if not numbers."""

    name: str
    shape: tuple[int, ...]
    other_type: str | None

    def __str__(self) -> str:
        of_type = f" of {self.other_type}" if self.other_type else ""
        return f"{self.name} {self.shape}{of_type}"


def only_candidate(source: str, file: h5py.File) -> str:
    """Return the name of the only dataset that is a volume, or of the only image.

    Raises:
        ScanError: ``AMBIGUOUS``, naming all (`ScanError.datasets`), or ``NOT_AN_IMAGE``.
    """
    found = _datasets(file)
    for axes in (3, 2):
        names = [dataset.name for dataset in found if _axes(dataset) == axes]
        if len(names) == 1:
            return names[0]
        if names:
            raise ScanError(
                source,
                ScanFault.AMBIGUOUS,
                problem=f"it holds {len(names)} datasets of {axes} axes: {', '.join(names)}",
                remedy="name the one to read (--dataset), or write it into a file of its own",
                datasets=tuple(names[:_MAX_OFFERED]),
            )
    raise ScanError(
        source,
        ScanFault.NOT_AN_IMAGE,
        problem=f"it holds no dataset of 2 or 3 axes of numbers, but {_listed(file, found)}",
        remedy="store the image or volume as one dataset of real numbers in this file",
    )


def _datasets(file: h5py.File) -> list[_Found]:
    """List the datasets of a file in their order; links are not followed."""
    import h5py  # noqa: PLC0415 - heavy: only for this format

    found: list[_Found] = []
    seen = 0

    def visit(name: str, item: object) -> bool | None:
        nonlocal seen
        seen += 1
        if isinstance(item, h5py.Dataset):
            found.append(_Found(name, item.shape or (), _other_type(item.dtype)))
        return True if seen >= _MAX_OBJECTS else None

    file.visititems(visit)
    return found


def _other_type(dtype: np.dtype[Any]) -> str | None:
    """Name what a dataset holds if it is no numbers that an image may have."""
    match dtype.kind:
        case "b" | "u" | "i" | "f":
            return None
        case "c":
            return f"complex numbers ({dtype.name})"
        case "O" | "S" | "U":
            return "text or references"
        case _:
            return "records" if dtype.names else "opaque values"


def _axes(dataset: _Found) -> int:
    """Count the axes in space: a last axis of 3 or 4 behind two others is colour."""
    if dataset.other_type is not None:
        return 0
    axes = len(dataset.shape)
    return axes - 1 if axes > 2 and dataset.shape[-1] in COLOUR_SAMPLES else axes


def _listed(file: h5py.File, found: list[_Found]) -> str:
    """List what a file holds, and what it only points to."""
    return ", ".join([*map(str, found), *_external_links(file)][:_MAX_LISTED]) or "nothing"


def _external_links(file: h5py.File) -> list[str]:
    import h5py  # noqa: PLC0415 - heavy: only for this format

    found: list[str] = []
    seen = 0

    def visit(name: str, link: object) -> bool | None:
        nonlocal seen
        seen += 1
        if isinstance(link, h5py.ExternalLink):
            found.append(f"a link {name} to '{link.path}' in the file '{link.filename}'")
        return True if seen >= _MAX_OBJECTS else None

    file.visititems_links(visit)
    return found


def resolve(source: str, file: h5py.File, *, name: str) -> h5py.Dataset:
    """Open a dataset by its path, link by link; soft links are followed within the file.

    Raises:
        ScanError: ``NOT_AN_IMAGE`` if there is none, ``UNSUPPORTED`` if a link leaves the file.
    """
    import h5py  # noqa: PLC0415 - heavy: only for this format

    parts = _parts(name)
    item = file
    links = 0
    while parts:
        part = parts.pop(0)
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        match link:
            case h5py.HardLink():
                item = item[part]
            case h5py.SoftLink() if links < _MAX_LINKS:
                links += 1
                item = file if link.path.startswith("/") else item
                parts = _parts(link.path) + parts
            case None:
                raise _no_dataset(source, file, name=name)
            case _:
                raise unsupported(
                    source,
                    f"its dataset '{name}' is behind a link that leaves the file or goes round "
                    "in circles",
                    "give the file that holds it",
                )
    if not isinstance(item, h5py.Dataset):
        raise _no_dataset(source, file, name=name)
    return item


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in {"", "."}]


def _no_dataset(source: str, file: h5py.File, *, name: str) -> ScanError:
    return ScanError(
        source,
        ScanFault.NOT_AN_IMAGE,
        problem=f"it has no dataset '{name}', but {_listed(file, _datasets(file))}",
        remedy="name one of these (--dataset)",
    )
