"""``models list``, ``use``, ``rollback`` and ``drop``."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from encoder.errors import LithoscopeError, printable
from infra.broker import BrokerError, open_broker
from infra.commands.status import model_facts
from infra.coverage_words import counted, coverage_counts, coverage_text, scans_behind
from infra.model_versions import ModelRegistryError
from infra.operating import forget_refusals, give_up_rollout, switch_at_once
from infra.readiness import readiness
from infra.status import covered, has_index, model_statuses
from infra.sweep_notes import SweepNotes

if TYPE_CHECKING:
    from infra.coverage import Coverage
    from infra.model_versions import ModelVersion
    from infra.readiness import Readiness
    from infra.rollout import Rollout
    from infra.site import Site
    from infra.status import ModelStatus


def tell_models(site: Site, *, as_json: bool) -> int:
    """Tell every published model.

    Returns:
        1 if one is damaged, else 0.
    """
    models, problems = model_statuses(site)
    if as_json:
        told = [
            {
                **model_facts(version),
                "is_live": is_live,
                "coverage": None if coverage is None else coverage_counts(coverage),
            }
            for version, is_live, coverage in models
        ]
        typer.echo(json.dumps({"models": told, "problems": list(problems)}))
    else:
        for model in models:
            typer.echo(_line(model))
        if not models and not problems:
            typer.echo("none is published: `lithoscope ingest PATH --encoder dsnn --init seed:0`")
    for problem in problems:
        typer.echo(printable(problem), err=True)
    return 1 if problems else 0


def use_model(site: Site, ref: str, *, now: bool) -> int:
    """Make a model live, if a switch to it loses nothing that searches find.

    Args:
        site: The site.
        ref: The model, as `ModelRegistry.find` takes it.
        now: Even if it has not.

    Returns:
        0, or 1 where it was not made live.

    Raises:
        LithoscopeError: There is no such model, or it never indexed anything.
    """
    version = site.models.find(ref)
    name = version.bundle_id
    if not has_index(site) or version.collection not in site.index.collections():
        raise ModelRegistryError(f"model {name}: has indexed nothing; {_fill(name)}")
    if site.index.live() == version.collection:
        typer.echo(f"{name} is live already")
        _tell_given_up(give_up_rollout(site, besides=version))
        return 0
    if now:
        _switch_at_once(site, version)
        return 0
    coverage = covered(site, version)
    ready = readiness(site, coverage, collection=version.collection)
    if ready.missing:
        typer.echo(printable(f"{name} {_unready(ready, name)}"), err=True)
        return 1
    given_up = give_up_rollout(site, besides=version)
    switch_at_once(site, version)
    typer.echo(f"{name} is live; {coverage_text(coverage)}")
    _tell_given_up(given_up)
    return 0


def roll_back(site: Site) -> None:
    """Make the former model live again.

    Raises:
        LithoscopeError: There is none.
    """
    version = site.models.previous(site.index) if has_index(site) else None
    if version is None:
        raise ModelRegistryError(
            "no former model was live (what was rolled back from is none): name one of "
            "`lithoscope models list` to `lithoscope models use`"
        )
    _switch_at_once(site, version, is_back=True)


def drop_model(site: Site, ref: str, *, even_live: bool) -> int:
    """Drop what a model has indexed; the model itself stays published.

    Args:
        site: The site.
        ref: The model, as `ModelRegistry.find` takes it.
        even_live: Even if it is live: until scans are indexed again, nothing is found.

    Returns:
        0, or 1 where it is live and stayed as it is.

    Raises:
        LithoscopeError: There is no such model.
    """
    version = site.models.find(ref)
    name = version.bundle_id
    if not has_index(site) or version.collection not in site.index.collections():
        typer.echo(f"{name} has indexed nothing")
        return 0
    if site.index.live() == version.collection and not even_live:
        typer.echo(
            f"{name} is live: use another model first, or drop it all the same with --live",
            err=True,
        )
        return 1
    site.index.drop(version.collection, even_live=even_live)
    _forget_comparisons(site, version.collection)
    forget_refusals(site, name)
    typer.echo(f"what {name} had indexed is dropped; {_fill(name)}")
    return 0


def _tell_given_up(rollout: Rollout | None) -> None:
    if rollout is not None:
        name = rollout.model
        typer.echo(f"{name} is not filled any more: `lithoscope reindex {name} --background`")


def _forget_comparisons(site: Site, collection: str) -> None:
    """Have a stack's status and figures tell no more what was found of a collection."""
    if site.settings.broker.url is None:
        return
    with closing(open_broker(site.settings)) as client:
        try:
            SweepNotes(client).forget(collection)
        except BrokerError as error:
            told = f"note: `lithoscope status` tells of it for some days yet: {error}"
            typer.echo(printable(told), err=True)


def _switch_at_once(site: Site, version: ModelVersion, *, is_back: bool = False) -> None:
    """Switch, and only then compare: whoever is in a hurry waits for no listing.

    On a stack the collection is then caught up; what was being filled until now is given up.
    """
    is_caught_up = switch_at_once(site, version, is_back=is_back)
    typer.echo(f"{version.bundle_id} is live")
    try:
        coverage = covered(site, version)
    except LithoscopeError as error:
        typer.echo(printable(f"note: how far behind it is can't be told: {error}"), err=True)
        return
    typer.echo(coverage_text(coverage))
    if scans_behind(coverage):
        remedy = (
            "it is caught up in the background, as `lithoscope status` tells"
            if is_caught_up
            else "`lithoscope reconcile` brings it up to date"
        )
        typer.echo(f"it is {_behind(coverage)}: {remedy}")


def _line(model: ModelStatus) -> str:
    version, is_live, coverage = model
    if coverage is None:
        filled = "has indexed nothing"
    elif not scans_behind(coverage):
        filled = f"has indexed every scan ({counted(coverage.slices, 'slice')})"
    else:
        filled = _behind(coverage)
    told = f"{version.dimension}-d {version.metric}, published {version.published:%Y-%m-%d}"
    star = "*" if is_live else " "
    return printable(
        f"{star} {version.bundle_id}  {version.init}, {told}, {filled}{', live' if is_live else ''}"
    )


def _unready(ready: Readiness, name: str) -> str:
    parts = []
    if scans_behind(ready.coverage):
        parts.append(f"is {_behind(ready.coverage)}: {_fill(name)}")
    if ready.lost:
        key, reason = next(iter(ready.lost.items()))
        number = counted(len(ready.lost), "scan")
        parts.append(f"refused {number} that the live model has, such as {key} ({reason}): mend it")
    return f"{' and '.join(parts)}, or make it live as it is with --now"


def _behind(coverage: Coverage) -> str:
    return f"{counted(scans_behind(coverage), 'scan')} behind"


def _fill(name: str) -> str:
    return f"fill it by `lithoscope reindex {name}`"
