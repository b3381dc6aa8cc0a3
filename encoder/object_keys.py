"""Names of scans in the object store: ``scans/<reservoir>/<sample>/<relative path>``.

Every part is percent-escaped to unreserved ASCII, so that a key reads the same in a folder, in
any S3 store and in a notification, and so that no name can leave its place: a reservoir called
``..`` or ``a/b`` is a name like any other. A reservoir or sample that is not known is written
``_`` (a real name ``_`` is escaped).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import quote, unquote_to_bytes

from encoder.errors import LithoscopeError

SCANS_PREFIX = "scans"
"""First part of every scan's key."""

UNKNOWN_NAME = "_"
"""Part that stands for a reservoir or sample that is not known."""

MAX_KEY_BYTES = 1024
"""Longest key that S3 takes."""

MAX_PART_BYTES = 255
"""Longest part: a bucket may be a folder, and file systems take 255 bytes a name."""

_REMEDY = f"expected {SCANS_PREFIX}/<reservoir>/<sample>/<file>, every part percent-escaped"


class ObjectKeyError(LithoscopeError):
    """A name that can't become an object key, or a text that is none."""


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """A scan's place in the object store, in plain names.

    ``str(key)`` is the key as stored; `parse` is its inverse.

    Attributes:
        reservoir: Reservoir's name, or None where it is not known.
        sample: Sample's name, or None where it is not known.
        path: Parts of the path below the sample, the file's name last. They are names, to show
            and to compare: only ``str(key)`` is safe as a path.

    Raises:
        ObjectKeyError: An empty name or part, a part of the path that is ``.`` or ``..``, text
            that is not Unicode, or a key beyond `MAX_KEY_BYTES` or `MAX_PART_BYTES`.
    """

    reservoir: str | None
    sample: str | None
    path: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what would not come back from its key."""
        if not self.path:
            raise ObjectKeyError(f"object key of {self}: no file name; {_REMEDY}")
        for part in self.path:
            if part in (".", ".."):
                raise ObjectKeyError(
                    f"path {'/'.join(self.path)!r}: part {part!r} leads elsewhere; "
                    "give the path below the sample's folder"
                )
        if len(key := str(self)) > MAX_KEY_BYTES:
            raise ObjectKeyError(
                f"object key {key[:60]}…: {len(key)} bytes, at most {MAX_KEY_BYTES} are allowed; "
                "shorten the names of its folders"
            )

    def __str__(self) -> str:
        names = (self.reservoir, self.sample)
        escaped = [UNKNOWN_NAME if name is None else escape_part(name) for name in names]
        return "/".join([SCANS_PREFIX, *escaped, *map(escape_part, self.path)])

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Read a stored key back into names.

        A key that was escaped less than we do (``scans/E 1/S1/a.png``, put there by another
        tool) is read too; `str` of the result is then its canonical spelling.

        Raises:
            ObjectKeyError: Not below ``scans/``, too short, an empty part, a part ``.`` or
                ``..`` that would leave its place, or bytes that are not UTF-8.
        """
        prefix, *parts = text.split("/")
        if prefix != SCANS_PREFIX or len(parts) < 3:
            raise ObjectKeyError(f"object key {text[:200]!r} is not a scan's; {_REMEDY}")
        for part in parts:
            if part in ("", ".", "..") or "\\" in part:
                raise ObjectKeyError(f"object key {text[:200]!r} has a part {part!r}; {_REMEDY}")
        reservoir, sample = (
            None if part == UNKNOWN_NAME else unescape_part(part) for part in parts[:2]
        )
        return cls(reservoir, sample, tuple(map(unescape_part, parts[2:])))


def escape_part(name: str) -> str:
    """Escape one name to ASCII letters, digits and ``-._~%``; never ``.``, ``..`` or ``_``.

    Raises:
        ObjectKeyError: An empty name, one that is not Unicode, or one that gets too long.
    """
    if not name:
        raise ObjectKeyError(f"empty name in an object key; {_REMEDY}")
    try:
        escaped = quote(name, safe="")
    except UnicodeEncodeError:
        raise ObjectKeyError(
            f"name {name!r} is not valid Unicode; rename the file or folder"
        ) from None
    if name in (".", ".."):
        escaped = escaped.replace(".", "%2E")
    elif name == UNKNOWN_NAME:
        escaped = "%5F"
    if len(escaped) > MAX_PART_BYTES:
        raise ObjectKeyError(
            f"name {name[:60]!r}…: {len(escaped)} bytes when escaped, at most {MAX_PART_BYTES} are "
            "allowed; shorten it"
        )
    return escaped


def unescape_part(part: str) -> str:
    """Undo `escape_part`.

    Raises:
        ObjectKeyError: The escaped bytes are not UTF-8.
    """
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeError:
        raise ObjectKeyError(f"part {part[:60]!r} of an object key is not UTF-8") from None


def split_path(relative_path: str | PurePath) -> tuple[str, ...]:
    """Split a path inside a library into its parts.

    Raises:
        ObjectKeyError: An absolute path, one with ``..``, or an empty one.
    """
    text = relative_path.as_posix() if isinstance(relative_path, PurePath) else relative_path
    parts = tuple(part for part in text.split("/") if part != ".")
    if not parts or any(part in ("", "..") for part in parts):
        raise ObjectKeyError(
            f"path {text[:200]!r} is not a file's path inside a library; "
            "give it relative to the library's folder, without '..' and empty parts"
        )
    return parts


def key_of_file(
    relative_path: str | PurePath, *, reservoir: str | None, sample: str | None
) -> ObjectKey:
    """Give a library's file its place in the object store.

    Folders that only repeat the names are not written twice: ``E1/S1/a.png`` of reservoir E1,
    sample S1 becomes ``scans/E1/S1/a.png``. A file that lies elsewhere keeps its whole path, so
    that a table's ``Image`` still finds it. Two files may fall on one key (``E1/S1/a.png``, and
    ``a.png`` that a table puts in E1, S1): whoever stores them must refuse the second.

    Args:
        relative_path: Path of the file below the library's folder.
        reservoir: Reservoir's name, or None where it is not known.
        sample: Sample's name, or None where it is not known.

    Raises:
        ObjectKeyError: See `split_path` and `ObjectKey`.
    """
    parts = split_path(relative_path)
    names = tuple(name for name in (reservoir, sample) if name is not None)
    if len(parts) > len(names) and parts[: len(names)] == names:
        parts = parts[len(names) :]
    return ObjectKey(reservoir, sample, parts)
