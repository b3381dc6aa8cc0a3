"""User metadata of a folder's objects: small files in a hidden tree, tied to content by its hash.

``<tree>/<2 digits>/<SHA-256 of the key>/<SHA-256 of the content>.json``. The file is written
before the content takes its place and counts for that content only, so that the one rename that
shows the content shows its metadata too: no crash and no overwriting by hand can pair the
metadata of one version with the content of another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
from typing import TYPE_CHECKING

from infra.local_files import synced
from infra.store_keys import key_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Sidecars:
    """User metadata by key and content; writers hold the store's lock.

    Attributes:
        tree: Folder of the files.
    """

    def __init__(self, tree: Path) -> None:
        """Keep a tree, which is made when there is something to keep."""
        self.tree = tree

    def _folder(self, key: str) -> Path:
        name = hashlib.sha256(key_bytes(key)).hexdigest()
        return self.tree / name[:2] / name

    def read(self, key: str, sha256: str) -> dict[str, str]:
        """Give the metadata of one content of a key; empty where there is none."""
        try:
            text = (self._folder(key) / f"{sha256}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return {str(name): str(value) for name, value in json.loads(text)["metadata"].items()}

    def write(self, key: str, sha256: str, *, metadata: Mapping[str, str]) -> None:
        """Keep metadata for a content, durably; none removes what there was."""
        path = self._folder(key) / f"{sha256}.json"
        if not metadata:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with hidden.open("xb") as file:
                file.write(json.dumps({"key": key, "metadata": dict(metadata)}).encode())
                synced(file)
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)

    def keep_only(self, key: str, sha256: str) -> None:
        """Remove what belongs to former contents of a key."""
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder(key).iterdir():
                if path.name != f"{sha256}.json":
                    path.unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Remove everything about a key."""
        shutil.rmtree(self._folder(key), ignore_errors=True)
