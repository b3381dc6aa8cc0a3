"""What became of many objects, counted while it happens."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from encoder.commands.inspection import count_text
from ingest_worker.outcomes import (
    Deferred,
    Indexed,
    Outcome,
    Quarantined,
    Rekeyed,
    Removed,
    Unchanged,
)

OUTCOME_NAMES = {
    Indexed: "indexed",
    Unchanged: "unchanged",
    Rekeyed: "rekeyed",
    Removed: "removed",
    Quarantined: "quarantined",
    Deferred: "deferred",
}
"""What an outcome is called, wherever outcomes are counted."""


@dataclass(slots=True)
class Tally:
    """Counts of outcomes.

    Attributes:
        counts: Number by kind of outcome.
        slices: Slices that were encoded.
        quarantined: Scans that can't be indexed.
        deferred: Scans that are left to the next run.
        seconds: Time that it took so far.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOME_NAMES.values(), 0))
    slices: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[OUTCOME_NAMES[type(outcome)]] += 1
        if isinstance(outcome, Indexed):
            self.slices += outcome.n_slices
        elif isinstance(outcome, Quarantined):
            self.quarantined.append(outcome)
        elif isinstance(outcome, Deferred):
            self.deferred.append(outcome)

    def notes(self) -> list[str]:
        """Say what is left to the next run, and why."""
        return [f"{each.object_key}: not indexed yet: {each.reason}" for each in self.deferred]

    @property
    def seconds(self) -> float:
        """Time since the first count could have been made."""
        return time.monotonic() - self.began

    def counted(self) -> str:
        """Say what was done, in few words."""
        done = [f"{count:,} {name}" for name, count in self.counts.items() if count]
        return ", ".join(done) or "nothing indexed yet"

    def text(self) -> str:
        """Say what was done, in a line."""
        done = {name: count for name, count in self.counts.items() if count}
        indexed = done.pop("indexed", 0)
        done.pop("unchanged", None)
        if not indexed and not done:
            return "nothing to encode: nothing is new or changed"
        seconds = self.seconds
        parts = [f"{count:,} {name}" for name, count in done.items()]
        if not indexed:
            return f"nothing was encoded; {', '.join(parts)} ({seconds:.1f} s)"
        rate = f"{self.slices / max(seconds, 1e-3):.0f} slices/s"
        slices, scans = count_text(self.slices, "slice"), count_text(indexed, "scan")
        done_text = ", ".join([f"encoded {slices} of {scans}", *parts])
        return f"{done_text} ({seconds:.1f} s, {rate})"
