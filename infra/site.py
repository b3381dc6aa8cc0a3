"""Everything that the settings name, opened once."""

from __future__ import annotations

import contextlib
import copy
from functools import cached_property
from typing import TYPE_CHECKING

from infra.attempts import FileAttempts
from infra.folder_store import STATE_FOLDER
from infra.index_server import open_store
from infra.indexing.lock import MutationLock
from infra.model_registry import ModelRegistry
from infra.quarantine import Quarantine
from infra.stores import open_object_store
from infra.vector_index import VectorIndex

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from infra.attempts import AttemptCounter
    from infra.object_store import ObjectStore
    from infra.settings import Settings


class Site:
    """One installation: its objects, its index, its models. A context manager.

    Attributes:
        settings: What it was opened by.
        objects: The object store.
        models: The models in it.
        quarantine: Its records of scans that can't be indexed.
        attempts: Attempts at each scan.
    """

    def __init__(self, settings: Settings, objects: ObjectStore) -> None:
        """Take an object store; all else is opened on first use.

        Args:
            settings: The settings.
            objects: The store; closed with the site.
        """
        self.settings = settings
        self.objects = objects
        self.models = ModelRegistry(objects, settings.home / "cache" / "models")
        self.quarantine = Quarantine(objects)
        self.attempts = _attempts(settings)

    def counting(self, namespace: str) -> Site:
        """Give the same site, with attempts counted under a name of their own.

        Args:
            namespace: Such as a collection that is filled. Without a broker nothing else is ever
                filled at the same time, and there are no names.

        Returns:
            What shares everything with this site, which is the one to be closed.
        """
        if self.settings.broker.url is None:
            return self
        _ = self.index  # opened once, for both
        view = copy.copy(self)
        view.attempts = _attempts(self.settings, namespace)
        return view

    @property
    def index_folder(self) -> Path:
        """Folder of the embedded index."""
        return self.settings.home / "index"

    @cached_property
    def index(self) -> VectorIndex:
        """The vector index; the embedded one's server is started if need be.

        Raises:
            IndexUnavailableError: It does not answer, or does not start.
        """
        told = self.settings.index
        if told.address is None:
            return VectorIndex(open_store(self.index_folder, idle_seconds=60 * told.idle_minutes))
        from infra.indexing.milvus import MilvusStore  # noqa: PLC0415  half a second

        address = told.address
        token = None if told.token is None else told.token.get_secret_value()
        return VectorIndex(MilvusStore(lambda: address, token=token))

    @cached_property
    def library_lock(self) -> MutationLock:
        """To be held while what libraries say is read, changed and written.

        It is the bucket's own where that is a folder. For a bucket of S3, which has no locks, it
        keeps out those of this home only.
        """
        is_folder = self.settings.store.kind == "folder"
        folder = self.settings.bucket_folder / STATE_FOLDER if is_folder else self.settings.home
        folder.mkdir(parents=True, exist_ok=True)
        return MutationLock(folder / "libraries.lock")

    def close(self) -> None:
        """Let go of everything that was opened."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.objects.close)
            stack.callback(self.attempts.close)
            if "index" in self.__dict__:
                stack.callback(self.index.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _attempts(settings: Settings, namespace: str | None = None) -> AttemptCounter:
    if settings.broker.url is None:
        return FileAttempts(settings.home / "attempts.sqlite")
    from infra.broker import open_broker  # noqa: PLC0415  not needed without one
    from infra.redis_attempts import RedisAttempts  # noqa: PLC0415  likewise

    return RedisAttempts(open_broker(settings), namespace)


def open_site(settings: Settings) -> Site:
    """Open what the settings name: the object store now, the index on first use.

    Raises:
        StoreAwayError: The object store does not answer, or its folder is missing.
        StoreRefusedError: The account is wrong or may not.
    """
    return Site(settings, open_object_store(settings))
