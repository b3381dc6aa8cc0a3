"""``lithoscope reconcile``: compare the bucket with the index, and set right what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infra.bucket_metadata import BucketMetadata
from infra.coverage_words import DIFFERENCES
from infra.deep_coverage import compare_deep
from infra.settings import load_settings
from infra.site import open_site
from infra.unused_rows import note_on_unused_rows
from ingest_worker.commands.indexing import INTERRUPTED, count_outcomes, quarantined_of
from ingest_worker.commands.report import (
    TOLD,
    Report,
    leave_refusals_to_the_report,
    warn,
)
from ingest_worker.following import follow, plan_following
from ingest_worker.models import choose_model, open_context, open_target
from ingest_worker.tally import Tally

if TYPE_CHECKING:
    from infra.coverage import Coverage
    from infra.deep_coverage import DeepCoverage
    from infra.site import Site
    from ingest_worker.models import FindWeights, Target

DEEP_DIFFERENCES = ("short_of_rows", "short_of_pictures", "uncommitted", "orphaned_pictures")
"""What a deep comparison finds beside, by the names of `infra.deep_coverage.DeepCoverage`."""

_DEEP_WORDS = {
    "short_of_rows": "short of rows",
    "short_of_pictures": "short of pictures",
    "uncommitted": "with rows that nothing vouches for",
    "orphaned_pictures": "pictures of nothing that is indexed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRequest:
    """What ``lithoscope reconcile`` was asked for.

    Attributes:
        check: Change nothing.
        deep: Count every row and picture.
        model: A published model; None for the live one.
        as_json: Print one JSON object.
    """

    check: bool
    deep: bool
    model: str | None
    as_json: bool


class _Comparison(NamedTuple):
    """What was compared, and how deeply."""

    metadata: BucketMetadata
    coverage: Coverage
    deep: DeepCoverage | None

    @property
    def is_complete(self) -> bool:
        whole = self.coverage if self.deep is None else self.deep
        return whole.is_complete

    @property
    def differences(self) -> dict[str, list[str]]:
        """Keys by what is wrong with them."""
        found = {name: list(getattr(self.coverage, name)) for name in (*DIFFERENCES, "lapsed")}
        if self.deep is not None:
            found |= {name: list(getattr(self.deep, name)) for name in DEEP_DIFFERENCES}
        return found


def run_reconcile(request: ReconcileRequest, *, find_weights: FindWeights) -> int:
    """Compare, set right what differs unless only asked to check, compare again, and tell.

    Args:
        request: How.
        find_weights: Finds an encoder's weights.

    Returns:
        0 where nothing differs: every scan is indexed, or refused as it is now; 1 where something
        does; 130 after Ctrl-C.

    Raises:
        LithoscopeError: No model is live, there is no such model, or a service stayed away.
    """
    report = Report("reconcile", request.as_json)
    leave_refusals_to_the_report()
    tally = None if request.check else Tally()
    with open_site(load_settings()) as site:
        version = (
            choose_model(site, None, init=None, find_weights=find_weights)
            if request.model is None
            else site.models.find(request.model)
        )
        target = open_target(site, version, adopt=not request.check)
        is_guarded = request.deep and not request.check and site.settings.broker.url is not None
        try:
            if is_guarded:
                _sweep_deeply(site)
            found = _compare(site, target, deep=request.deep and not is_guarded)
            following = plan_following(site.objects, found.coverage.moved, metadata=found.metadata)
            if following:
                report.notes.append(following.foretold() if request.check else following.told())
            if tally is not None and any(found.differences.values()):
                found = _follow(site, found)
                _set_right(target, found, tally=tally)
                found = _compare(site, target, deep=request.deep)
            elif is_guarded:
                found = _compare(site, target, deep=True)
        except KeyboardInterrupt:
            done = "" if tally is None else f" ({tally.counted()})"
            warn(
                f"interrupted{done}: every scan is as it was or as it is now, and "
                "`lithoscope reconcile` goes on"
            )
            return INTERRUPTED
        return _finish(target, found, report=report, tally=tally)


def _sweep_deeply(site: Site) -> None:
    """Look through rows and pictures as workers do, who may be writing others just now."""
    from infra.task_queue import TaskQueue  # noqa: PLC0415  not without a broker
    from ingest_worker.deep_sweep import deep_step  # noqa: PLC0415  likewise

    with TaskQueue(site.settings) as queue:
        while not deep_step(site, queue):
            pass


def _compare(site: Site, target: Target, *, deep: bool) -> _Comparison:
    metadata = BucketMetadata.read(site.objects)
    coverage = target.compare(metadata)
    deeper = (
        compare_deep(coverage, target.collection, index=site.index, objects=site.objects)
        if deep
        else None
    )
    return _Comparison(metadata, coverage, deeper)


def _follow(site: Site, found: _Comparison) -> _Comparison:
    """Have tables follow scans before the index forgets where those were."""
    moved, lock = found.coverage.moved, site.library_lock
    if not follow(site.objects, moved, metadata=found.metadata, lock=lock):
        return found
    return found._replace(metadata=BucketMetadata.read(site.objects))


def _set_right(target: Target, found: _Comparison, *, tally: Tally) -> None:
    from ingest_worker.reconcile import reconcile  # noqa: PLC0415  torch

    total = sum(map(len, found.differences.values()))
    with open_context(target, found.metadata) as context:
        outcomes = reconcile(context, found.deep or found.coverage)
        count_outcomes(outcomes, tally, total=total)


def _finish(target: Target, found: _Comparison, *, report: Report, tally: Tally | None) -> int:
    report.notes += found.metadata.problems
    if note := note_on_unused_rows(found.metadata, found.coverage):
        report.notes.append(note)
    report.quarantined = quarantined_of(target.site, found.coverage)
    if tally is not None:
        report.notes += tally.notes()
    for name, keys in found.differences.items():
        for key in keys[:TOLD] if tally is None else ():
            report.say(f"{key}: {name.replace('_', ' ')}")
        if tally is None and len(keys) > TOLD:
            report.say(f"and {len(keys) - TOLD:,} more {name.replace('_', ' ')}")
    if found.deep is not None:
        report.facts["is_deeply_complete"] = found.is_complete
        counts = {name: len(found.differences[name]) for name in DEEP_DIFFERENCES}
        told = [f"{count:,} {_DEEP_WORDS[name]}" for name, count in counts.items() if count]
        report.say(f"every row and picture: {', '.join(told) or 'as it should be'}")
    report.facts["differences"] = found.differences
    report.finish(target, found.coverage, tally=tally)
    return 0 if found.is_complete else 1
