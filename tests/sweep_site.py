"""A site with two models whose tasks nobody takes but the test: for sweeps and rollouts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.broker import open_broker
from infra.folder_store import FolderStore
from infra.indexing.memory import MemoryStore
from infra.site import Site
from infra.task_names import BULK, ENCODE
from infra.task_queue import TaskQueue
from infra.vector_index import VectorIndex
from ingest_worker.feeding import Passes
from memory_site import index_scan
from stack_parts import RedisServer, work_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_versions import ModelVersion

pytest_plugins = ["stack_parts", "two_models"]


@pytest.fixture
def site(tmp_path: Path, broker: RedisServer) -> Iterator[Site]:
    settings = work_settings(tmp_path / "home", broker, low_water=5, batch_keys=2)
    settings.bucket_folder.mkdir(parents=True)
    with Site(settings, FolderStore(settings.bucket_folder)) as site:
        site.index = VectorIndex(MemoryStore())
        yield site


@pytest.fixture
def queue(site: Site) -> Iterator[TaskQueue]:
    with TaskQueue(site.settings) as queue:
        yield queue


@pytest.fixture
def passes(site: Site) -> Iterator[Passes]:
    with open_broker(site.settings) as client:
        yield Passes(client)


def work(site: Site, queue: TaskQueue, version: ModelVersion, broker: RedisServer) -> list[str]:
    """Do what workers would with all that waits; gives the keys in the order of the queues."""
    done = []
    with broker.client as client:
        for name in (ENCODE, BULK):
            while (task := client.rpop(name)) is not None:
                body = json.loads(task)
                done += _keys_of(body)
    for key in done:
        if (site.settings.bucket_folder / key).exists():
            index_scan(site, version, key=key)
        else:
            site.index.open(version.collection).remove([key])
    queue.settle(done, collection=version.collection)
    return done


def _keys_of(task: dict[str, str]) -> list[str]:
    import base64  # noqa: PLC0415  only to look into a task

    keys: list[str] = json.loads(base64.b64decode(task["body"]))[1]["keys"]
    return keys
