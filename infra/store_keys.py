"""Which keys and which user metadata every store takes: what S3, MinIO and a folder all keep."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from encoder.object_keys import MAX_KEY_BYTES, MAX_PART_BYTES
from infra.store_errors import BadKeyError, BadMetadataError

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_PREFIX = "x-amz-meta-"
"""How S3 spells user metadata as a header."""

CHECKSUM_NAME = "lithoscope-sha256"
"""User metadata in which the S3 store keeps the content's SHA-256."""

MAX_METADATA_BYTES = 2048 - len(METADATA_PREFIX) - len(CHECKSUM_NAME) - 64
"""S3's 2 KB for names and values in all, less the checksum. Prefixes are counted, as MinIO does."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def key_bytes(key: str) -> bytes:
    """What keys are ordered by: their UTF-8, as S3 does (names of files that are none, as is).

    Raises:
        BadKeyError: Text that is not Unicode.
    """
    try:
        return key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadKeyError(f"object key {key[:80]!r}: not valid Unicode; correct it") from error


def check_text(text: str) -> str:
    """Give a prefix, or the key to start after, back if it can be sent.

    Raises:
        BadKeyError: Text that is not Unicode.
    """
    if not is_text(text):
        raise BadKeyError(f"object key {text[:80]!r}: not valid Unicode; correct it")
    return text


def is_text(key: str) -> bool:
    """Whether a key is Unicode; a file's name may be none, which no index ever holds."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_key(key: str) -> str:
    """Give a key back if every store takes it.

    Raises:
        BadKeyError: Empty, absolute, with an empty, ``.`` or ``..`` part, with a hidden part
            (a leading dot), a backslash or NUL, not Unicode, or too long.
    """
    problem = _problem(key)
    if problem:
        raise BadKeyError(
            f"object key {key[:80]!r}: {problem}; expected parts of up to {MAX_PART_BYTES} bytes "
            f"joined by '/', {MAX_KEY_BYTES} bytes in all"
        )
    return key


def _problem(key: str) -> str | None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "not valid Unicode"
    parts = key.split("/")
    faults = {
        "empty": not key,
        "has an empty part": bool(key) and "" in parts,
        "has a NUL or backslash": "\0" in key or "\\" in key,
        "has a part '.' or '..' that leads elsewhere": "." in parts or ".." in parts,
        "has a part with a leading dot (hidden)": is_hidden(key),
        "has a part that is too long": any(len(part.encode()) > MAX_PART_BYTES for part in parts),
        f"{size} bytes long": size > MAX_KEY_BYTES,
    }
    return next((fault for fault, found in faults.items() if found), None)


def is_hidden(key: str) -> bool:
    """Whether a part begins with a dot: such objects are never listed."""
    return key.startswith(".") or "/." in key


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Give user metadata back in the one spelling that survives every store.

    HTTP servers ignore case, and some lose underscores, so names come back in lower case with
    hyphens: ``Pixel_size_um`` as ``pixel-size-um``, which metadata readers take for the same.

    Raises:
        BadMetadataError: A name that is no header, a value that is not US-ASCII or has spaces
            that HTTP swallows, one name twice, or more than 2 KB in all.
    """
    plain: dict[str, str] = {}
    for given, value in metadata.items():
        name = given.strip().lower().removeprefix(METADATA_PREFIX).replace("_", "-")
        if not _NAME.fullmatch(name) or name == CHECKSUM_NAME:
            raise BadMetadataError(
                f"user metadata {given!r}: no such name is allowed; use letters, digits, hyphens"
            )
        if not (value.isascii() and value.isprintable()) or value != " ".join(value.split()):
            raise BadMetadataError(
                f"user metadata {given!r}: value {value[:60]!r} must be printable US-ASCII with "
                "single spaces between words; escape it"
            )
        if name in plain:
            raise BadMetadataError(f"user metadata {given!r} is given twice; give it once")
        plain[name] = value
    size = sum(len(METADATA_PREFIX) + len(name) + len(value) for name, value in plain.items())
    if size > MAX_METADATA_BYTES:
        raise BadMetadataError(
            f"user metadata: {size} bytes with names and prefixes, at most {MAX_METADATA_BYTES} "
            "are allowed; shorten it"
        )
    return plain
