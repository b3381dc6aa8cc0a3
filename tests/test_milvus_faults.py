"""What is told of a server that refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from pymilvus import MilvusException

from index_contract import make
from infra.index_server import open_store, stop_server
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.vector_index import VectorIndex

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_disk_is_told_with_the_folder(tmp_path: Path) -> None:
    store = open_store(tmp_path, idle_seconds=60)
    make(VectorIndex(store))

    def fill(_: object) -> None:
        raise MilvusException(message=str(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))

    with pytest.raises(VectorIndexError, match=r"disk is full .*make room at") as told:
        store._ask(fill)  # noqa: SLF001  no disk is full at will
    assert str(tmp_path) in str(told.value)
    assert not isinstance(told.value, IndexUnavailableError)
    store.close()
    assert stop_server(tmp_path)
