"""A scan that slices are taken from: where its content is, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypedDict

from encoder.planes import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.errors import ScanFault
    from encoder.metadata.records import Modality, ScanMetadata


class FetchContent(Protocol):
    """Copies a stored scan's content into a file."""

    def __call__(self, folder: Path) -> Path:
        """Return the file, made in an empty folder.

        Raises:
            StoreError: It can't be had.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingScan:
    """A scan, not decoded yet.

    Attributes:
        name: Its path in the library, or its object key.
        content: Changes whenever its bytes do, or what tells how to read them.
        sha256: SHA-256 of it as one stored object, in hexadecimal digits; empty if not known.
        sample: Its sample, ``<reservoir>/<sample>``.
        reservoir: Its reservoir or class.
        modality: How it was imaged; None where that is not known.
        porosity: A fraction; None where it was not measured.
        permeability_md: In millidarcy; None likewise.
        pixel_size_um: In micrometres; None where only the file may tell.
        size_bytes: Of its content.
        path: Its file; None where it must be fetched.
        fetch: Fetches it; None where it is a file.
        read: What its reader needs to be told.
    """

    name: str
    content: str
    sample: str
    reservoir: str
    modality: Modality | None = None
    porosity: float | None = None
    permeability_md: float | None = None
    pixel_size_um: float | None = None
    size_bytes: int = 0
    sha256: str = ""
    path: Path | None = None
    fetch: FetchContent | None = None
    read: ReadOptions = field(default_factory=ReadOptions)


@dataclass(frozen=True, slots=True)
class RefusedScan:
    """A scan that gives no slices.

    Attributes:
        name: Its path in the library, or its object key.
        reason: Why, and what to do, in a line.
        fault: Kind of fault, where it was found in decoding.
    """

    name: str
    reason: str
    fault: ScanFault | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundScans:
    """Scans of a library or a bucket.

    Attributes:
        scans: Those to be decoded, by name.
        refused: Those that are known to be of no use already.
        notes: What is worth telling, a line each.
    """

    scans: list[TrainingScan] = field(default_factory=list)
    refused: list[RefusedScan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class KnownFields(TypedDict):
    """Fields of a training scan that its metadata tells."""

    sample: str
    reservoir: str
    modality: Modality | None
    porosity: float | None
    permeability_md: float | None
    pixel_size_um: float | None


def known_of(metadata: ScanMetadata) -> KnownFields:
    """Read a scan's fields out of its metadata.

    A sample's name counts within its reservoir. A scan of an unknown sample is its own sample, a
    sample of an unknown reservoir its own reservoir: they are similar to nothing else.
    """
    own = metadata.sample_or_own
    known = metadata.reservoir is not None and metadata.sample is not None
    return KnownFields(
        sample=f"{metadata.reservoir}/{own}" if known else own,
        reservoir=metadata.reservoir or own,
        modality=metadata.modality,
        porosity=metadata.properties.porosity,
        permeability_md=metadata.properties.permeability_md,
        pixel_size_um=metadata.pixel_size_um,
    )
