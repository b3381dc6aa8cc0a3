"""Which model's collection the stack is filling: ``models/rollout.json`` in the bucket.

While it names a collection that is not the live one, that is fed with events and filled with what
it misses, and becomes the live one once a comparison finds nothing missing. Where it names the live
one, that was just switched to, and is being caught up. Done, the object is removed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from encoder.errors import one_line
from infra.model_versions import ModelRegistryError
from infra.store_errors import ChecksumError, ObjectMissingError, ObjectTooLargeError

if TYPE_CHECKING:
    from infra.model_versions import ModelVersion
    from infra.object_store import ObjectStore
    from infra.site import Site

ROLLOUT_KEY = "models/rollout.json"

_BYTES = 1 << 16
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A collection that is being filled.

    Attributes:
        model: Its bundle.
        collection: Its name.
        since: When it was asked for, UTC.
        is_back: Whether that was to go back to it.
    """

    model: str
    collection: str
    since: datetime
    is_back: bool = False


def read_rollout(objects: ObjectStore) -> Rollout | None:
    """What is being filled, or None.

    Raises:
        ModelRegistryError: The object is damaged.
        StoreError: The store is away, or may not be read.
    """
    try:
        found = json.loads(objects.read(ROLLOUT_KEY, max_bytes=_BYTES))
        return Rollout(
            model=str(found["model"]),
            collection=str(found["collection"]),
            since=datetime.fromisoformat(found["since"]).astimezone(UTC),
            is_back=found.get("is_back") is True,
        )
    except ObjectMissingError:
        return None
    except (
        *(ValueError, TypeError, KeyError, RecursionError),
        *(ChecksumError, ObjectTooLargeError),
    ) as error:
        reason = one_line(error)
        raise ModelRegistryError(
            f"{ROLLOUT_KEY}: damaged ({reason}); name the model again: "
            "`lithoscope reindex MODEL --background`, or remove the object to fill none"
        ) from error


def begin_rollout(site: Site, version: ModelVersion) -> Rollout:
    """Have the stack fill a model's collection, and make it live once nothing is missing.

    The collection is made where it is not there, with the columns that are declared.

    Args:
        site: The site.
        version: The model.

    Raises:
        StoreError: It can't be stored.
        VectorIndexError: The index is away, or has the collection with other columns.
    """
    site.index.create(
        version.collection,
        dimension=version.dimension,
        metric=version.metric,
        properties=site.settings.properties,
    )
    return note_rollout(site.objects, version)


def note_rollout(objects: ObjectStore, version: ModelVersion, *, is_back: bool = False) -> Rollout:
    """Note which model the stack is to fill; its collection is there, whichever columns it has.

    A rollout that is under way is given up for this one; what it filled stays.

    Args:
        objects: The bucket.
        version: The model.
        is_back: Whether that is to go back to it.

    Raises:
        StoreError: It can't be stored.
    """
    rollout = Rollout(
        model=version.bundle_id,
        collection=version.collection,
        since=datetime.now(UTC),
        is_back=is_back,
    )
    told = {**asdict(rollout), "since": rollout.since.isoformat()}
    objects.put(ROLLOUT_KEY, json.dumps(told, indent=2).encode("ascii") + b"\n")
    return rollout


def end_rollout(objects: ObjectStore, rollout: Rollout) -> None:
    """Note that a rollout is done, or given up, unless another one took its place.

    One that takes its place between the look and the removal is removed as well: no store that this
    is for removes a certain version only. That is milliseconds, and to ask again mends it.

    Raises:
        StoreError: The store is away, or may not be written.
    """
    if read_rollout(objects) == rollout:
        objects.delete(ROLLOUT_KEY)


def current_rollout(objects: ObjectStore) -> Rollout | None:
    """What is being filled; a damaged object is logged, and counts as none.

    Raises:
        StoreError: The store is away, or may not be read.
    """
    try:
        return read_rollout(objects)
    except ModelRegistryError as error:
        _LOG.error("%s", error)
        return None


def filling_collection(site: Site) -> str | None:
    """Name of the collection that is filled beside the live one, or None.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    rollout = current_rollout(site.objects)
    if rollout is None or rollout.collection == site.index.live():
        return None
    return rollout.collection if rollout.collection in site.index.collections() else None
