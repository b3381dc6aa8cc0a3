"""The port to stored objects: what a folder and an S3 bucket both do, in the same words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

PAGE_SIZE = 1000
"""Objects of a page; no S3 store gives more at once."""

SMALL_BYTES = 16 << 20
"""Bytes that `ObjectStore.read` takes unless told."""

CHUNK_BYTES = 1 << 20
"""Bytes that are copied at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """One object of a listing.

    Attributes:
        key: Its key. Objects that other tools stored may have a key that the store's other calls
            refuse with a `BadKeyError`: they are listed all the same, so that nothing is lost
            silently.
        size: Bytes.
        etag: Changes with the content; nothing else is to be read into it. Empty where the
            content can't be read: `ObjectStore.stat` says why.
        modified: Time of the last change, UTC; to the second, or finer.
    """

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStat(ObjectEntry):
    """One object, looked at closely.

    Attributes:
        sha256: SHA-256 of the content, hexadecimal; None where another tool stored the object
            and the store keeps none.
        user_metadata: Texts by name, spelt as `check_metadata` does.
    """

    sha256: str | None
    user_metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Objects by key, in a folder or a bucket.

    Keys are `infra.store_keys.check_key`'s; any other is a `BadKeyError`. Every call may raise
    `StoreAwayError` (retry later) and `StoreRefusedError` (mend something first).
    """

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = PAGE_SIZE
    ) -> Iterator[list[ObjectEntry]]:
        """List objects in the byte order of their keys' UTF-8, a page at a time.

        Objects that come or go meanwhile may be listed or not; the others are listed once.

        Args:
            prefix: Text that the keys begin with; a folder's ends in ``/``.
            start_after: Only keys after this one, the last of a former page to go on.
            page_size: Objects of a page, 1 to `PAGE_SIZE`.

        Yields:
            Full pages, then the rest; nothing where there is nothing.
        """
        ...

    def stat(self, key: str) -> ObjectStat:
        """Look at one object.

        Raises:
            ObjectMissingError: There is none.
        """
        ...

    def get(self, key: str, target: Path, *, max_bytes: int, etag: str | None = None) -> ObjectStat:
        """Copy an object into a file, which appears when it is whole.

        Args:
            key: The object.
            target: File to write; its folder exists.
            max_bytes: No more than this is ever written.
            etag: The version that is meant; None for whichever there is.

        Returns:
            The version that was copied.

        Raises:
            ObjectMissingError: There is none.
            ObjectTooLargeError: It has more bytes.
            ObjectChangedError: It is not, or not any more, that version.
            ChecksumError: Its bytes are not those that were stored.
        """
        ...

    def read(self, key: str, *, max_bytes: int = SMALL_BYTES) -> bytes:
        """Read a small object; errors as `get`."""
        ...

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,
    ) -> ObjectStat:
        """Store an object, whole or not at all; one of the same key is replaced.

        Args:
            key: Its key.
            source: A file, or the bytes themselves.
            sha256: What the content's SHA-256 must be, hexadecimal.
            user_metadata: Texts to keep with it, replacing any there were.
            is_durable: Whether it must survive a loss of power that follows at once; False for
                what is derived, and found missing or empty by a comparison.

        Raises:
            ChecksumError: The content has another SHA-256; nothing was stored.
            StoreRefusedError: The file can't be read, or changed while it was; nothing was stored.
            BadMetadataError: User metadata that `check_metadata` refuses.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object with its user metadata; one that is not there is no error."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the objects stay."""
        ...
