"""Copying what a user named into the bucket: what ``ingest`` and ``upload`` begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.commands.inspection import count_text
from encoder.progress import progress_bar
from ingest_worker.commands.report import lines
from ingest_worker.patience import Patience
from ingest_worker.planning import Plan, Refusal, plan_scans, prefix_inside
from ingest_worker.upload import COPIES_AT_ONCE, Bucket, Upload, upload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from encoder.planes import ReadOptions
    from infra.site import Site
    from ingest_worker.commands.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What is to be in the bucket.

    Attributes:
        paths: Files and folders.
        library: Folder of the library that they belong to; None to look for it.
        options: Layout of headerless volumes, if the user told one.
        at_once: Files that are copied at the same time.
    """

    paths: tuple[Path, ...]
    library: Path | None
    options: ReadOptions
    at_once: int = COPIES_AT_ONCE


def take_in(intake: Intake, site: Site, *, report: Report) -> set[str]:
    """Copy what is not in the bucket yet.

    Args:
        intake: What was named.
        site: Where it goes.
        report: Is told what was done, and what was not.

    Returns:
        Keys of what was named, and of what it replaces.

    Raises:
        LithoscopeError: A path can't be taken, or the store stayed away: what was copied stays,
            and the same call goes on.
    """
    inside, outside = _sorted_paths(intake.paths, site)
    keys = {key for prefix in inside for key in _keys_below(site, prefix, report=report)}
    if not outside:
        return keys
    plan = plan_scans(outside, intake.options, library=intake.library)
    bucket = Bucket(
        objects=site.objects,
        cache=site.settings.home / "cache",
        lock=site.library_lock,
        patience=Patience(),
        at_once=intake.at_once,
    )
    done = _upload(plan, bucket)
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


def _upload(plan: Plan, bucket: Bucket) -> Upload:
    with progress_bar() as progress:
        bar = progress.add_task("Copying scans", total=len(plan.scans))
        return upload(plan.scans, bucket, tick=lambda: progress.advance(bar))


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


def _copied_text(done: Upload, refused: int) -> str:
    was = "was" if done.unchanged == 1 else "were"
    parts = [f"copied {count_text(done.copied, 'scan')}", f"{done.unchanged:,} {was} there already"]
    if done.moved:
        parts.append(f"{len(done.moved):,} moved to another key")
    if refused:
        parts.append(f"{refused:,} refused")
    return ", ".join(parts)
