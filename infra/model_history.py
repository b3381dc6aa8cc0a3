"""Which collections were live before: ``models/history.json``, for going back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from infra.model_versions import ModelRegistryError
from infra.store_errors import ChecksumError, ObjectMissingError, ObjectTooLargeError

if TYPE_CHECKING:
    from infra.object_store import ObjectStore

HISTORY_KEY = "models/history.json"

_KEPT = 100
_BYTES = 1 << 20


class Switch(NamedTuple):
    """A collection that became the live one.

    Attributes:
        collection: Its name.
        at: When, UTC.
    """

    collection: str
    at: datetime


class ModelHistory:
    """Switches of the alias, newest last."""

    def __init__(self, objects: ObjectStore) -> None:
        """Keep it in a store."""
        self._objects = objects

    def collections(self) -> list[str]:
        """Names of the collections that became live, newest last.

        Raises:
            ModelRegistryError: The history is damaged.
        """
        return [switch["collection"] for switch in self._switches()]

    def switches(self) -> list[Switch]:
        """Every switch, newest last.

        Raises:
            ModelRegistryError: The history is damaged.
        """
        return [
            Switch(each["collection"], datetime.fromisoformat(each["at"]).astimezone(UTC))
            for each in self._switches()
        ]

    def note(self, collection: str, *, before: str | None) -> None:
        """Note that a collection became live.

        Args:
            collection: Its name.
            before: The one that was live until now; noted too if its own switch was not.

        Raises:
            ModelRegistryError: The history is damaged.
            StoreError: It can't be stored.
        """
        switches = self._switches()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for name in (before, collection):
            last = switches[-1]["collection"] if switches else None
            if name is not None and name != last:
                switches.append({"collection": name, "at": now})
        text = json.dumps(switches[-_KEPT:], indent=2) + "\n"
        self._objects.put(HISTORY_KEY, text.encode("ascii"))

    def forget(self) -> None:
        """Begin anew."""
        self._objects.delete(HISTORY_KEY)

    def _switches(self) -> list[dict[str, str]]:
        try:
            text = self._objects.read(HISTORY_KEY, max_bytes=_BYTES)
            return _switches_in(json.loads(text))
        except ObjectMissingError:
            return []
        except (
            *(ValueError, TypeError, KeyError, RecursionError),
            *(ChecksumError, ObjectTooLargeError),
        ) as error:
            reason = " ".join(str(error).split())
            raise ModelRegistryError(
                f"{HISTORY_KEY}: damaged ({reason}); remove it: it only tells which models "
                "were live before, and a model can be named instead"
            ) from error


def _switches_in(found: object) -> list[dict[str, str]]:
    if not isinstance(found, list):
        raise TypeError("no list")
    for each in found:
        datetime.fromisoformat(str(each["at"]))
    return [{name: str(each[name]) for name in ("collection", "at")} for each in found]
