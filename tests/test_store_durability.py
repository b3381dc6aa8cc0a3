from __future__ import annotations

import os
from typing import TYPE_CHECKING

from infra.folder_store import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_only_what_must_be_durable_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    waited: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        waited.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counted)
    store.put("x/first", b"makes the store's own folders")
    waited.clear()
    stat = store.put("thumbnails/a/g/0.webp", b"picture", is_durable=False)
    assert waited == []
    assert store.stat("thumbnails/a/g/0.webp") == stat
    assert store.read("thumbnails/a/g/0.webp") == b"picture"
    store.put("thumbnails/a/g/1.webp", b"picture")
    assert len(waited) == 2  # the file, and its name
    store.close()
