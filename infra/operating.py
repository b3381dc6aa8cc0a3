"""What operators do, for commands and pages alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.quarantine import MODEL_FAULTS
from infra.rollout import current_rollout, end_rollout, note_rollout

if TYPE_CHECKING:
    from infra.model_versions import ModelVersion
    from infra.rollout import Rollout
    from infra.site import Site


def switch_at_once(site: Site, version: ModelVersion, *, is_back: bool = False) -> bool:
    """Make a model live, whatever it has indexed.

    On a stack its collection is then caught up. What was being filled until now is given up, before
    the switch: what is cut off in between goes on to the model that was asked for, never back.

    Args:
        site: The site.
        version: The model; it has a collection.
        is_back: Whether that is to go back to it: `ModelRegistry.previous`.

    Returns:
        Whether it is caught up in the background.

    Raises:
        LithoscopeError: It has no collection, or the store or the index is away.
    """
    is_stack = site.settings.broker.url is not None
    if is_stack:
        note_rollout(site.objects, version, is_back=is_back)
    else:
        give_up_rollout(site, besides=version)
    site.models.switch(site.index, version, is_back=is_back)
    return is_stack


def give_up_rollout(site: Site, *, besides: ModelVersion) -> Rollout | None:
    """End what a stack that works on the bucket is filling: it would become live in time.

    Args:
        site: The site.
        besides: The model that is to be, or to stay, live; filling that goes on.

    Returns:
        What was given up, if anything.

    Raises:
        StoreError: The store is away, or may not be written.
    """
    rollout = current_rollout(site.objects)
    if rollout is None or rollout.collection == besides.collection:
        return None
    end_rollout(site.objects, rollout)
    return rollout


def forget_refusals(site: Site, model: str) -> None:
    """Forget which scans a model that indexes nothing any more had faults of its own with.

    Args:
        site: The site.
        model: Its bundle.

    Raises:
        StoreError: The store is away, or may not be written.
    """
    for record in list(site.quarantine.records()):
        if record.fault in MODEL_FAULTS and record.models == (model,):
            site.quarantine.drop_judged(record)


def try_again(site: Site, object_key: str) -> None:
    """Forget that a scan was refused, and how often it was tried: it counts as new.

    Args:
        site: The site.
        object_key: The scan.

    Raises:
        StoreError: The store is away, or may not be written.
    """
    # The record goes last: after a crash in between, the scan is still there to be tried again.
    site.attempts.clear([object_key])
    site.quarantine.drop(object_key)
