"""``lithoscope watch``: index what comes into the bucket, as it comes."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from encoder.errors import printable
from infra.bucket_metadata import BucketMetadata
from infra.coverage_words import coverage_counts, coverage_text
from infra.settings import load_settings
from infra.site import open_site
from ingest_worker.commands.report import (
    leave_refusals_to_the_report,
    warn,
)
from ingest_worker.models import choose_model, open_context, open_target
from ingest_worker.outcomes import Indexed, Unchanged
from ingest_worker.tally import Tally
from ingest_worker.watch import FolderSource, IntervalSource, Watcher

if TYPE_CHECKING:
    from infra.coverage import Coverage
    from infra.site import Site
    from ingest_worker.models import FindWeights
    from ingest_worker.outcomes import Outcome
    from ingest_worker.watch import Source

_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What ``lithoscope watch`` was asked for.

    Attributes:
        model: A published model; None for the live one, whichever it is.
        interval: Seconds between two comparisons of an S3 bucket.
        waits: Begin as soon as a model is live, where none is yet.
        as_json: Print one JSON object a line.
    """

    model: str | None
    interval: float
    as_json: bool
    waits: bool = False


def run_watch(request: WatchRequest, *, find_weights: FindWeights) -> int:
    """Keep the index up with the bucket until Ctrl-C.

    Args:
        request: What to watch for.
        find_weights: Finds an encoder's weights.

    Returns:
        0: it ends when it is told to.

    Raises:
        LithoscopeError: No model is live, or the bucket may not be read.
    """
    leave_refusals_to_the_report()
    tally = Tally()
    with open_site(load_settings()) as site:
        try:
            source = _source(site, request)
            while True:
                if request.waits and request.model is None:
                    _wait_for_a_model(site)
                _watch(site, request, source=source, tally=tally, find_weights=find_weights)
                warn("another model is live: going on with that one")
        except KeyboardInterrupt:
            warn(
                f"ended ({tally.counted()}): `lithoscope watch` goes on, and "
                "`lithoscope status` compares"
            )
            return 0


def _wait_for_a_model(site: Site) -> None:
    if site.index.live() is not None:
        return
    warn(
        "no model is live yet; name one to begin with, and what comes is indexed: `lithoscope "
        "ingest PATH --encoder dsnn --init imagenet`"
    )
    while site.index.live() is None:
        time.sleep(_WAIT_SECONDS)


def _watch(
    site: Site,
    request: WatchRequest,
    *,
    source: Source,
    tally: Tally,
    find_weights: FindWeights,
) -> None:
    """Watch for one model, until another one is live."""
    version = choose_model(site, request.model, init=None, find_weights=find_weights)
    target = open_target(site, version)
    metadata = BucketMetadata.read(site.objects)
    for problem in metadata.problems:
        warn(f"note: {problem}")
    with open_context(target, metadata) as context:
        watcher = Watcher(
            target=target,
            context=context,
            source=source,
            stop=threading.Event(),
            on_compared=lambda coverage: _tell_coverage(coverage, as_json=request.as_json),
            on_followed=lambda line: warn(f"note: {line}"),
        )
        for outcome in watcher.outcomes(follow=request.model is None):
            tally.add(outcome)
            _tell_outcome(outcome, as_json=request.as_json)


def _source(site: Site, request: WatchRequest) -> Source:
    settings = site.settings
    if settings.store.kind == "folder":
        warn(f"watching {settings.bucket_folder}; Ctrl-C ends it")
        return FolderSource(settings.bucket_folder)
    warn(
        f"comparing the bucket {settings.store.bucket} every {request.interval:g} s, since it "
        "does not tell of changes; Ctrl-C ends it"
    )
    return IntervalSource(request.interval)


def _tell_outcome(outcome: Outcome, *, as_json: bool) -> None:
    if isinstance(outcome, Unchanged):
        return
    name = type(outcome).__name__.lower()
    if as_json:
        told = {key: value for key, value in asdict(outcome).items() if key != "uploaded"}
        typer.echo(json.dumps({"outcome": name, **told}))
        return
    more = f" ({outcome.n_slices:,} slices)" if isinstance(outcome, Indexed) else ""
    reason = getattr(outcome, "reason", "")
    typer.echo(printable(f"{outcome.object_key}: {name}{more}{reason and f': {reason}'}"))


def _tell_coverage(coverage: Coverage, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"coverage": coverage_counts(coverage)}))
    else:
        typer.echo(coverage_text(coverage))
