"""Two processes that ingest one scan: what one removes, the other may just have indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.pictures import thumbnail_key
from infra.store_errors import ObjectMissingError
from ingest_site import IngestSite, flat
from ingest_worker.outcomes import Indexed

if TYPE_CHECKING:
    import pytest

    from infra.object_store import ObjectStat

pytest_plugins = ("ingest_site",)

KEY = "scans/E1/S1/a.png"


def test_a_scan_that_came_back_while_it_was_removed(
    world: IngestSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(KEY, flat(1, 2, 3))
    world.ingest(KEY)
    world.objects.delete(KEY)
    others: list[str] = []
    stat = world.store.stat

    def looked_at(key: str) -> ObjectStat:
        try:
            return stat(key)
        except ObjectMissingError:
            if not others:  # another process stores and indexes it before we remove it
                others.append(key)
                world.put(KEY, flat(50, 60, 70))
                assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
            raise

    monkeypatch.setattr(world.store, "stat", looked_at)
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    assert others
    assert world.compare_deep().is_complete
    assert len(world.pictures()) == 2


def test_a_scan_that_was_mended_while_it_was_refused(world: IngestSite) -> None:
    world.objects.put(KEY, b"no picture")
    others: list[str] = []

    def mend(key: str) -> None:
        if not others:
            others.append(key)
            world.put(KEY, flat(50, 60, 70))
            assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}

    world.store.after["get"] = mend
    assert world.ingest(KEY) == {KEY: Indexed(object_key=KEY, n_slices=1)}
    assert others
    assert world.compare_deep().is_complete
    assert len(world.pictures()) == 2


def test_pictures_of_a_commit_to_come_are_left(world: IngestSite) -> None:
    world.put(KEY, flat(1, 2, 3))
    world.ingest(KEY)
    former = set(world.pictures())
    coming = thumbnail_key(KEY, "f" * 32, slice_index=0)
    world.objects.put(coming, b"x")
    world.put(KEY, flat(50, 60, 70))
    world.ingest(KEY)
    assert coming in world.pictures()
    assert not former & set(world.pictures())
    assert len(world.pictures()) == 3
