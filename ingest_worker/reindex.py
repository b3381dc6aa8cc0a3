"""Filling a model's collection beside the live one, until it misses nothing that searches find.

The live collection is neither written nor locked: searches and ingest go on with it meanwhile. What
comes into the bucket while the new one is filled is found by comparing again, round by round. What
is filled stays filled: a run that was killed is gone on with by the next one.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infra.bucket_metadata import BucketMetadata
from infra.coverage_words import to_reconcile
from infra.readiness import readiness
from ingest_worker.models import open_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.coverage import Coverage
    from infra.readiness import Readiness
    from ingest_worker.context import IngestContext
    from ingest_worker.models import Target
    from ingest_worker.outcomes import Outcome

ROUNDS = 20
"""Comparisons at most: where scans come faster than they are indexed, there is no last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What a collection has once it was filled.

    Attributes:
        metadata: The bucket's tables at the last comparison.
        readiness: The last comparison, and what a switch would lose.
        rounds: Times that there was something to do.
    """

    metadata: BucketMetadata
    readiness: Readiness
    rounds: int

    @property
    def coverage(self) -> Coverage:
        """The last comparison."""
        return self.readiness.coverage

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """Keys that a switch must wait for, by what is wrong with them."""
        return self.readiness.missing


def fill(target: Target, *, take: Callable[[Iterator[Outcome], int], None]) -> Filling:
    """Fill a collection until a comparison finds nothing more to do, or the same again.

    Args:
        target: What is filled.
        take: Takes outcomes as they come, told their number: once a round.

    Raises:
        LithoscopeError: The model is damaged, or a service stayed away.
    """
    before: set[str] = set()
    rounds = 0
    with ExitStack() as stack:
        context: IngestContext | None = None
        while True:
            metadata = BucketMetadata.read(target.site.objects)
            coverage = target.compare(metadata)
            work = set(to_reconcile(coverage))
            if not work or work == before or rounds == ROUNDS:
                break
            if context is None:
                context = stack.enter_context(open_context(target, metadata))
            context = replace(context, metadata=metadata)
            _work(context, coverage, total=len(work), take=take)
            before = work
            rounds += 1
    ready = readiness(target.site, coverage, collection=target.collection.name)
    return Filling(metadata=metadata, readiness=ready, rounds=rounds)


def _work(
    context: IngestContext,
    coverage: Coverage,
    *,
    total: int,
    take: Callable[[Iterator[Outcome], int], None],
) -> None:
    from ingest_worker.reconcile import reconcile  # noqa: PLC0415  torch

    take(reconcile(context, coverage), total)
