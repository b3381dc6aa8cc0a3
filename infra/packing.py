"""Scans that come in pairs, made into one self-contained object.

A header with its voxels beside it (``.mhd``, ``.nhdr``) becomes one file of the same format
(``.mha``, ``.nrrd``); the voxels' bytes are not touched. A headerless volume stays as it is, and
what its side-car, its name or the user tells of its layout goes into user metadata.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from encoder.data_files import HEADER_SUFFIXES, HEADERLESS_SUFFIXES
from encoder.readers.metaimage import joined as joined_metaimage
from encoder.readers.metaimage import matches as is_metaimage
from encoder.readers.nrrd import joined as joined_nrrd
from encoder.readers.nrrd import matches as is_nrrd
from encoder.readers.raw import layout_of
from encoder.scans import is_headerless
from infra.local_files import same_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from encoder.planes import RawLayout, ReadOptions
    from encoder.readers.storage import Joined

JOINED_SUFFIXES = {".mhd": ".mha", ".nhdr": ".nrrd"}
"""Suffixes of headers, and of what they become once their voxels follow them."""

_HEAD_BYTES = 4096
_WITH_HEADER = (*HEADER_SUFFIXES, *JOINED_SUFFIXES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What is to be stored of a scan.

    Attributes:
        path: The scan's file.
        joined: How it becomes one with its voxels elsewhere; None where it is whole.
        user_metadata: What its bytes don't tell, by name as every store spells it.
    """

    path: Path
    joined: Joined | None = None
    user_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """File name that the object gets."""
        suffix = self.path.suffix
        if self.joined is None or suffix.lower() not in JOINED_SUFFIXES:
            return self.path.name
        return self.path.name.removesuffix(suffix) + JOINED_SUFFIXES[suffix.lower()]

    def sha256(self) -> str:
        """Hash the object's content.

        Raises:
            OSError: A file can't be read.
            StoreRefusedError: It changed while it was read.
        """
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def file(self, folder: Path) -> Iterator[Path]:
        """Give a file that holds the object's content.

        Args:
            folder: Where a joined file is written; it is gone afterwards.

        Raises:
            OSError: A file can't be read or written.
            StoreRefusedError: One changed while it was read.
        """
        if self.joined is None:
            yield self.path
            return
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".joined-") as whole:
            for chunk in self._chunks():
                whole.write(chunk)
            whole.flush()
            yield self.path.__class__(whole.name)

    def _chunks(self) -> Iterator[bytes]:
        if self.joined is None:
            with self.path.open("rb") as file:
                yield from same_chunks(file)
            return
        yield self.joined.header
        with self.joined.data.open("rb") as file:
            file.seek(self.joined.offset)
            yield from same_chunks(file)


def pack(path: Path, options: ReadOptions) -> Packed:
    """Decide what is stored of a scan; its voxels are neither read nor checked.

    Args:
        path: The scan's file: the header, where it comes in a pair.
        options: Layout of headerless volumes, if the user told one.

    Raises:
        ScanError: The other half is missing or elsewhere, a header is damaged, or nothing tells
            the layout of a headerless volume.
        OSError: A file can't be read.
    """
    suffix = path.suffix.lower()
    if suffix in _WITH_HEADER:
        return Packed(path=path, joined=_joined(path))
    if suffix in HEADERLESS_SUFFIXES and path.stat().st_size and is_headerless(path, options):
        layout, _ = layout_of(path, options)
        return Packed(path=path, user_metadata=layout_metadata(layout))
    return Packed(path=path)


def layout_metadata(layout: RawLayout) -> dict[str, str]:
    """Spell a layout as user metadata; names are those of `encoder.metadata.user.TECHNICAL_KEYS`.

    Names have hyphens, as stores give them back.
    """
    told = {
        "shape": ",".join(map(str, layout.shape)),
        "dtype": layout.dtype,
        "header-bytes": str(layout.header_bytes),
    }
    if layout.pixel_size_um is not None:
        told["pixel-size-um"] = repr(layout.pixel_size_um)
    return told


def _joined(path: Path) -> Joined | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if is_metaimage(head, path):
        return joined_metaimage(path)
    return joined_nrrd(path) if is_nrrd(head, path) else None
