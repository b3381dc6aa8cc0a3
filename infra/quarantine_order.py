"""Quarantine records in the order of scans' keys, for a comparison that goes through both.

A record's key is its scan's, with something before and after it: so their orders are nearly the
same. Only a scan whose key is the beginning of another's (``a`` of ``a b``) may come after it; the
few that this may be true of are asked for by their key, as are those that are kept under a hash.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from infra.quarantine import QUARANTINE_PREFIX, has_own_key
from infra.store_keys import key_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.coverage_cases import Looks
    from infra.quarantine import Kept, Quarantine, QuarantineRecord

Refused = dict[str, "QuarantineRecord"]
"""Quarantine records by object key."""


class Refusals:
    """The quarantine records of a comparison, read along with the objects."""

    def __init__(
        self, quarantine: Quarantine, looks: Looks, *, prefix: str, start_after: str
    ) -> None:
        """Begin.

        Args:
            quarantine: The records.
            looks: Tells what is there.
            prefix: What the keys begin with that are compared.
            start_after: Key that the comparison begins after.
        """
        self._quarantine = quarantine
        self._looks = looks
        self._prefix = prefix
        self._pages = quarantine.pages(prefix, start_after=start_after)
        self._read: deque[Kept] = deque()
        self._has_hashed = any(map(bool, quarantine.hashed_pages(prefix)))

    def of(self, keys: Sequence[str], *, after: str, up_to: str | None) -> tuple[Refused, Refused]:
        """Find the records of a part.

        Args:
            keys: Its objects.
            after: Key that it comes after.
            up_to: Its last key, or None.

        Returns:
            Records of its objects, and those of others between these keys.
        """
        listed = frozenset(keys)
        refused: Refused = {}
        loose: Refused = {}
        late: Refused = {}
        for record in self._until(up_to):
            key = record.object_key
            if key in listed:
                refused[key] = record
            elif key_bytes(key) <= key_bytes(after):
                late[key] = record
            else:
                loose[key] = record
        for key in self._asked_for(keys, up_to):
            if (found := self._quarantine.get(key)) is not None:
                refused[key] = found
        # One that is late was asked for with its object, if that is there.
        there = {entry.key for entry in self._looks.unlisted(sorted(late))} if late else set()
        loose |= {key: record for key, record in late.items() if key not in there}
        return refused, loose

    def absent(self, loose: Refused, *, is_last: bool) -> Iterator[Refused]:
        """Give the records of what was refused and is not there any more.

        Args:
            loose: What is left of `of`.
            is_last: Whether no more parts come.
        """
        yield dict(sorted(loose.items()))
        if not (is_last and self._has_hashed):
            return
        for page in self._quarantine.hashed_pages(self._prefix):
            hashed = {kept.record.object_key: kept.record for kept in page}
            there = {entry.key for entry in self._looks.unlisted(sorted(hashed))}
            yield {key: record for key, record in sorted(hashed.items()) if key not in there}

    def _until(self, up_to: str | None) -> Iterator[QuarantineRecord]:
        bound = None if up_to is None else key_bytes(f"{QUARANTINE_PREFIX}{up_to}")
        while True:
            while not self._read:
                page = next(self._pages, None)
                if page is None:
                    return
                self._read.extend(page)
            if bound is not None and key_bytes(self._read[0].key) > bound:
                return
            yield self._read.popleft().record

    def _asked_for(self, keys: Sequence[str], up_to: str | None) -> Iterator[str]:
        for key in keys:
            is_beginning = up_to is not None and up_to.startswith(key)
            if is_beginning or (self._has_hashed and not has_own_key(key)):
                yield key
