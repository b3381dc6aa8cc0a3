"""What the commands tell at their end, as text for people or one JSON object for programs."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from encoder.errors import printable
from infra.coverage_words import coverage_counts, coverage_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from infra.coverage import Coverage
    from ingest_worker.models import Target
    from ingest_worker.planning import Refusal
    from ingest_worker.tally import Tally

TOLD = 20
"""Refusals that are told one by one; the list of all is named."""


@dataclass(slots=True)
class Report:
    """What a command has to tell.

    Attributes:
        command: Its name.
        as_json: Whether programs read it.
        facts: Further facts of the command, by name.
        refused: Files that were not taken.
        quarantined: Scans that can't be indexed.
        notes: What is worth telling.
        offers_switch: Whether to say how a model that is not live is made so.
    """

    command: str
    as_json: bool
    facts: dict[str, Any] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    quarantined: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    offers_switch: bool = True

    def say(self, line: str) -> None:
        """Tell a line of the answer to people."""
        if not self.as_json:
            typer.echo(printable(line))

    def finish(self, target: Target, coverage: Coverage, *, tally: Tally | None) -> int:
        """Tell everything.

        Args:
            target: What was compared.
            coverage: The comparison that was made last.
            tally: What was done, or None where nothing was to be.

        Returns:
            The exit code: 0 where everything is indexed, else 1.
        """
        self.tell_refusals()
        if tally is not None:
            self.say(tally.text())
        self.say(coverage_text(coverage))
        self.say(_model_text(target, offers_switch=self.offers_switch))
        if self.as_json:
            self._print_json(target, coverage, tally=tally)
        is_whole = coverage.is_complete and not coverage.quarantined
        return 0 if is_whole and not self.refused else 1

    def tell_refusals(self) -> None:
        """Tell what went wrong, on stderr; programs find it in the object."""
        for note in self.notes:
            warn(f"note: {note}")
        _tell(self.refused, "refused")
        _tell(self.quarantined, "quarantined", more="`lithoscope quarantine list` tells all")

    def _print_json(self, target: Target, coverage: Coverage, *, tally: Tally | None) -> None:
        told: dict[str, Any] = {"command": self.command, "model": target.version.bundle_id}
        told |= {"collection": target.collection.name, "is_live": target.is_live, **self.facts}
        if tally is not None:
            told |= {
                "outcomes": tally.counts,
                "slices_encoded": tally.slices,
                "seconds": round(tally.seconds, 3),
                "deferred": [asdict(each) for each in tally.deferred],
            }
        told["refused"] = [{"path": each.name, "reason": each.reason} for each in self.refused]
        told["quarantined"] = [
            {"object_key": each.name, "reason": each.reason} for each in self.quarantined
        ]
        told["notes"] = self.notes
        told["coverage"] = coverage_counts(coverage)
        typer.echo(json.dumps(told))


def warn(line: str) -> None:
    """Tell a line on stderr."""
    typer.echo(printable(line), err=True)


def leave_refusals_to_the_report() -> None:
    """Keep the log from telling what the command tells itself."""
    logging.getLogger("ingest_worker.refusing").setLevel(logging.ERROR)


def _tell(refusals: Sequence[Refusal], word: str, *, more: str = "see --format json") -> None:
    for each in refusals[:TOLD]:
        warn(f"{each.name}: {word}: {each.reason}")
    if len(refusals) > TOLD:
        warn(f"and {len(refusals) - TOLD:,} more {word}: {more}")


def _model_text(target: Target, *, offers_switch: bool) -> str:
    version = target.version
    told = f"model {version.bundle_id} ({version.init})"
    if target.is_live:
        return f"{told}, live"
    if not offers_switch:
        return f"{told}, not live"
    return f"{told}, not live: `lithoscope models use {version.bundle_id}` makes it so"


def lines(texts: Iterable[str]) -> list[str]:
    """Give each text once, in order."""
    return list(dict.fromkeys(texts))
