"""The models of a site for people: which is live, what is known of each, and going back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.commands.rollout_status import rollout_progress
from infra.model_versions import ModelRegistryError
from infra.operating import switch_at_once
from infra.status import has_index

if TYPE_CHECKING:
    from datetime import datetime

    from infra.commands.rollout_status import RolloutProgress
    from infra.model_versions import ModelVersion
    from infra.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A published model.

    Attributes:
        version: The model.
        is_live: Whether searches ask it.
        scans: Scans that it has indexed; None where it never indexed any.
    """

    version: ModelVersion
    is_live: bool
    scans: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchFact:
    """A model that became live.

    Attributes:
        model: The bundle, or its collection where it is not published any more.
        at: When, UTC.
    """

    model: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """The models of a site.

    Attributes:
        live: The live one; None where none is, or it can't be told.
        entries: Every published one, newest first.
        history: Which became live when, newest first.
        former: The one that a rollback makes live; None where there is none.
        rollout: How far the one is that is being filled or caught up; None where none is.
        problems: What is wrong, one line each.
    """

    live: ModelVersion | None
    entries: tuple[ModelEntry, ...]
    history: tuple[SwitchFact, ...]
    former: ModelVersion | None
    rollout: RolloutProgress | None
    problems: tuple[str, ...]


def model_state(site: Site) -> ModelState:
    """Look at the models.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    survey = site.models.survey()
    problems = list(survey.problems)
    there = set(site.index.collections()) if has_index(site) else set()
    name = site.index.live() if there else None
    entries = tuple(
        ModelEntry(
            version=each,
            is_live=each.collection == name,
            scans=site.index.open(each.collection).count_scans()
            if each.collection in there
            else None,
        )
        for each in reversed(survey.versions)
    )
    live = next((each.version for each in entries if each.is_live), None)
    if name is not None and live is None:
        problems.append(
            f"the live collection {name} is of a model that is not published (any more); publish "
            "it again, or choose another model"
        )
    history: tuple[SwitchFact, ...] = ()
    former = None
    try:
        history = _history(site, entries)
        former = site.models.previous(site.index) if name is not None else None
    except ModelRegistryError as error:
        problems.append(str(error))
    return ModelState(
        live=live,
        entries=entries,
        history=history,
        former=former,
        rollout=rollout_progress(site) if there else None,
        problems=tuple(problems),
    )


def make_live(
    site: Site, version: ModelVersion, *, expected: str | None, is_back: bool = False
) -> bool:
    """Make a model live at once, as somebody chose who looked at the page.

    Args:
        site: The site.
        version: The model; it has indexed something.
        expected: The bundle that was live when it was chosen; None where none was.
        is_back: Whether that is to go back to it: `ModelRegistry.previous`.

    Returns:
        Whether workers catch it up in the background; else a watcher does, or nobody.

    Raises:
        ModelRegistryError: Another model became live meanwhile, or it has indexed nothing.
        LithoscopeError: The store or the index is away.
    """
    found = model_state(site)
    now = None if found.live is None else found.live.bundle_id
    if now != expected:
        raise ModelRegistryError(
            f"{now or 'no model'} is live by now, not {expected or 'none'} as when you chose; look "
            "again, and choose again"
        )
    if version.collection not in site.index.collections():
        raise ModelRegistryError(
            f"{version.bundle_id} has indexed nothing; fill it by `lithoscope reindex "
            f"{version.bundle_id}`"
        )
    return switch_at_once(site, version, is_back=is_back)


def _history(site: Site, entries: tuple[ModelEntry, ...]) -> tuple[SwitchFact, ...]:
    names = {each.version.collection: each.version.bundle_id for each in entries}
    return tuple(
        SwitchFact(model=names.get(each.collection, each.collection), at=each.at)
        for each in reversed(site.models.switches())
    )
