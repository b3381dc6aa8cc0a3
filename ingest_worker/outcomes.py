"""What became of an object that the pipeline was given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """It was encoded, and is committed.

    Attributes:
        object_key: The object.
        n_slices: Its slices.
        uploaded: When this content was stored; None where the collection had it already, as
            with another preprocessing.
    """

    object_key: str
    n_slices: int
    uploaded: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """It was indexed already, with this content, preprocessing and metadata.

    Attributes:
        object_key: The object.
    """

    object_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeyed:
    """Only its metadata had changed: its rows have the new one, nothing was encoded.

    Attributes:
        object_key: The object.
    """

    object_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """There is no such object any more, and nothing of it in the index.

    Attributes:
        object_key: The object.
    """

    object_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """It can't be indexed, and its quarantine record says why.

    Attributes:
        object_key: The object.
        fault: Kind of fault.
        reason: What is wrong and what to do, in one line.
    """

    object_key: str
    fault: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """It changed whenever it was read: it is being written, and left to the next run.

    Attributes:
        object_key: The object.
        reason: What was seen, in one line.
    """

    object_key: str
    reason: str


Outcome: TypeAlias = Indexed | Unchanged | Rekeyed | Removed | Quarantined | Deferred
