"""From keys to outcomes, with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from encoder.progress import progress_bar
from infra.bucket_metadata import BucketMetadata
from infra.coverage_words import to_reconcile
from ingest_worker.following import follow, names_what_is_gone
from ingest_worker.planning import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.coverage import Coverage
    from infra.site import Site
    from ingest_worker.commands.report import Report
    from ingest_worker.models import Target
    from ingest_worker.outcomes import Outcome
    from ingest_worker.tally import Tally

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell's."""


def to_do(coverage: Coverage, keys: Iterable[str] | None = None) -> list[str]:
    """Keys of what a comparison says is to be done.

    Args:
        coverage: The comparison.
        keys: Only these; None for all.
    """
    wanted = None if keys is None else set(keys)
    return [key for key in to_reconcile(coverage) if wanted is None or key in wanted]


def count_outcomes(outcomes: Iterator[Outcome], tally: Tally, *, total: int) -> None:
    """Go through outcomes as they come; whatever ends that ends the work behind them.

    Args:
        outcomes: From the pipeline, which works while they are taken.
        tally: Where they are counted, even if an error ends it.
        total: Number of them.
    """
    try:
        with progress_bar() as progress:
            bar = progress.add_task("Indexing scans", total=total)
            for outcome in outcomes:
                tally.add(outcome)
                progress.advance(bar)
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()


def quarantined_of(
    site: Site, coverage: Coverage, *, keys: Iterable[str] | None = None
) -> list[Refusal]:
    """Say why scans are quarantined.

    Args:
        site: The site.
        coverage: The comparison that found them.
        keys: Only these; None for all.
    """
    wanted = None if keys is None else set(keys)
    return [
        Refusal(key, f"{record.fault}: {record.reason}")
        for key in coverage.quarantined
        if (wanted is None or key in wanted) and (record := site.quarantine.get(key)) is not None
    ]


def follow_moves(target: Target, report: Report) -> None:
    """Have tables follow scans that were moved, before those are compared with the libraries.

    Where the scans were is asked of the live collection: another one may be new.

    Args:
        target: What is about to be filled.
        report: Is told what follows.

    Raises:
        LithoscopeError: The store or the index is away, or may not be written.
    """
    site, objects, index = target.site, target.site.objects, target.site.index
    if not names_what_is_gone(objects):
        return
    metadata = BucketMetadata.read(objects)
    live = replace(target, collection=index.open(index.live() or target.collection.name))
    moved = live.compare(metadata).moved
    if following := follow(objects, moved, metadata=metadata, lock=site.library_lock):
        report.notes.append(following.told())
