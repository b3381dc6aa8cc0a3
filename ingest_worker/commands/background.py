"""``lithoscope reindex --background``: have the stack fill a collection, and switch to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from encoder.errors import printable
from infra.broker import BrokerAwayError
from infra.rollout import begin_rollout
from infra.settings import load_settings
from infra.site import open_site
from infra.task_names import ROLLOUT
from infra.task_queue import TaskQueue
from ingest_worker.commands.report import Report, warn
from ingest_worker.release import gate_note, newest_released

if TYPE_CHECKING:
    from infra.site import Site


def run_background(model: str | None, *, as_json: bool) -> int:
    """Ask the stack for a rollout, and end at once.

    Args:
        model: A published model; None for the newest that passed the release gate.
        as_json: Print one JSON object.

    Returns:
        0: the stack does the rest.

    Raises:
        LithoscopeError: There is no stack, no such model, or the store or the index is away.
    """
    settings = load_settings()
    report = Report("reindex", as_json)
    with TaskQueue(settings) as queue, open_site(settings) as site:
        version = newest_released(site, report) if model is None else site.models.find(model)
        if note := gate_note(version, _live_name(site)):
            report.notes.append(note)
        rollout = begin_rollout(site, version)
        try:
            queue.request(ROLLOUT)
        except BrokerAwayError as error:  # the timetable sends it as well
            report.notes.append(f"{error}: it begins when the broker is back")
    for note in report.notes:
        warn(f"note: {note}")
    name = version.bundle_id
    report.say(
        printable(
            f"{name} is filled in the background, behind what is uploaded, and goes live when it "
            "misses nothing: `lithoscope status` tells how far it is"
        )
    )
    if as_json:
        told = {"command": "reindex", "model": name, "collection": rollout.collection}
        typer.echo(json.dumps(told | {"is_background": True, "notes": report.notes}))
    return 0


def _live_name(site: Site) -> str | None:
    live = site.index.live()
    versions = site.models.survey().versions
    return next((each.bundle_id for each in versions if each.collection == live), live)
