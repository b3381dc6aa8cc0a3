"""``lithoscope upload``: copy scans into the bucket; whoever watches it indexes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from encoder.errors import LithoscopeError
from encoder.planes import ReadOptions
from encoder.readers.raw_layout import parse_layout
from infra.settings import load_settings
from infra.site import open_site
from ingest_worker.commands.indexing import INTERRUPTED
from ingest_worker.commands.report import Report, warn
from ingest_worker.commands.taking_in import Intake, take_in

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What ``lithoscope upload`` was asked for.

    Attributes:
        paths: Files and folders.
        library: Folder of the library that the paths belong to; None to look for it.
        raw: Layout of headerless volumes as the user wrote it, or None.
        at_once: Files that are copied at the same time.
        as_json: Print one JSON object.
    """

    paths: tuple[Path, ...]
    library: Path | None
    raw: str | None
    at_once: int
    as_json: bool


def run_upload(request: UploadRequest) -> int:
    """Copy scans into the bucket, and print what was done.

    Returns:
        0 where everything that was named is in the bucket; 1 where something was refused; 130
        after Ctrl-C.

    Raises:
        LithoscopeError: The request can't be carried out, or the store stayed away.
    """
    report = Report("upload", request.as_json)
    layout = None if request.raw is None else parse_layout(request.raw)
    settings = load_settings()
    intake = Intake(
        paths=request.paths,
        library=request.library,
        options=ReadOptions(raw=layout),
        at_once=request.at_once,
    )
    with open_site(settings) as site:
        try:
            keys = take_in(intake, site, report=report)
        except KeyboardInterrupt:
            report.tell_refusals()
            warn(
                "interrupted: every scan is in the bucket whole or not at all, and the same "
                "command goes on"
            )
            return INTERRUPTED
        except LithoscopeError:
            report.tell_refusals()
            raise
    report.tell_refusals()
    report.say(_next_text(settings))
    if request.as_json:
        typer.echo(json.dumps(_told(report, keys)))
    return 1 if report.refused else 0


def _next_text(settings: Settings) -> str:
    if settings.store.kind == "s3":
        return "what is new is indexed by the bucket's workers: `lithoscope status` tells"
    return "`lithoscope reconcile` indexes what is new, and so does a `lithoscope watch` that runs"


def _told(report: Report, keys: set[str]) -> dict[str, object]:
    return {
        "command": report.command,
        "keys": sorted(keys),
        **report.facts,
        "refused": [{"path": each.name, "reason": each.reason} for each in report.refused],
        "notes": report.notes,
    }
