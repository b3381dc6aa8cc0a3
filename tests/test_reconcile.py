from __future__ import annotations

from infra.indexing.records import record_id
from infra.pictures import thumbnail_key
from ingest_site import IngestSite, flat
from ingest_worker.outcomes import Indexed, Rekeyed, Removed

pytest_plugins = ("ingest_site",)

KEYS = tuple(f"scans/E{number % 2}/S{number}/a.png" for number in range(4))


def filled(world: IngestSite) -> IngestSite:
    for number, key in enumerate(KEYS):
        world.put(key, flat(10 * number, 5, 6))
    assert {type(outcome) for outcome in world.reconcile()} == {Indexed}
    assert world.compare_deep().is_complete
    world.encoder.n_encoded = 0
    return world


def test_nothing_is_done_where_nothing_is_to_be_done(world: IngestSite) -> None:
    filled(world)
    world.store.calls.clear()
    assert world.reconcile() == []
    assert world.reconcile(world.compare_deep()) == []
    assert world.encoder.n_encoded == 0


def test_each_difference_is_made_good(world: IngestSite) -> None:
    filled(world)
    new = world.put("scans/E1/S9/new.png", flat(77, 5, 6))
    world.put(KEYS[0], flat(200, 5, 6))
    world.objects.delete(KEYS[1])
    world.put_table(f"object_key,porosity\n{KEYS[2]},0.2\n")
    outcomes = {outcome.object_key: outcome for outcome in world.reconcile()}
    assert outcomes == {
        new: Indexed(object_key=new, n_slices=1),
        KEYS[0]: Indexed(object_key=KEYS[0], n_slices=1),
        KEYS[1]: Removed(object_key=KEYS[1]),
        KEYS[2]: Rekeyed(object_key=KEYS[2]),
    }
    assert world.encoder.n_encoded == 2
    assert world.compare_deep().is_complete


def test_a_renamed_reservoir_moves_its_rows(world: IngestSite) -> None:
    filled(world)
    bucket = world.site.settings.bucket_folder / "scans"
    (bucket / "E0").rename(bucket / "Elsewhere")
    outcomes = world.reconcile()
    assert sum(isinstance(outcome, Removed) for outcome in outcomes) == 2
    assert {record.reservoir for record in world.collection.records()} == {"E1", "Elsewhere"}
    assert world.compare_deep().is_complete


def test_lost_pictures_are_made_again(world: IngestSite) -> None:
    filled(world)
    lost = world.pictures()[2]
    world.objects.delete(lost)
    world.objects.put(world.pictures()[-1], b"")
    assert world.reconcile() == []  # only counting the pictures finds it
    outcomes = world.reconcile(world.compare_deep())
    assert {type(outcome) for outcome in outcomes} == {Indexed}
    assert lost in world.pictures()
    assert world.compare_deep().is_complete


def test_what_no_record_vouches_for_is_swept(world: IngestSite) -> None:
    filled(world)
    ghost = "scans/E9/S9/ghost.png"
    world.put(ghost, flat(90, 5, 6))
    world.ingest(ghost)
    record = world.collection.record(ghost)
    assert record is not None
    # as a worker leaves it that dies before the commit
    world.site.index.store.delete(f"{world.collection.name}_scans", [record_id(ghost)])
    world.objects.delete(ghost)
    deep = world.compare_deep()
    assert deep.uncommitted == (ghost,)
    assert len(deep.orphaned_pictures) == 2
    assert world.reconcile(deep) == []
    assert world.compare_deep().is_complete
    assert len(world.pictures()) == 2 * len(KEYS)


def test_pictures_that_are_owed_by_now_are_not_swept(world: IngestSite) -> None:
    """The comparison saw a picture before its scan was committed."""
    world.put(KEYS[0], flat(1, 2, 3))
    generation = "0" * 32
    world.ingest(KEYS[0])
    record = world.collection.record(KEYS[0])
    assert record is not None
    stray = thumbnail_key(KEYS[0], generation, slice_index=0)
    world.objects.put(stray, b"x")
    world.site.index.store.delete(f"{world.collection.name}_scans", [record_id(KEYS[0])])
    deep = world.compare_deep()
    assert len(deep.orphaned_pictures) == 3
    assert deep.coverage.missing == (KEYS[0],)
    assert world.reconcile(deep) == [Indexed(object_key=KEYS[0], n_slices=1)]
    assert stray not in world.pictures()
    assert len(world.pictures()) == 2
    assert world.compare_deep().is_complete


def test_a_scan_that_lacks_a_row_is_indexed_anew(world: IngestSite) -> None:
    filled(world)
    ((row, _),) = world.collection.slices(KEYS[0])
    world.site.index.store.delete(world.collection.name, [row.row_id])
    assert world.compare_deep().short_of_rows == (KEYS[0],)
    assert world.reconcile(world.compare_deep()) == [Indexed(object_key=KEYS[0], n_slices=1)]
    assert world.compare_deep().is_complete


def test_a_correction_of_a_scan_that_lacks_a_row_indexes_it_anew(world: IngestSite) -> None:
    filled(world)
    ((row, _),) = world.collection.slices(KEYS[0])
    world.site.index.store.delete(world.collection.name, [row.row_id])
    world.put_table(f"object_key,porosity\n{KEYS[0]},0.2\n{KEYS[1]},0.3\n")
    outcomes = {outcome.object_key: outcome for outcome in world.reconcile()}
    assert outcomes == {
        KEYS[0]: Indexed(object_key=KEYS[0], n_slices=1),
        KEYS[1]: Rekeyed(object_key=KEYS[1]),
    }
    assert world.compare_deep().is_complete
