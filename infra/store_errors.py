"""What can go wrong with stored objects, told apart by what a caller may do about it."""

from __future__ import annotations

from typing import ClassVar

from encoder.errors import LithoscopeError


class StoreError(LithoscopeError):
    """A stored object, or the store, that did not do what was asked.

    Attributes:
        retryable: Whether the same call may succeed later, with nothing mended by a person.
    """

    retryable: ClassVar[bool] = False


class StoreAwayError(StoreError):
    """The store did not answer, or broke off: try again later."""

    retryable = True


class ObjectChangedError(StoreError):
    """The object was overwritten since it was looked at: look again."""

    retryable = True


class StoreRefusedError(StoreError):
    """The store answered that it won't: trying again changes nothing."""


class LocalFileError(StoreRefusedError):
    """A file of this machine, which an object was to be copied into, can't be written."""


class ObjectMissingError(StoreError):
    """There is no object of that key."""


class ObjectTooLargeError(StoreError):
    """The object has more bytes than the caller takes."""


class ChecksumError(StoreError):
    """Bytes that are not those that were promised."""


class BadKeyError(StoreError):
    """A text that no store takes as a key, or that would leave the store."""


class BadMetadataError(StoreError):
    """User metadata that no S3 store takes."""
