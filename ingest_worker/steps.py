"""What is to be done with an object, once it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ingest_worker.outcomes import Deferred, Quarantined, Unchanged

if TYPE_CHECKING:
    from datetime import datetime

    from encoder.decoding import DecodedScan
    from encoder.inference import Encoded
    from encoder.metadata.records import ScanMetadata
    from infra.indexing.records import ScanRecord
    from infra.object_store import ObjectStat
    from infra.quarantine import QuarantineRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How often a content was tried, this time included.

    Attributes:
        attempts: Times.
        first: When the first of them was, UTC; None if it is this one, or not known.
    """

    attempts: int = 1
    first: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A scan that was decoded, to be encoded.

    Attributes:
        stat: Its object, as it was fetched.
        metadata: What is known of it, without what its own file tells.
        scan: Its slices.
        former: What is indexed of it so far.
        is_quarantined: Whether it has a quarantine record, which ends with the commit.
        tried: How often this content was tried.
    """

    stat: ObjectStat
    metadata: ScanMetadata
    scan: DecodedScan
    former: ScanRecord | None
    is_quarantined: bool
    tried: Tried

    @property
    def object_key(self) -> str:
        """The scan's key."""
        return self.stat.key

    @property
    def pixel_size_um(self) -> float | None:
        """Size of its pixels, by its file where nothing else tells it."""
        return self.metadata.with_file_pixel_size(self.scan.info.pixel_size_um).pixel_size_um

    @property
    def uploaded(self) -> datetime | None:
        """When this content was stored; None where the collection has it already."""
        is_known = self.former is not None and self.former.etag == self.stat.etag
        return None if is_known else self.stat.modified

    @property
    def nbytes(self) -> int:
        """Bytes of its slices and their pictures."""
        return self.scan.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filled:
    """A scan that was encoded, to be committed.

    Attributes:
        prepared: The scan.
        encoded: Its vectors and predicted properties.
    """

    prepared: Prepared
    encoded: Encoded

    @property
    def object_key(self) -> str:
        """The scan's key."""
        return self.prepared.object_key

    @property
    def nbytes(self) -> int:
        """Bytes of its vectors, slices and pictures."""
        return self.prepared.nbytes + self.encoded.vectors.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rekeying:
    """A scan of which only the metadata changed.

    Attributes:
        stat: Its object.
        metadata: What is known of it now, without what its own file tells.
        former: What is indexed of it.
        is_quarantined: Whether it has a quarantine record, which ends with the change.
    """

    stat: ObjectStat
    metadata: ScanMetadata
    former: ScanRecord
    is_quarantined: bool

    @property
    def object_key(self) -> str:
        """The scan's key."""
        return self.stat.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """An object that is not there any more.

    Attributes:
        object_key: Its key.
    """

    object_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A scan that can't be indexed.

    Attributes:
        record: Why.
        is_recorded: Whether the record is there already.
    """

    record: QuarantineRecord
    is_recorded: bool = False

    @property
    def object_key(self) -> str:
        """The scan's key."""
        return self.record.object_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A scan that was being worked on when a worker died: to be tried with nothing beside it.

    Attributes:
        object_key: Its key.
        attempts: Times that a worker died.
    """

    object_key: str
    attempts: int


Step: TypeAlias = (
    Prepared | Rekeying | Removal | Refusal | Suspect | Unchanged | Quarantined | Deferred
)
"""What preparing an object gives."""

Change: TypeAlias = Filled | Rekeying | Removal | Refusal
"""What is committed."""
