"""A fault of one model's own keeps no other model from a scan, and is kept beside that one's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from infra.quarantine import CRASH_FAULT, ENCODER_FAULT, MODEL_FAULTS
from ingest_site import IngestSite, MeanColour, compared, flat
from ingest_worker.outcomes import Indexed, Outcome, Quarantined
from ingest_worker.pipeline import ingest_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from encoder.decoding import DecoderPool
    from infra.coverage import Coverage
    from infra.quarantine import QuarantineRecord

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"


@dataclass
class Moody(MeanColour):
    """An encoder that gives no finite vectors while it is broken."""

    is_broken: bool = field(default=False, kw_only=True)

    def encode(self, batch: Tensor) -> Tensor:
        vectors = super().encode(batch)
        return vectors / 0 if self.is_broken else vectors


class Model:
    """A model that one site's scans are indexed with."""

    def __init__(self, world: IngestSite, name: str) -> None:
        self.encoder = Moody(name)
        made = IngestSite.context_for(world.site, self.encoder, pool=world.context.pool)
        self.context = replace(made, metadata=world.context.metadata)

    def ingest(self) -> Outcome:
        return ingest_object(KEY, self.context)

    def compare(self) -> Coverage:
        return compared(self.context)


class Place:
    """A site with a live model, and one that is being filled."""

    def __init__(self, world: IngestSite) -> None:
        self.world = world
        self.live, self.new = Model(world, "live"), Model(world, "new")

    def put(self, level: int) -> None:
        self.world.put(KEY, flat(level, 20, 30))

    def record(self) -> QuarantineRecord:
        found = self.world.site.quarantine.get(KEY)
        assert found is not None
        return found


@pytest.fixture
def place(tmp_path: Path, decoders: DecoderPool) -> Iterator[Place]:
    world = IngestSite(tmp_path, decoders)
    yield Place(world)
    world.site.close()


@pytest.mark.parametrize("is_swapped", [False, True])
def test_what_one_model_has_no_vectors_for_the_other_indexes(
    place: Place, is_swapped: bool
) -> None:
    broken, sound = (place.live, place.new) if is_swapped else (place.new, place.live)
    broken.encoder.is_broken = True
    place.put(10)
    sound.ingest()
    place.put(40)
    assert isinstance(broken.ingest(), Quarantined)
    found = sound.compare()
    assert (found.changed, found.lapsed) == ((KEY,), ())
    assert isinstance(sound.ingest(), Indexed)
    record = sound.context.collection.record(KEY)
    assert record is not None
    assert record.etag == place.record().etag
    for model, n_indexed in ((sound, 1), (broken, 0)):
        found = model.compare()
        assert found.is_complete
        assert (found.indexed, found.lapsed) == (n_indexed, ())
    n_encoded = broken.encoder.n_encoded
    assert isinstance(broken.ingest(), Quarantined)
    assert broken.encoder.n_encoded == n_encoded


def test_a_new_scan_that_the_other_model_refused_is_missing_until_it_is_indexed(
    place: Place,
) -> None:
    place.new.encoder.is_broken = True
    place.put(10)
    place.new.ingest()
    found = place.live.compare()
    assert (found.missing, found.quarantined, found.lapsed) == ((KEY,), (), ())
    assert isinstance(place.live.ingest(), Indexed)
    assert place.record().fault == ENCODER_FAULT


def test_what_both_refuse_neither_tries_again_until_it_changes(place: Place) -> None:
    models = (place.new, place.live)
    place.put(10)
    for model in models:
        model.encoder.is_broken = True
        assert isinstance(model.ingest(), Quarantined)
    assert place.record().models == tuple(model.context.model for model in models)
    counts = [model.encoder.n_encoded for model in models]
    for model in models:
        assert isinstance(model.ingest(), Quarantined)
        assert model.compare().quarantined == (KEY,)
    assert [model.encoder.n_encoded for model in models] == counts
    place.put(40)
    for model in models:
        model.encoder.is_broken = False
        assert isinstance(model.ingest(), Indexed)
        assert model.compare().is_complete
    assert place.world.site.quarantine.get(KEY) is None


def test_a_scan_that_killed_workers_of_one_model_is_tried_by_the_other(place: Place) -> None:
    place.put(10)
    for _ in range(3):
        place.world.site.attempts.begin({KEY: place.world.objects.stat(KEY).etag})
    place.new.ingest()
    assert place.record().fault == CRASH_FAULT
    assert isinstance(place.live.ingest(), Indexed)
    assert place.new.compare().quarantined == (KEY,)


def test_what_no_model_can_read_is_refused_to_all(place: Place) -> None:
    place.world.objects.put(KEY, b"no picture")
    place.new.ingest()
    assert place.record().fault not in MODEL_FAULTS
    place.world.store.calls.clear()
    assert isinstance(place.live.ingest(), Quarantined)
    assert {name for name, _ in place.world.store.calls} == {"stat"}
    assert place.live.compare().quarantined == (KEY,)
