"""Which collections were live before: ``models/history.json``, for going back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import one_line
from infra.model_versions import ModelRegistryError
from infra.store_errors import ChecksumError, ObjectMissingError, ObjectTooLargeError

if TYPE_CHECKING:
    from infra.object_store import ObjectStore

HISTORY_KEY = "models/history.json"

_BACK = "back"
"""Of a switch that went back: when, as ``at``."""

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

    def path(self) -> list[str]:
        """Names of the collections that led to the live one, newest last.

        A switch leads on; one that went back leaves all out that came since: so to go back again
        goes further back, and is not undone by it.

        Raises:
            ModelRegistryError: The history is damaged.
        """
        path: list[str] = []
        for switch in self._switches():
            name = switch["collection"]
            if _BACK in switch and name in path:
                path = path[: len(path) - path[::-1].index(name)]
            else:
                path.append(name)
        return path

    def note(self, collection: str, *, before: str | None, is_back: bool = False) -> None:
        """Note that a collection became live.

        Args:
            collection: Its name.
            before: The one that was live until now; noted too if its own switch was not.
            is_back: Whether that was to go back to it.

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
        if is_back and switches:
            switches[-1][_BACK] = now
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
            reason = one_line(error)
            raise ModelRegistryError(
                f"{HISTORY_KEY}: damaged ({reason}); remove it: it only tells which models "
                "were live before, and a model can be named instead"
            ) from error


def _switches_in(found: object) -> list[dict[str, str]]:
    if not isinstance(found, list):
        raise TypeError("no list")
    for each in found:
        datetime.fromisoformat(str(each["at"]))
    return [
        {name: str(each[name]) for name in ("collection", "at")}
        | {name: str(each[name]) for name in (_BACK,) if name in each}
        for each in found
    ]
