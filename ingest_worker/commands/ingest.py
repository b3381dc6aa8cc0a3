"""``lithoscope ingest``: copy scans into the bucket and index them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.commands.inspection import count_text
from encoder.errors import LithoscopeError
from encoder.planes import ReadOptions
from encoder.progress import progress_bar
from encoder.readers.raw_layout import parse_layout
from infra.bucket_metadata import BucketMetadata
from infra.settings import load_settings
from infra.site import open_site
from infra.unused_rows import note_on_unused_rows
from ingest_worker.commands.indexing import (
    INTERRUPTED,
    count_outcomes,
    follow_moves,
    quarantined_of,
    to_do,
)
from ingest_worker.commands.report import (
    Report,
    leave_refusals_to_the_report,
    lines,
    warn,
)
from ingest_worker.models import choose_model, open_context, open_target
from ingest_worker.planning import Plan, Refusal, plan_scans, prefix_inside
from ingest_worker.tally import Tally
from ingest_worker.upload import Bucket, Upload, upload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from infra.coverage import Coverage
    from infra.site import Site
    from ingest_worker.models import FindWeights, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What ``lithoscope ingest`` was asked for.

    Attributes:
        paths: Files and folders.
        encoder: Name of an encoder or published model; None for the live one.
        init: Where its weights come from, or None.
        library: Folder of the library that the paths belong to; None to look for it.
        raw: Layout of headerless volumes as the user wrote it, or None.
        as_json: Print one JSON object.
    """

    paths: tuple[Path, ...]
    encoder: str | None
    init: str | None
    library: Path | None
    raw: str | None
    as_json: bool


def run_ingest(request: IngestRequest, *, find_weights: FindWeights) -> int:
    """Copy scans into the bucket, index them, compare, and print what was found.

    Args:
        request: What to ingest, with what.
        find_weights: Finds an encoder's weights.

    Returns:
        0 where everything in the bucket is indexed; 1 where something was refused, is
        quarantined or differs; 130 after Ctrl-C.

    Raises:
        LithoscopeError: The request can't be carried out, or a service stayed away.
    """
    report = Report("ingest", request.as_json)
    leave_refusals_to_the_report()
    tally = Tally()
    with open_site(load_settings()) as site:
        try:
            layout = None if request.raw is None else parse_layout(request.raw)
            version = choose_model(
                site, request.encoder, init=request.init, find_weights=find_weights
            )
            target = open_target(site, version)
            follow_moves(target, report)
            keys = _take_in(request, site, options=ReadOptions(raw=layout), report=report)
            tally = Tally()
            coverage = _index(target, keys, report=report, tally=tally)
        except KeyboardInterrupt:
            report.tell_refusals()
            warn(
                f"interrupted ({tally.counted()}): every scan is indexed whole or not at all, and "
                "the same command goes on"
            )
            return INTERRUPTED
        except LithoscopeError:
            report.tell_refusals()
            raise
        return report.finish(target, coverage, tally=tally)


def _take_in(
    request: IngestRequest, site: Site, *, options: ReadOptions, report: Report
) -> set[str]:
    """Copy what is not in the bucket yet.

    Returns:
        Keys of what was named, and of what it replaces.
    """
    inside, outside = _sorted_paths(request.paths, site)
    keys = {key for prefix in inside for key in _keys_below(site, prefix, report=report)}
    if not outside:
        return keys
    plan = plan_scans(outside, options, library=request.library)
    done = _upload(plan, site)
    report.notes += lines((*plan.notes, *done.notes))
    report.refused += (*plan.refused, *done.refused)
    report.facts["files"] = {
        "copied": done.copied,
        "unchanged": done.unchanged,
        "moved": len(done.moved),
        "refused": len(report.refused),
    }
    report.say(_copied_text(done, len(report.refused)))
    return {*keys, *done.keys, *done.moved}


def _upload(plan: Plan, site: Site) -> Upload:
    bucket = Bucket(
        objects=site.objects,
        cache=site.settings.home / "cache",
        lock=site.library_lock,
        forget=lambda key: _forget(site, key),
    )
    with progress_bar() as progress:
        bar = progress.add_task("Copying scans", total=len(plan.scans))
        return upload(plan.scans, bucket, tick=lambda: progress.advance(bar))


def _forget(site: Site, key: str) -> None:
    """Let go of all that was made of an object's bytes, which mean something else now."""
    for name in site.index.collections():
        site.index.open(name).remove([key])
    site.quarantine.drop(key)
    site.attempts.clear([key])


def _sorted_paths(paths: Iterable[Path], site: Site) -> tuple[list[str], list[Path]]:
    """Tell what lies in the bucket's own folder, by its prefix, from what is to be copied."""
    inside, outside = [], []
    for path in paths:
        is_folder = site.settings.store.kind == "folder"
        prefix = prefix_inside(path, site.settings.bucket_folder) if is_folder else None
        if prefix is None:
            outside.append(path)
        else:
            inside.append(prefix)
    return inside, outside


def _keys_below(site: Site, prefix: str, *, report: Report) -> list[str]:
    is_folder = prefix.endswith("/")
    listed = [entry.key for page in site.objects.pages(prefix) for entry in page]
    keys = [key for key in listed if is_folder or key == prefix]
    if not keys:
        report.refused.append(Refusal(prefix, "no such scan in the bucket; check its path"))
    return keys


def _index(target: Target, keys: set[str], *, report: Report, tally: Tally) -> Coverage:
    """Index what a comparison says is to be done of some keys, and compare again."""
    site = target.site
    metadata = BucketMetadata.read(site.objects)
    report.notes += metadata.problems
    coverage = target.compare(metadata)
    if work := to_do(coverage, keys):
        from ingest_worker.pipeline import ingest_objects  # noqa: PLC0415  torch

        with open_context(target, metadata) as context:
            count_outcomes(ingest_objects(work, context), tally, total=len(work))
        coverage = target.compare(metadata)
    report.quarantined = quarantined_of(site, coverage, keys=keys)
    report.notes += tally.notes()
    if note := note_on_unused_rows(metadata, coverage):
        report.notes.append(note)
    if others := set(to_do(coverage)) - keys:
        report.notes.append(
            f"{count_text(len(others), 'other scan')} of the bucket: not indexed as it is now; "
            "`lithoscope reconcile` does that"
        )
    return coverage


def _copied_text(done: Upload, refused: int) -> str:
    was = "was" if done.unchanged == 1 else "were"
    parts = [f"copied {count_text(done.copied, 'scan')}", f"{done.unchanged:,} {was} there already"]
    if done.moved:
        parts.append(f"{len(done.moved):,} moved to another key")
    if refused:
        parts.append(f"{refused:,} refused")
    return ", ".join(parts)
