"""What is told of a server that refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from index_contract import make
from infra.index_server import open_store, stop_server
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.indexing.milvus import MilvusStore
from infra.indexing.milvus_errors import is_away
from infra.vector_index import VectorIndex

if TYPE_CHECKING:
    from pathlib import Path

    from infra.indexing.store import RowStore

pytest_plugins = ["index_contract"]


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


@pytest.mark.parametrize("row_store", ["standalone"], indirect=True)
def test_what_a_server_has_not_loaded_it_is_had_to_load(
    row_store: RowStore, index: VectorIndex
) -> None:
    """As of a server that starts: its page says that it is well, and it has loaded nothing yet."""
    assert isinstance(row_store, MilvusStore)
    collection = make(index)
    assert collection.count() == 0
    other = MilvusClient(row_store.find_address())
    for table in (collection.name, f"{collection.name}_scans"):
        other.release_collection(table)
    other.close()
    assert collection.count() == 0
    assert collection.record("scans/E1/S1/a.png") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MilvusException(101, "collection not loaded"), True),
        (MilvusException(106, "collection on recovering"), True),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "retries ran out"), True),
        (MilvusException(100, "collection not found"), False),
        (MilvusException(message="unexpected"), False),
        (grpc.RpcError(), True),
    ],
)
def test_a_server_that_starts_is_away_and_one_that_refuses_is_not(
    error: MilvusException | grpc.RpcError, expected: bool
) -> None:
    assert is_away(error) is expected
