"""Which published model ``reindex`` takes where none is named: one that people meant to be live.

Not all that is published is meant so: an encoder's untrained start is, so that its vectors can be
told from others, and a model that was rolled back from stays where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
from infra.model_versions import FORCED, GATE, GATE_AGAINST, GATE_OUTCOME

if TYPE_CHECKING:
    from infra.model_versions import ModelVersion
    from infra.site import Site
    from ingest_worker.commands.report import Report


def newest_released(site: Site, report: Report) -> ModelVersion:
    """Choose the newest model that passed the release gate and was not left for another.

    Args:
        site: The site.
        report: Is told of newer ones that are passed over.

    Raises:
        LithoscopeError: There is none: one has to be named.
    """
    survey = site.models.survey()
    report.notes += survey.problems
    if not survey.versions:
        raise LithoscopeError(
            "no model is published yet: publish a run (`lithoscope publish RUN`), or begin with an "
            "encoder as it is (`lithoscope ingest PATH --encoder dsnn --init imagenet`)"
        )
    left = site.models.left(site.index)
    for version in reversed(survey.versions):
        if reason := _passed_over(version, left=left):
            report.notes.append(
                f"{version.bundle_id}: passed over: {reason}; to take it all the same, name it: "
                f"`lithoscope reindex {version.bundle_id}`"
            )
        else:
            return version
    names = ", ".join(version.bundle_id for version in survey.versions)
    raise LithoscopeError(
        "no published model passed the release gate without being left for another since; name "
        f"the one to index with: {names}"
    )


def gate_note(version: ModelVersion, live: str | None) -> str | None:
    """Say what a model's gate did not compare it with.

    Args:
        version: The model.
        live: The one that is live; None if none is.
    """
    if live is None or live == version.bundle_id:
        return None
    if GATE not in version.provenance:
        return f"{version.bundle_id}: no release gate compared it with {live}, which is live"
    compared = version.provenance.get(GATE_AGAINST)
    if compared is None:
        return (
            f"{version.bundle_id}: its card does not name the model that its release gate compared "
            f"it with; {live} is live"
        )
    if compared == live:
        return None
    return (
        f"{version.bundle_id}: its release gate compared it with {compared or 'no model'}, not "
        f"with {live}, which is live now"
    )


def _passed_over(version: ModelVersion, *, left: frozenset[str]) -> str | None:
    if GATE not in version.provenance:
        return "no release gate measured it"
    if version.provenance.get(GATE_OUTCOME) == FORCED:
        return "the release gate refused it, and it was published by force"
    if version.collection in left:
        return "it was live, and was left for another model"
    return None
