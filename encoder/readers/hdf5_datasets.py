"""Which dataset of an HDF5 file is the scan, found without leaving the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import ScanError, ScanFault
from encoder.readers.faults import unsupported
from encoder.readers.grid import COLOUR_SAMPLES

if TYPE_CHECKING:
    # h5py has no types.
    import h5py  # type: ignore[import-untyped]

_MAX_OBJECTS = 10_000
_MAX_LINKS = 16
_MAX_LISTED = 20


class _Found(NamedTuple):
    """A dataset that could be a scan."""

    name: str
    shape: tuple[int, ...]


def only_candidate(source: str, file: h5py.File) -> str:
    """Return the name of the only dataset that is a volume, or of the only image.

    Raises:
        ScanError: ``AMBIGUOUS``, naming all, or ``NOT_AN_IMAGE``.
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
                remedy="name the one to read",
            )
    raise ScanError(
        source,
        ScanFault.NOT_AN_IMAGE,
        problem=f"it holds no dataset of 2 or 3 axes of numbers, but {_listed(found)}",
        remedy="store the image or volume as one dataset",
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
            is_numeric = item.dtype.kind in "buif" and item.shape is not None
            found.append(_Found(name, item.shape if is_numeric else ()))
        return True if seen >= _MAX_OBJECTS else None

    file.visititems(visit)
    return found


def _axes(dataset: _Found) -> int:
    """Count the axes in space: a last axis of 3 or 4 behind two others is colour."""
    axes = len(dataset.shape)
    return axes - 1 if axes > 2 and dataset.shape[-1] in COLOUR_SAMPLES else axes


def _listed(found: list[_Found]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in found[:_MAX_LISTED]) or "nothing"


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
        problem=f"it has no dataset '{name}', but {_listed(_datasets(file))}",
        remedy="name one of these",
    )
