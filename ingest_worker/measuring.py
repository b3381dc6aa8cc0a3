"""Outcomes as metrics: the one place where a worker counts what became of objects."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from infra import metrics
from infra.quarantine import CRASH_FAULT
from ingest_worker.outcomes import Indexed, Quarantined
from ingest_worker.tally import OUTCOME_NAMES

if TYPE_CHECKING:
    from collections.abc import Generator

    from ingest_worker.outcomes import Outcome

# what is not told before it happens seems to Prometheus to have been so all along
for _name in OUTCOME_NAMES.values():
    metrics.OBJECTS.labels(_name)
metrics.FAULTS.labels(CRASH_FAULT)


def measured(
    outcomes: Generator[Outcome, None, None], *, is_fresh: bool
) -> Generator[Outcome, None, None]:
    """Count outcomes while they are gone through.

    Args:
        outcomes: From the pipeline, whose work ends when this is closed.
        is_fresh: Whether they tell how soon an upload can be searched: those of the live
            collection do, what fills another one is as old as the bucket.

    Yields:
        The outcomes.
    """
    with closing(outcomes):
        for outcome in outcomes:
            count_outcome(outcome, is_fresh=is_fresh)
            yield outcome


def count_outcome(outcome: Outcome, *, is_fresh: bool) -> None:
    """Count one outcome, as soon as it is settled; see `measured`."""
    metrics.OBJECTS.labels(OUTCOME_NAMES[type(outcome)]).inc()
    match outcome:
        case Indexed():
            metrics.SLICES.inc(outcome.n_slices)
            if is_fresh and outcome.uploaded is not None:
                waited = time.time() - outcome.uploaded.timestamp()
                metrics.SEARCHABLE_SECONDS.observe(max(waited, 0.0))
        case Quarantined():
            metrics.FAULTS.labels(outcome.fault).inc()
        case _:
            pass
