"""Whether a model's collection may become the live one: what searches would find no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.coverage_words import RECONCILED
from infra.lookup import records_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.coverage import Coverage
    from infra.site import Site

LOST = "lost"
"""Name of scans that are lost by a switch, beside those of `infra.coverage.Coverage`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What a collection has, and what a switch to it would lose.

    Attributes:
        coverage: The comparison.
        lost: Why scans are quarantined, by key, that the live collection has as they are: searches
            would find them no more.
    """

    coverage: Coverage
    lost: Mapping[str, str]

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """Keys that a switch must wait for, by what is wrong with them.

        Scans that no model can read don't count, nor those that are searchable with the metadata
        that they had.
        """
        found = {name: getattr(self.coverage, name) for name in RECONCILED}
        found[LOST] = tuple(self.lost)
        return {name: keys for name, keys in found.items() if keys}


def readiness(site: Site, coverage: Coverage, *, collection: str) -> Readiness:
    """Tell what a switch to a collection would lose.

    Args:
        site: The site.
        coverage: The bucket's comparison with it.
        collection: Its name.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    live = site.index.live()
    if live is None or live == collection or not coverage.quarantined:
        return Readiness(coverage=coverage, lost={})
    lost = {}
    for key, there in records_of(site.index.open(live), coverage.quarantined).items():
        refused = site.quarantine.get(key)
        if refused is not None and refused.etag == there.etag:
            lost[key] = f"{refused.fault}: {refused.reason}"
    return Readiness(coverage=coverage, lost=lost)
