"""Making the index what the bucket says: whatever events were lost, a comparison finds it."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from infra.deep_coverage import DeepCoverage
from infra.indexing.records import record_id
from infra.pictures import PictureKey
from ingest_worker.pipeline import ingest_objects

if TYPE_CHECKING:
    from collections.abc import Generator

    from infra.coverage import Coverage
    from ingest_worker.context import IngestContext
    from ingest_worker.outcomes import Outcome


def reconcile(
    context: IngestContext, coverage: Coverage | DeepCoverage
) -> Generator[Outcome, None, None]:
    """Do what a comparison found to be done.

    A deep one also has scans ingested anew that lack rows or pictures, and removes rows and
    pictures that no scan record vouches for.

    Args:
        context: What ingest needs.
        coverage: What was found.

    Yields:
        What became of each object that something was to be done with.

    Raises:
        LithoscopeError: As `ingest_objects`.
    """
    deep = coverage if isinstance(coverage, DeepCoverage) else DeepCoverage(coverage=coverage)
    plain = deep.coverage
    for key in plain.lapsed:
        context.patience.keep_trying(partial(context.site.quarantine.drop, key))
    yield from ingest_objects(deep.incomplete, context, is_forced=True)
    # Scans that are gone first: what replaces them may have been moved there.
    todo = (plain.orphaned, plain.corrected, plain.changed, plain.stale, plain.missing)
    done = set(deep.incomplete)
    yield from ingest_objects(
        (key for key in chain.from_iterable(todo) if key not in done), context
    )
    _sweep(context, deep)


def _sweep(context: IngestContext, deep: DeepCoverage) -> None:
    """Remove rows and pictures that no record vouches for, not even one made meanwhile."""
    patience, objects = context.patience, context.site.objects
    if deep.uncommitted:
        patience.keep_trying(lambda: context.collection.sweep(deep.uncommitted))
    if deep.orphaned_pictures:
        owed = patience.keep_trying(lambda: _owed(context))
        for key in deep.orphaned_pictures:
            picture = PictureKey.parse(key)
            if picture is not None and (picture.scan, picture.generation) not in owed:
                patience.keep_trying(partial(objects.delete, key))


def _owed(context: IngestContext) -> set[tuple[str, str]]:
    """Record id and generation of every scan of every collection."""
    index = context.site.index
    return {
        (record_id(record.object_key), record.generation)
        for name in index.collections()
        for record in index.open(name).records()
    }
