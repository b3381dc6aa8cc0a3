"""``status``, and ``down``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from encoder.errors import printable
from infra.coverage_words import counted, coverage_counts, coverage_text, scans_behind
from infra.index_server import stop_server
from infra.settings import load_settings
from infra.status import SCANS, SiteStatus, site_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.model_versions import ModelVersion
    from infra.site import Site

TOLD = 20
"""Failures that are told one by one."""

_LABEL_WIDTH = 10
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def tell_status(site: Site, *, as_json: bool) -> int:
    """Tell what a site holds.

    Returns:
        0, or 1 where the live model is missing or damaged.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    found = site_status(site)
    if as_json:
        typer.echo(json.dumps(_as_json(found)))
    else:
        for label, text in _lines(found):
            typer.echo(f"{label:<{_LABEL_WIDTH}}{printable(text)}")
    return 0 if found.model_problem is None else 1


def end_server() -> None:
    """End the embedded index server, if one runs."""
    settings = load_settings()
    if settings.index.address is not None:
        typer.echo(f"the index is a server's ({settings.index.address}): nothing of ours to end")
    elif stop_server(settings.home / "index"):
        typer.echo("the index server has ended; the next command that needs it starts it again")
    else:
        typer.echo("no index server runs")


def model_facts(version: ModelVersion) -> dict[str, Any]:
    """Give what programs are told of a model."""
    return {
        "name": version.bundle_id,
        "encoder": version.encoder,
        "init": version.init,
        "dimension": version.dimension,
        "metric": version.metric.value,
        "published": version.published.isoformat(timespec="seconds"),
        "metrics": dict(version.metrics),
        "provenance": dict(version.provenance),
        "collection": version.collection,
    }


def amount(size: int) -> str:
    """Give a number of bytes for people."""
    if size < 1024:
        return counted(size, "byte")
    power = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1024**power:,.1f} {_UNITS[power - 1]}"


def _lines(found: SiteStatus) -> Iterator[tuple[str, str]]:
    yield "store", found.store
    for part, size in found.sizes.items():
        yield "", f"{part}: {counted(size.objects, 'object')}, {amount(size.bytes)}"
    size_text = "" if found.index_bytes is None else f", {amount(found.index_bytes)}"
    yield "index", f"{found.index}{size_text}"
    if found.model_problem is not None:
        yield "model", found.model_problem
        yield SCANS, counted(found.scans, "object")
    elif found.model is None:
        yield "model", "none is live: `lithoscope ingest PATH --encoder dsnn --init seed:0`"
        yield SCANS, f"{counted(found.scans, 'object')}: none indexed"
    else:
        model = found.model
        told = f"{model.dimension}-d, {model.metric}, published {model.published:%Y-%m-%d}"
        yield "model", f"{model.bundle_id} ({model.init}), {told}"
    if found.coverage is not None:
        yield SCANS, coverage_text(found.coverage)
        if scans_behind(found.coverage):
            yield "", "`lithoscope reconcile` brings the index up to date"
        elif found.coverage.unresolved:
            yield "", "their metadata contradicts itself or can't be read now: mend it"
    for problem in found.problems:
        yield "metadata", f"{problem}; until then no new scan is indexed"
    for note in found.notes:
        yield "metadata", note
    yield from _failures(found)


def _failures(found: SiteStatus) -> Iterator[tuple[str, str]]:
    if not found.failed:
        return
    faults = Counter(record.fault for record in found.failed).most_common()
    kinds = ", ".join(f"{fault} {count:,}" for fault, count in faults)
    yield "failed", f"{counted(len(found.failed), 'scan')}: {kinds}"
    for record in found.failed[:TOLD]:
        yield "", f"{record.object_key}: {record.reason}"
    if len(found.failed) > TOLD:
        more = len(found.failed) - TOLD
        yield "", f"and {more:,} more: `lithoscope quarantine list` tells all"


def _as_json(found: SiteStatus) -> dict[str, Any]:
    return {
        "store": found.store,
        "index": found.index,
        "model": None if found.model is None else model_facts(found.model),
        "model_problem": found.model_problem,
        "scans": found.scans,
        "coverage": None if found.coverage is None else coverage_counts(found.coverage),
        "failed": [
            {"object_key": record.object_key, "fault": record.fault, "reason": record.reason}
            for record in found.failed
        ],
        "metadata_problems": list(found.problems),
        "metadata_notes": list(found.notes),
        "sizes": {part: size._asdict() for part, size in found.sizes.items()},
        "index_bytes": found.index_bytes,
    }
