"""A worker that dies at any moment: what is seen then, and what the next run makes of it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.index_server import stop_server
from infra.indexing.memory import MemoryStore
from infra.vector_index import VectorIndex
from ingest_site import IngestSite, flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.decoding import DecoderPool
    from infra.indexing.store import Row

pytest_plugins = ("ingest_site",)

NEW, OVERWRITTEN, REMOVED, BROKEN, CORRECTED = (
    f"scans/E1/S1/{name}.png" for name in ("new", "overwritten", "removed", "broken", "corrected")
)


class Death(BaseException):
    """The process is gone: nothing that it still does has any effect."""


class Fate:
    """Counts what changes something, and dies before the change of a given number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, _: str = "") -> None:
        if self.left <= 0:
            raise Death
        self.left -= 1


class MortalIndex(MemoryStore):
    """An index whose writes the dead don't reach."""

    fate = Fate(10**9)

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        self.fate.step()
        super().upsert(table, rows)

    def delete(self, table: str, keys: Sequence[str]) -> None:
        self.fate.step()
        super().delete(table, keys)


def seen(world: IngestSite) -> dict[str, list[float]]:
    """First number of each slice's vector, by key, of what is indexed; each scan is whole."""
    found = {}
    for record in world.collection.records():
        rows = world.collection.slices(record.object_key)
        assert len(rows) == record.n_slices
        found[record.object_key] = [float(vector[0]) for _, vector in rows]
    return found


def changed_world(home: Path, pool: DecoderPool) -> tuple[IngestSite, MortalIndex]:
    """A site that was ingested, and of which every kind of thing changed since."""
    world = IngestSite(home, pool)
    index = MortalIndex()
    world.site.index = VectorIndex(index)
    world.context = world.context_for(world.site, world.encoder, pool=pool)
    for number, key in enumerate((OVERWRITTEN, REMOVED, BROKEN, CORRECTED)):
        world.put(key, flat(10 * number + 10, 0, 0))
    world.reconcile()
    world.put(NEW, flat(90, 0, 0))
    world.put(OVERWRITTEN, flat(100, 0, 0))
    world.objects.delete(REMOVED)
    world.objects.put(BROKEN, b"no picture")
    world.put_table(f"object_key,porosity\n{CORRECTED},0.3\n")
    return world, index


def test_a_death_before_any_change_is_mended_by_the_next_run(
    tmp_path: Path, decoders: DecoderPool
) -> None:
    deaths = 0
    while True:
        world, index = changed_world(tmp_path / str(deaths), decoders)
        before = seen(world)
        index.fate = fate = Fate(deaths)
        world.store.before = {"put": fate.step, "delete": fate.step}
        try:
            world.reconcile()
        except Death:
            died = True
        else:
            died = False
        index.fate = Fate(10**9)
        world.store.before.clear()
        after = seen(world)
        for key, levels in after.items():  # as it was, or as it will be
            assert levels in (before.get(key), [91.0] if key == NEW else [101.0])
        world.site.close()
        _check_next_run(tmp_path / str(deaths), decoders, index=index)
        if not died:
            break
        deaths += 1
    assert deaths > 15


def _check_next_run(home: Path, decoders: DecoderPool, *, index: MortalIndex) -> None:
    world = IngestSite(home, decoders)
    world.site.index = VectorIndex(index)
    world.context = world.context_for(world.site, world.encoder, pool=decoders)
    world.reconcile(world.compare_deep())
    deep = world.compare_deep()
    assert deep.is_complete
    assert deep.coverage.quarantined == (BROKEN,)
    assert deep.coverage.lapsed == ()
    assert seen(world) == {NEW: [91.0], OVERWRITTEN: [101.0], CORRECTED: [41.0]}
    ((row, _),) = world.collection.slices(CORRECTED)
    assert row.numbers["porosity"] == 0.3
    assert len(world.collection.stored_generations()) == 3
    assert len(world.pictures()) == 6
    assert world.reconcile() == []
    world.site.close()


N_SCANS = 100
WORKER = """
import sys
from pathlib import Path
from infra.settings import Settings
from infra.site import open_site
from encoder.decoding import DecoderPool
from ingest_site import IngestSite, MeanColour, compared
from ingest_worker.reconcile import reconcile

home = Path(sys.argv[1])
with open_site(Settings(home=home)) as site, DecoderPool(2) as pool:
    encoder = MeanColour()
    context = IngestSite.context_for(site, encoder, pool=pool)
    coverage = compared(context)
    print("ready", flush=True)
    for outcome in reconcile(context, coverage):
        print(type(outcome).__name__, flush=True)
    print("done", flush=True)
"""


def run_worker(home: Path, *, kill_after: float | None) -> list[str]:
    """Run a worker on a site; kill it some time after it began to work.

    Returns:
        What it printed.
    """
    worker = subprocess.Popen(  # noqa: S603  our own interpreter on our own script
        [sys.executable, "-c", WORKER, str(home)],
        env={"PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parent}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    if kill_after is not None:
        time.sleep(kill_after)
        worker.kill()
    printed, _ = worker.communicate()
    assert worker.returncode == (0 if kill_after is None else -9)
    return printed.split()


def test_killed_again_and_again_on_the_embedded_index(
    tmp_path: Path, decoders: DecoderPool
) -> None:
    world = IngestSite(tmp_path, decoders)
    for number in range(N_SCANS):
        world.put(f"scans/E1/S{number % 5}/{number}.png", flat(number, 1, 2))
    world.site.close()
    moments = random.Random(5)  # noqa: S311  seeded on purpose
    try:
        told = 0
        for _ in range(3):
            told += run_worker(tmp_path, kill_after=moments.uniform(0.0, 1.0)).count("Indexed")
        last = run_worker(tmp_path, kill_after=None)
        assert last[-1] == "done"
        assert set(last) <= {"Indexed", "done"}  # a kill may come when all is done
        # what was told as indexed is not encoded again
        assert last.count("Indexed") + told <= N_SCANS
        _check_embedded(tmp_path, decoders)
    finally:
        stop_server(tmp_path / "index")


def _check_embedded(home: Path, decoders: DecoderPool) -> None:
    world = IngestSite(home, decoders, is_embedded=True)
    deep = world.compare_deep()
    assert deep.is_complete
    assert deep.coverage.indexed == N_SCANS
    assert set(world.collection.stored_generations().values()) == {1}
    assert len(world.collection.stored_generations()) == N_SCANS
    assert {levels[0] for levels in seen(world).values()} == {
        float(flat(number, 1, 2)[:, :, 0].mean()) for number in range(N_SCANS)
    }
    world.site.close()
