"""``lithoscope ingest``: copy scans into the bucket and index them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.commands.inspection import count_text
from encoder.errors import LithoscopeError
from encoder.planes import ReadOptions
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
    warn,
)
from ingest_worker.commands.taking_in import Intake, take_in
from ingest_worker.models import choose_model, open_context, open_target
from ingest_worker.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from infra.coverage import Coverage
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
            intake = Intake(
                paths=request.paths, library=request.library, options=ReadOptions(raw=layout)
            )
            keys = take_in(intake, site, report=report)
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
