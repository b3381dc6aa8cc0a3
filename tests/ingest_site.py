"""A small site to ingest into: a folder, an index in memory, an encoder without a network."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from encoder.decoding import DecodeLimits, DecoderPool
from encoder.inference import EncodingSession
from encoder.metric import Metric
from encoder.pictures import PictureOptions
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing
from infra.attempts import FileAttempts
from infra.bucket_metadata import BucketMetadata
from infra.coverage import Coverage, compare
from infra.deep_coverage import DeepCoverage, compare_deep
from infra.folder_store import FolderStore
from infra.indexing.memory import MemoryStore
from infra.settings import Settings
from infra.site import Site
from infra.vector_index import VectorIndex
from ingest_worker.context import IngestContext
from ingest_worker.patience import Patience
from ingest_worker.pipeline import ingest_objects
from ingest_worker.reconcile import reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from infra.object_store import ObjectStat, ObjectStore
    from infra.vector_index import Collection
    from ingest_worker.outcomes import Outcome

SIDE = 8
PATIENCE = Patience(first_seconds=0.01, longest_seconds=0.02, total_seconds=0.5)


@dataclass
class MeanColour:
    """An encoder without a network: the mean of each channel; it counts what it encodes."""

    name: str = "mean-colour"
    dimension: int = 3
    metric: Metric = Metric.L2
    preprocessing: Preprocessing = field(
        default_factory=lambda: Preprocessing(
            size=SIDE, window="none", slicing=Slicing(planes=3, margin=0.0, tiles=4)
        )
    )
    init: str = "none"
    bundle_id: str | None = None
    n_encoded: int = 0

    def encode(self, batch: Tensor) -> Tensor:
        self.n_encoded += len(batch)
        return batch.float().mean(dim=(1, 2))


class WatchedStore(FolderStore):
    """A folder that tells of its calls, and lets tests meddle before and after them.

    Attributes:
        calls: Names and keys of what was called, in order.
        before: Called with the key, by name of the method.
        after: Likewise.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[str], None]] = {}
        self.after: dict[str, Callable[[str], None]] = {}

    @contextlib.contextmanager
    def _watched(self, name: str, key: str) -> Iterator[None]:
        self.calls.append((name, key))
        self.before.get(name, _nothing)(key)
        yield
        self.after.get(name, _nothing)(key)

    def stat(self, key: str) -> ObjectStat:
        with self._watched("stat", key):
            return super().stat(key)

    def get(self, key: str, target: Path, *, max_bytes: int, etag: str | None = None) -> ObjectStat:
        with self._watched("get", key):
            return super().get(key, target, max_bytes=max_bytes, etag=etag)

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,
    ) -> ObjectStat:
        with self._watched("put", key):
            return super().put(
                key, source, sha256=sha256, user_metadata=user_metadata, is_durable=is_durable
            )

    def delete(self, key: str) -> None:
        with self._watched("delete", key):
            super().delete(key)


class WatchedAttempts(FileAttempts):
    """Attempts that write into a store's calls."""

    def __init__(self, path: Path, store: WatchedStore) -> None:
        super().__init__(path)
        self._store = store

    def begin(self, etags: Mapping[str, str]) -> dict[str, int]:
        self._store.calls += [("begin", key) for key in etags]
        return super().begin(etags)

    def clear(self, object_keys: Iterable[str]) -> None:
        keys = list(object_keys)
        self._store.calls += [("clear", key) for key in keys]
        super().clear(keys)


def _nothing(_: str) -> None:
    pass


class IngestSite:
    """A site with what ingest needs, and short words for what tests do with it.

    Attributes:
        context: What ingest needs.
        encoder: Counts what it encodes.
        store: The folder, which tells of its calls.
    """

    def __init__(self, home: Path, pool: DecoderPool, *, is_embedded: bool = False) -> None:
        settings = Settings(home=home)
        settings.bucket_folder.mkdir(parents=True, exist_ok=True)
        self.encoder = MeanColour()
        self.store = WatchedStore(settings.bucket_folder)
        site = Site(settings, self.store)
        site.attempts = WatchedAttempts(settings.home / "attempts.sqlite", self.store)
        if not is_embedded:
            site.index = VectorIndex(MemoryStore())
        self.context = self.context_for(site, self.encoder, pool=pool)

    @staticmethod
    def context_for(site: Site, encoder: MeanColour, *, pool: DecoderPool) -> IngestContext:
        collection = site.index.create(
            f"litho_{encoder.name.replace('-', '_')}_{encoder.preprocessing.fingerprint()[:12]}",
            dimension=encoder.dimension,
            metric=encoder.metric,
            properties=("depth_m",),
        )
        return IngestContext(
            site=site,
            collection=collection,
            session=EncodingSession(encoder, device="cpu", precision="fp32"),
            metadata=BucketMetadata.read(site.objects),
            pool=pool,
            model=f"{encoder.name}-{encoder.preprocessing.fingerprint()[:12]}",
            pictures=PictureOptions(thumbnail_side=4, preview_side=16),
            patience=PATIENCE,
        )

    @property
    def site(self) -> Site:
        return self.context.site

    @property
    def objects(self) -> ObjectStore:
        return self.site.objects

    @property
    def collection(self) -> Collection:
        return self.context.collection

    def put(self, key: str, pixels: NDArray[np.uint8], **user_metadata: str) -> str:
        """Store a picture; PNG, so that what is indexed is exactly these pixels."""
        path = self.site.settings.home / "a.png"
        Image.fromarray(pixels).save(path)
        self.objects.put(key, path, user_metadata=user_metadata)
        return key

    def put_table(self, text: str) -> None:
        """Store a metadata table, and read the tables again."""
        self.objects.put("metadata/table.csv", text.encode())
        self.context = replace(self.context, metadata=BucketMetadata.read(self.objects))

    def ingest(self, *keys: str) -> dict[str, Outcome]:
        outcomes = list(ingest_objects(keys, self.context))
        found = {outcome.object_key: outcome for outcome in outcomes}
        assert len(found) == len(outcomes)
        return found

    def compare(self) -> Coverage:
        return compared(self.context)

    def compare_deep(self) -> DeepCoverage:
        return compare_deep(
            self.compare(), self.collection, index=self.site.index, objects=self.objects
        )

    def reconcile(self, coverage: Coverage | DeepCoverage | None = None) -> Sequence[Outcome]:
        return list(reconcile(self.context, coverage or self.compare()))

    def pictures(self) -> list[str]:
        return [
            entry.key
            for prefix in ("thumbnails/", "previews/")
            for page in self.objects.pages(prefix)
            for entry in page
        ]


def compared(context: IngestContext) -> Coverage:
    """Hold the bucket against what a context's collection has."""
    return compare(
        context.site.objects,
        context.collection,
        fingerprint=context.fingerprint,
        metadata=context.metadata,
        quarantine=context.site.quarantine,
    )


def flat(*colour: int) -> NDArray[np.uint8]:
    """A picture of nearly one colour: the left upper corner differs, constant scans are refused."""
    pixels = np.tile(np.array(colour or (10, 20, 30), np.uint8), (SIDE, SIDE, 1))
    pixels[0, 0] += 64
    return pixels


@pytest.fixture(scope="session")
def decoders() -> Iterator[DecoderPool]:
    limits = DecodeLimits(memory_bytes=1 << 30, seconds=20.0)
    with DecoderPool(2, limits) as pool:
        yield pool


@pytest.fixture
def world(tmp_path: Path, decoders: DecoderPool) -> Iterator[IngestSite]:
    world = IngestSite(tmp_path, decoders)
    yield world
    world.site.close()
