"""From keys to outcomes, with a bar that shows how far it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from encoder.progress import progress_bar
from ingest_worker.planning import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.coverage import Coverage
    from infra.site import Site
    from ingest_worker.outcomes import Outcome
    from ingest_worker.tally import Tally

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell's."""

_TO_DO = ("missing", "changed", "stale", "corrected", "orphaned")


def to_do(coverage: Coverage, keys: Iterable[str] | None = None) -> list[str]:
    """Keys of what a comparison says is to be done.

    Args:
        coverage: The comparison.
        keys: Only these; None for all.
    """
    wanted = None if keys is None else set(keys)
    found = (key for name in _TO_DO for key in getattr(coverage, name))
    return [key for key in found if wanted is None or key in wanted]


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
