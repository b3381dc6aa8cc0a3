"""``lithoscope publish``: a finished run into the registry, if it is no worse than what is live."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, NamedTuple

import typer

from encoder.bundle import load_bundle, save_bundle
from encoder.commands.outputs import unwritable, written_whole
from encoder.errors import printable
from infra.model_versions import FORCED, GATE, GATE_AGAINST, GATE_OUTCOME
from infra.rollout import begin_rollout, current_rollout
from infra.settings import load_settings
from infra.site import open_site
from infra.status import has_index
from trainer.finished_run import FinishedRun, read_run
from trainer.learnt_scans import LEARNT_SCANS, LEARNT_UNTOLD, learnt_entries, untold_start
from trainer.provenance import code_revision, data_fingerprint
from trainer.release_check import Findings, examine
from trainer.release_gate import FIGURES, interval_dict, signed
from trainer.report_tables import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.model_versions import ModelVersion
    from infra.site import Site
    from trainer.bootstrap import Interval

RELEASE_NAME = "release.json"
"""File of the run's folder that tells what the gate found."""

_DRAFT = ".release-"
_ABANDONED_SECONDS = 3600.0
"""Drafts older than this are of publications that were killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """What was asked for.

    Attributes:
        run: Folder of the run.
        data: Where its data is now; None for where it was.
        force: Publish it even if the gate refuses it.
    """

    run: Path
    data: Path | None
    force: bool


class Card(NamedTuple):
    """What a bundle tells of itself beside its weights.

    Attributes:
        provenance: How it came about.
        metrics: Its figures.
    """

    provenance: Mapping[str, str]
    metrics: Mapping[str, float]


def run_publish(request: PublishRequest) -> int:
    """Measure a run, compare it with the live model, and publish it unless that is better.

    Args:
        request: Which run, and how.

    Returns:
        0 where it is published (already); 1 where the gate refuses it.

    Raises:
        LithoscopeError: The run is not finished, its data can't be had, or the site is away.
    """
    run = read_run(request.run, data=request.data)
    with open_site(load_settings()) as site:
        version = _published(site, run)
        if version is not None:
            _mend(site, run, version=version)
            typer.echo(f"{version.bundle_id} is published already")
        else:
            findings = examine(run, site, force=request.force)
            _tell(findings)
            _note_release(run, findings)
            if not findings.verdict.is_open:
                typer.echo(
                    f"{run.manifest.bundle_id} is not published; `--force` publishes it all the "
                    "same",
                    err=True,
                )
                return 1
            version = _publish(site, run, card=_card(run, findings))
            typer.echo(f"{version.bundle_id} is published")
            is_let_through = findings.verdict.outcome != FORCED
            if is_let_through and site.settings.broker.url is not None:
                begin_rollout(site, version)
        typer.echo(_next_step(site, version))
    return 0


def _next_step(site: Site, version: ModelVersion) -> str:
    if has_index(site) and site.index.live() == version.collection:
        return "it is live"
    rollout = current_rollout(site.objects)
    if rollout is not None and rollout.collection == version.collection:
        return "the stack fills it, then makes it live: `lithoscope status` tells how far it is"
    option = "" if site.settings.broker.url is None else " --background"
    return f"next: `lithoscope reindex {version.bundle_id}{option}`"


def _published(site: Site, run: FinishedRun) -> ModelVersion | None:
    versions = site.models.survey().versions
    return next((each for each in versions if each.sha256 == run.manifest.sha256), None)


def _mend(site: Site, run: FinishedRun, *, version: ModelVersion) -> None:
    """Store again what was damaged of a version; its card stays as it is."""
    _publish(site, run, card=Card(version.provenance, version.metrics))


def _tell(findings: Findings) -> None:
    for note in findings.notes:
        typer.echo(printable(f"note: {note}"), err=True)
    if findings.result is not None:
        typer.echo(f"measured on {findings.extent}")
    for line in _figure_lines(findings):
        typer.echo(f"  {line}")
    typer.echo(printable(findings.verdict.text()))


def _figure_lines(findings: Findings) -> list[str]:
    figures, found = findings.figures, []
    live = figures.get(str(findings.verdict.current), {})
    differences = findings.verdict.differences or {}
    for label, interval in figures.get(findings.name, {}).items():
        if not math.isfinite(interval.value):
            continue
        line = f"{FIGURES[label]}: {interval.value:.3f} ({bounds(interval)})"
        if label in differences:
            line += f", live {live[label].value:.3f}, difference {signed(differences[label])}"
        found.append(line)
    return found


def _note_release(run: FinishedRun, findings: Findings) -> None:
    """Write what was found into the run's folder."""
    told = {
        "model": findings.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "measured_on": findings.extent,
        "gate": findings.verdict.to_dict(),
        "notes": list(findings.notes),
        "figures": {
            name: {label: interval_dict(interval) for label, interval in figures.items()}
            for name, figures in findings.figures.items()
        },
    }
    with written_whole(run.folder / RELEASE_NAME) as partial:
        partial.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _card(run: FinishedRun, findings: Findings) -> Card:
    """Provenance and figures of the model's card: the run's own, and what was found."""
    told = run.manifest.provenance
    if LEARNT_SCANS not in told:  # a run of a former release
        before = {LEARNT_UNTOLD: untold_start(told)}
        told = told | learnt_entries(findings.slices, findings.split, before=before)
    provenance = {
        **told,
        "split": run.split_fingerprint(),
        "measured_on": f"{findings.extent}, of the test part of the run's data",
        "measured_by": code_revision(),
        "measured_data": data_fingerprint(findings.slices),
        GATE: findings.verdict.text(),
        GATE_OUTCOME: findings.verdict.outcome,
        GATE_AGAINST: findings.verdict.compared_with,
        "notes": "; ".join(findings.notes),
    }
    metrics = dict(run.manifest.metrics)
    for label, interval in findings.figures.get(findings.name, {}).items():
        metrics |= _named(f"test_{label}", interval)
    for label, difference in (findings.verdict.differences or {}).items():
        metrics |= _named(f"difference_{label}", difference)
    return Card(provenance, metrics)


def _named(name: str, interval: Interval) -> dict[str, float]:
    names = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
    told = interval_dict(interval)
    return {names[end]: value for end, value in told.items() if value is not None}


def _publish(site: Site, run: FinishedRun, *, card: Card) -> ModelVersion:
    """Publish the run's weights with a card; the run's own bundle stays as it is."""
    folder = _draft_folder(run.folder)
    try:
        encoder = load_bundle(run.bundle)
        save_bundle(folder / "bundle", encoder, provenance=card.provenance, metrics=card.metrics)
        return site.models.publish(folder / "bundle")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _draft_folder(folder: Path) -> Path:
    """Make a folder for what is published; those of publications that were killed go."""
    for left in folder.glob(f"{_DRAFT}*"):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    try:
        return Path(mkdtemp(prefix=_DRAFT, dir=folder))
    except OSError as error:
        raise unwritable(folder, error) from error
