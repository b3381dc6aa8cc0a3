"""``lithoscope reindex``: fill a model's collection while another serves, then switch to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from encoder.commands.inspection import count_text
from encoder.errors import LithoscopeError
from infra.model_versions import ModelRegistryError
from infra.operating import switch_at_once
from infra.readiness import LOST
from infra.settings import load_settings
from infra.site import open_site
from infra.unused_rows import note_on_unused_rows
from ingest_worker.commands.indexing import (
    INTERRUPTED,
    count_outcomes,
    follow_moves,
    quarantined_of,
)
from ingest_worker.commands.report import TOLD, Report, leave_refusals_to_the_report, warn
from ingest_worker.models import open_target
from ingest_worker.reindex import fill
from ingest_worker.release import gate_note, newest_released
from ingest_worker.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.readiness import Readiness
    from infra.site import Site
    from ingest_worker.models import Target
    from ingest_worker.outcomes import Outcome
    from ingest_worker.reindex import Filling


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexRequest:
    """What ``lithoscope reindex`` was asked for.

    Attributes:
        model: A published model; None for the newest that passed the release gate.
        switch: Make it live once it misses nothing.
        allow_missing: Make it live even if it misses something.
        as_json: Print one JSON object.
    """

    model: str | None
    switch: bool
    allow_missing: bool
    as_json: bool


def run_reindex(request: ReindexRequest) -> int:
    """Fill a model's collection, compare, switch to it if it misses nothing, and tell.

    Args:
        request: Which model, and how.

    Returns:
        0 where it misses nothing, or is live as `allow_missing` asks; 1 where something is
        missing; 130 after Ctrl-C.

    Raises:
        LithoscopeError: There is no such model, or a service stayed away.
    """
    report = Report("reindex", request.as_json)
    leave_refusals_to_the_report()
    tally = Tally()
    with open_site(load_settings()) as site:
        target = _target(site, request, report=report)
        try:
            follow_moves(target, report)
            filling = _fill(target, tally)
            may_switch = request.allow_missing or not filling.missing
            if request.switch and not target.is_live and may_switch:
                target = _switched(target)
                report.facts["switched"] = True
                report.say(f"{target.version.bundle_id} is live")
                filling = fill_what_came_since(target, tally, lost=filling.readiness.lost)
        except KeyboardInterrupt:
            warn(
                f"interrupted ({tally.counted()}): every scan is indexed whole or not at all, and "
                "the same command goes on"
            )
            return INTERRUPTED
        tell_filling(target, filling, report=report, tally=tally)
        is_as_asked = target.is_live and request.allow_missing
        return 1 if filling.missing and not is_as_asked else 0


def _target(site: Site, request: ReindexRequest, *, report: Report) -> Target:
    report.facts["switched"] = False
    named = request.model
    version = newest_released(site, report) if named is None else site.models.find(named)
    target = open_target(site, version, adopt=False)
    if request.switch and not target.is_live:
        before = _live_name(site)
        if note := gate_note(version, before):
            report.notes.append(note)
        change = "" if before is None else f" from {before}"
        report.say(f"fills {version.bundle_id}, then switches{change} to it")
    return target


def _live_name(site: Site) -> str | None:
    live = site.index.live()
    try:
        return None if live is None else site.models.of_collection(live).bundle_id
    except ModelRegistryError:  # its bundle is gone or damaged: to switch is the way out
        return live


def _fill(target: Target, tally: Tally) -> Filling:
    def take(outcomes: Iterator[Outcome], total: int) -> None:
        count_outcomes(outcomes, tally, total=total)

    return fill(target, take=take)


def fill_what_came_since(target: Target, tally: Tally, *, lost: Mapping[str, str]) -> Filling:
    """Fill a collection again that was just made live.

    Args:
        target: The collection.
        tally: Where outcomes are counted.
        lost: Why scans were lost by the switch, by key: nothing is left to tell that from.

    Raises:
        LithoscopeError: It is live, but what came since the last comparison is not in it.
    """
    try:
        filling = _fill(target, tally)
    except LithoscopeError as error:
        raise LithoscopeError(
            f"{target.version.bundle_id} is live, but what came since may be missing: {error}; "
            "then `lithoscope reconcile`"
        ) from error
    refused = set(filling.coverage.quarantined)
    still_lost = {key: reason for key, reason in lost.items() if key in refused}
    return replace(filling, readiness=replace(filling.readiness, lost=still_lost))


def _switched(target: Target) -> Target:
    switch_at_once(target.site, target.version)
    return replace(target, is_live=True)


def tell_filling(target: Target, filling: Filling, *, report: Report, tally: Tally) -> None:
    """Tell what a collection has, and every scan that it misses.

    Args:
        target: The collection.
        filling: What is in it.
        report: What else there is to tell.
        tally: What was done.
    """
    missing, lost = filling.missing, filling.readiness.lost
    report.notes += (*filling.metadata.problems, *tally.notes())
    if note := note_on_unused_rows(filling.metadata, filling.coverage):
        report.notes.append(note)
    report.quarantined = [
        each for each in quarantined_of(target.site, filling.coverage) if each.name not in lost
    ]
    report.facts["missing"] = {name: list(keys) for name, keys in missing.items()}
    report.offers_switch = not missing
    report.finish(target, filling.coverage, tally=tally)
    if missing:
        _tell_missing(target, filling.readiness)


def _tell_missing(target: Target, ready: Readiness) -> None:
    former = "the former model" if target.is_live else "the live model"
    told = [
        f"{key}: indexed by {former}, refused by this one: {reason}"
        for key, reason in ready.lost.items()
    ]
    others = {name: keys for name, keys in ready.missing.items() if name != LOST}
    left = [f"{key}: {name}" for name, keys in others.items() for key in keys]
    for line in (*told[:TOLD], *left[:TOLD]):
        warn(line)
    if max(len(told), len(left)) > TOLD:
        warn("and more: see --format json")
    name, number = target.version.bundle_id, count_text(len(told) + len(left), "scan")
    if target.is_live:
        warn(
            f"{name} is live, but {number} can't be found, or not as they are: mend what is told "
            "above, then `lithoscope reconcile`"
        )
        return
    warn(
        f"not switched: {number} would be found no more, or not as they are; mend what is told "
        f"above and run `lithoscope reindex {name}` again, or switch all the same with "
        "--allow-missing"
    )
