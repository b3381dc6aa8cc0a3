"""An index of random slices in memory, and a search of it by the book."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encoder.metric import Metric
from infra.folder_store import FolderStore
from infra.indexing.memory import MemoryStore
from infra.indexing.records import IndexedScan, ScanRecord, SliceRow
from infra.settings import Settings
from infra.site import Site
from infra.vector_index import Collection, VectorIndex, collection_name
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from search_ui.requests import SearchRequest

DIMENSION = 6


@dataclass
class World:
    """A site whose index holds scans that were committed directly.

    Attributes:
        site: The site; its bucket is empty.
        collection: The live collection.
        scans: What is committed, by key.
        service: Answers.
    """

    site: Site
    collection: Collection
    service: SearchService
    scans: dict[str, IndexedScan] = field(default_factory=dict)

    def add(self, *scans: IndexedScan) -> None:
        self.collection.commit(scans)
        self.scans |= {one.record.object_key: one for one in scans}

    @property
    def rows(self) -> list[SliceRow]:
        return [row for one in self.scans.values() for row in one.slices]

    @property
    def vectors(self) -> NDArray[np.float32]:
        return np.concatenate([one.vectors for one in self.scans.values()])

    def costs(self, *queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Cost of every row: its smallest over the queries' slices."""
        asked = np.concatenate(queries).astype(np.float64)
        stored = self.vectors.astype(np.float64)
        costs: NDArray[np.float64] = -stored @ asked.T
        if self.collection.schema.metric is Metric.L2:
            costs = np.linalg.norm(stored[:, None] - asked[None], axis=2)
        return np.asarray(costs.min(axis=1))

    def order(self, *queries: NDArray[np.float32]) -> list[SliceRow]:
        """Every row, nearest first; of equal costs, by identity."""
        costs = self.costs(*queries)
        pairs = sorted(zip(costs, self.rows, strict=True), key=lambda it: (it[0], it[1].row_id))
        return [row for _, row in pairs]

    def nearest(
        self,
        passes: Callable[[SliceRow], bool],
        request: SearchRequest,
        *queries: NDArray[np.float32],
    ) -> list[SliceRow]:
        """The hits by the book: every row sorted, then one after the other."""
        found: list[SliceRow] = []
        groups: set[object] = set()
        per_sample: dict[object, int] = {}
        for row in self.order(*queries):
            sample = (row.reservoir, row.sample) if row.sample else row.object_key
            group = sample if request.group_by == "sample" else row.reservoir
            if not passes(row) or (request.group_by and group in groups):
                continue
            if request.per_sample and per_sample.get(sample, 0) >= request.per_sample:
                continue
            found.append(row)
            groups.add(group)
            per_sample[sample] = per_sample.get(sample, 0) + 1
        return found[: request.k]


def make_scan(  # noqa: PLR0913  fields of a row
    key: str,
    *,
    reservoir: str | None = None,
    sample: str | None = None,
    n: int = 1,
    generation: str = "g1",
    vectors: NDArray[np.float32] | None = None,
    etag: str = "e1",
    **numbers: float | None,
) -> IndexedScan:
    names: dict[str, Any] = {"reservoir": reservoir, "sample": sample, "modality": "micro_ct"}
    record = ScanRecord(
        object_key=key, etag=etag, generation=generation, metadata_hash="m", n_slices=n, **names
    )
    slices = [
        SliceRow(object_key=key, generation=generation, slice_index=i, numbers=numbers, **names)
        for i in range(n)
    ]
    if vectors is None:
        rng = np.random.default_rng([*key.encode(), *generation.encode()])
        vectors = rng.normal(size=(n, DIMENSION)).astype(np.float32)
    return IndexedScan(record=record, slices=slices, vectors=vectors)


def random_scans(seed: int, count: int) -> list[IndexedScan]:
    rng = random.Random(seed)  # noqa: S311  reproducible, no secret
    return [
        make_scan(
            f"scans/{number}",
            reservoir=rng.choice([None, "E1", "E2", "E3"]),
            sample=rng.choice([None, "S1", "S2", "S3", "S4"]),
            n=rng.randrange(1, 5),
            porosity=rng.choice([None, 0.1, 0.2, 0.3]),
        )
        for number in range(count)
    ]


def open_world(home: Path, metric: Metric = Metric.L2) -> World:
    settings = Settings(home=home)
    settings.bucket_folder.mkdir(parents=True)
    site = Site(settings, FolderStore(settings.bucket_folder))
    site.index = VectorIndex(MemoryStore())
    name = collection_name("tiny", "0" * 64)
    collection = site.index.create(name, dimension=DIMENSION, metric=metric)
    site.index.make_live(name)
    return World(site=site, collection=collection, service=SearchService(site))


@pytest.fixture(params=list(Metric))
def indexed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    world = open_world(tmp_path, request.param)
    yield world
    world.service.close()
    world.site.close()
