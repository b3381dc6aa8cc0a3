"""Keys of the pictures of slices, which pages show so that they need never fetch a volume.

``thumbnails/<record id>/<generation>/<slice index>.webp`` and
``previews/<record id>/<generation>/<slice index>.jpg``: a picture belongs to one content under one
preprocessing, as a row of the index does, and is compared with the scan records as rows are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from infra.indexing.records import record_id


class PictureKind(StrEnum):
    """What a picture is for; the value is the first part of its key."""

    THUMBNAIL = "thumbnails"
    """A small square for lists, WebP."""
    PREVIEW = "previews"
    """The slice, to be looked at closely, JPEG."""

    @property
    def suffix(self) -> str:
        """What its key ends in."""
        return ".webp" if self is PictureKind.THUMBNAIL else ".jpg"


PICTURE_PREFIXES = tuple(f"{kind}/" for kind in PictureKind)
"""What the keys of pictures begin with."""

_KEY = re.compile(
    r"(?P<kind>thumbnails|previews)/(?P<scan>[^/]+)/(?P<generation>[^/]+)/(?P<slice>\d{1,9})(?P<suffix>\.\w+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureKey:
    """A picture's key, taken apart.

    Attributes:
        kind: What it is for.
        scan: `infra.indexing.records.record_id` of the scan's object key.
        generation: Generation of the rows that it belongs to.
        slice_index: The slice's number in the scan.
    """

    kind: PictureKind
    scan: str
    generation: str
    slice_index: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.scan}/{self.generation}/{self.slice_index}{self.kind.suffix}"

    @classmethod
    def parse(cls, key: str) -> PictureKey | None:
        """Take a key apart; None for one that is no picture's."""
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        parsed = cls(
            kind=PictureKind(found["kind"]),
            scan=found["scan"],
            generation=found["generation"],
            slice_index=int(found["slice"]),
        )
        return parsed if str(parsed) == key else None


def picture_prefixes(object_key: str) -> tuple[str, ...]:
    """What the keys of all pictures of a scan begin with, those of former generations too."""
    scan = record_id(object_key)
    return tuple(f"{prefix}{scan}/" for prefix in PICTURE_PREFIXES)


def thumbnail_key(object_key: str, generation: str, *, slice_index: int) -> str:
    """Key of a slice's small picture, WebP.

    Args:
        object_key: The scan.
        generation: Generation of its rows.
        slice_index: The slice's number in the scan.
    """
    return _key(PictureKind.THUMBNAIL, object_key, generation=generation, slice_index=slice_index)


def preview_key(object_key: str, generation: str, *, slice_index: int) -> str:
    """Key of a slice's large picture, JPEG; see `thumbnail_key`."""
    return _key(PictureKind.PREVIEW, object_key, generation=generation, slice_index=slice_index)


def _key(kind: PictureKind, object_key: str, *, generation: str, slice_index: int) -> str:
    scan = record_id(object_key)
    return str(PictureKey(kind=kind, scan=scan, generation=generation, slice_index=slice_index))
