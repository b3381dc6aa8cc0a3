"""Scans that were moved by hand: their content is at another key than it was indexed under."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from encoder.object_keys import ObjectKey, ObjectKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NameOf = tuple[str | None, ...]


def find_moves(gone: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Pair scans that are gone with objects of the same content that nothing is known of.

    A content that one scan had and one object has was moved, whatever its names are. Where
    several have it, only those are paired that are told apart by the names that a renamed folder
    leaves alone: by sample and path below it, by reservoir and path, by path, by the file's name.

    Args:
        gone: Etags of scans whose object is gone, by key.
        new: Etags of objects that are not indexed, by key.

    Returns:
        New keys by former ones. Keys that are no scan's (`ObjectKey.parse`) are in no pair.
    """
    if not gone or not new:
        return {}
    former = _by_etag(gone)
    now = _by_etag({key: etag for key, etag in new.items() if etag in former})
    return {
        key: there
        for etag, keys in former.items()
        if etag in now
        for key, there in _pairs(keys, now[etag]).items()
    }


def _by_etag(etags: Mapping[str, str]) -> dict[str, dict[str, ObjectKey]]:
    found: dict[str, dict[str, ObjectKey]] = defaultdict(dict)
    for key, etag in etags.items():
        try:
            place = ObjectKey.parse(key)
        except ObjectKeyError:  # it is never indexed under such a key
            continue
        if etag:
            found[etag][key] = place
    return found


def _pairs(former: dict[str, ObjectKey], now: dict[str, ObjectKey]) -> dict[str, str]:
    if len(former) == len(now) == 1:
        return dict(zip(former, now, strict=True))
    pairs: dict[str, str] = {}
    for name_of in _NAMES:
        left = {key: place for key, place in former.items() if key not in pairs}
        taken = set(pairs.values())
        free = {key: place for key, place in now.items() if key not in taken}
        there = _of_one_name(free, name_of)
        pairs |= {
            key: there[name] for name, key in _of_one_name(left, name_of).items() if name in there
        }
    return pairs


_NAMES: tuple[Callable[[ObjectKey], _NameOf], ...] = (
    lambda key: (key.sample, *key.path),
    lambda key: (key.reservoir, *key.path),
    lambda key: key.path,
    lambda key: key.path[-1:],
)


def _of_one_name(
    places: Mapping[str, ObjectKey], name_of: Callable[[ObjectKey], _NameOf]
) -> dict[_NameOf, str]:
    """Keys by names that no other of the keys has."""
    names = {key: name_of(place) for key, place in places.items()}
    counts = Counter(names.values())
    return {name: key for key, name in names.items() if counts[name] == 1}
