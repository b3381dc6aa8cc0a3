"""Uploaded query files, kept for a while, so that a link to a search works in another browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from encoder.planes import ReadOptions
    from infra.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """An uploaded file, at hand.

    Attributes:
        path: Local copy, valid as long as the `KeptQueries` is open.
        name: What its owner called it.
        read: What its reader needs to be told, or None.
    """

    path: Path
    name: str
    read: ReadOptions | None


class KeptQueries:
    """Uploaded query files of a site. Any thread may ask."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def keep(self, name: str, stream: BinaryIO, *, read: ReadOptions | None = None) -> str:
        """Keep one file; returns the token that `UploadQuery` takes.

        Raises:
            LithoscopeError: The file is none that can be searched with; the text says why.
        """
        raise NotImplementedError

    def keep_all(
        self, files: Mapping[str, BinaryIO], *, read: ReadOptions | None = None
    ) -> dict[str, str]:
        """Keep files that were uploaded together: headers are packed with their voxels.

        Returns:
            Tokens by file name; of a pair, by the header's.

        Raises:
            LithoscopeError: As `keep`; nothing is kept then.
        """
        raise NotImplementedError

    def open(self, token: str) -> KeptFile:
        """Fetch a kept file.

        Raises:
            LithoscopeError: It has lapsed, or there never was one.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Remove local copies."""
