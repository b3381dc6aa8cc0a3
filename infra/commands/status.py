"""``status``, and ``down``."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from encoder.errors import printable
from infra.commands.rollout_status import rollout_progress
from infra.commands.stack_status import look_at_stack, stack_facts, stack_lines
from infra.coverage_words import counted, coverage_counts, coverage_text, scans_behind
from infra.index_server import stop_server
from infra.settings import load_settings
from infra.site import open_site
from infra.status import SCANS, SiteStatus, site_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from infra.commands.stack_status import StackFound
    from infra.model_versions import ModelVersion
    from infra.site import Site

TOLD = 20
"""Failures that are told one by one."""

_LABEL_WIDTH = 10
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def run_status(*, as_json: bool) -> int:
    """Tell what goes on, where there is a stack, and what the site holds.

    Returns:
        0, or 1 where the live model can't be told, or the broker does not answer.

    Raises:
        LithoscopeError: The store or the index is away; what goes on was told before.
    """
    settings = load_settings()
    stack = look_at_stack(settings)
    if stack is not None and not as_json:
        _print(stack_lines(stack))
    with open_site(settings) as site:
        code = tell_status(site, as_json=as_json, stack=stack)
    return 1 if stack is not None and stack.problem is not None else code


def tell_status(site: Site, *, as_json: bool, stack: StackFound | None = None) -> int:
    """Tell what a site holds.

    Args:
        site: The site.
        as_json: Print one JSON object.
        stack: What goes on, for that object.

    Returns:
        0, or 1 where the live model is missing or damaged.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    found = site_status(site)
    rollout = None if stack is None else rollout_progress(site)
    if as_json:
        progress = None if rollout is None else rollout.facts()
        told = {"stack": stack_facts(stack), "rollout": progress}
        typer.echo(json.dumps(_as_json(found) | told))
    else:
        _print(_lines(found))
        if rollout is not None:
            _print([("rollout", rollout.text(found.scans))])
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


def _print(lines: Iterable[tuple[str, str]]) -> None:
    for label, text in lines:
        typer.echo(f"{label:<{_LABEL_WIDTH}}{printable(text)}")


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
